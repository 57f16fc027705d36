"""What a report on contours shows, in its order, as one page."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation.calibration.flag_accuracy import FlagAccuracy, flag_table_cells
from gynbtnet.evaluation.cohorts.fraction_consistency import HEADS, reference_of
from gynbtnet.evaluation.cohorts.metal_artefacts import METAL_RULE
from gynbtnet.evaluation.cohorts.subgroups import crosstab
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import ALL_STRUCTURES, DECIMALS, METRICS, printed_summary, scoring_note
from gynbtnet.evaluation.reports import html_elements as html
from gynbtnet.evaluation.reports.case_overlay import CaseOverlay
from gynbtnet.evaluation.reports.case_selection import CHOICE
from gynbtnet.evaluation.reports.example_cases import MISSED, ExampleCases
from gynbtnet.evaluation.reports.grouped_table import GroupedTable
from gynbtnet.evaluation.reports.html_page import html_page
from gynbtnet.evaluation.reports.html_slices import HATCH_LEGEND, HATCHES, panels, viewer
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.stage_report import StageReport
from gynbtnet.pictures.picture import Picture
from gynbtnet.runtime.atomic_files import atomic_write

COMPARED = ("dsc", "hd95_mm", "asd_mm")
"""Metrics that tables of models and groups show; the others stand in the tables that open."""


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows; a part that is empty gets no section.

    Attributes:
        title: of the page.
        synthetic: whether any of the data is; said at the top.
        description: one paragraph on the experiment.
        cohort: a row a group of cases, see :func:`gynbtnet.evaluation.cohorts.cohort_overview.cohort_table`.
        cohort_pictures: the same in pictures.
        notes: what a reader has to know of the data, a sentence each.
        stages: the training stages in their order.
        results: of each model on the test cases.
        tables: of the statistics, by the heading above each; the first two are open, the others open on a click.
        figures: of the statistics.
        warnings: what the statistics can't show, a sentence each.
        shown: truth and predictions of chosen cases.
        unlabelled: predictions on scans without truth.
        provenance: names and values (versions, seed, recipe, hashes).
        citations: of the data, as text.
    """

    title: str
    synthetic: bool
    description: str = ""
    cohort: pd.DataFrame | None = None
    cohort_pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    stages: tuple[StageReport, ...] = ()
    results: tuple[ModelResults, ...] = ()
    tables: tuple[tuple[str, GroupedTable], ...] = ()
    figures: tuple[Picture, ...] = ()
    warnings: tuple[str, ...] = ()
    shown: ExampleCases | None = None
    unlabelled: tuple[CaseOverlay, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    citations: tuple[str, ...] = ()


def write_report(content: ReportContent, path: Path) -> None:
    """Write the page whole or not at all; the same content gives the same bytes."""
    with atomic_write(path) as partial:
        partial.write_text(report_page(content), encoding="utf-8")


def report_page(content: ReportContent) -> str:
    """The page as HTML."""
    return html_page(
        content.title,
        _sections(content),
        synthetic=content.synthetic,
        description=content.description,
        drawings=HATCHES if content.shown else "",
    )


def _sections(content: ReportContent) -> Iterator[tuple[str, Iterator[str]]]:
    if content.results:
        yield "Results", _results(content.results)
    if content.tables:
        yield "Comparison", _comparison(content)
    if content.shown:
        several = len(content.results) > 1
        yield "Truth and prediction", _viewed(content.shown, several)
        yield "Over- and under-segmentation", _errors(content.shown, several)
    if content.results:
        yield "Groups of cases", _strata(content.results)
        if any(len(one.fraction_consistency) for one in content.results):
            yield "Fractions of a patient", _consistency(content.results)
        if any(one.flags for one in content.results):
            yield "Flags and failures", _flags(content.results)
    if content.unlabelled:
        yield "Predictions without truth", _overlays(content.unlabelled)
    if content.cohort is not None:
        yield "Data", _cohort(content.cohort, content.cohort_pictures, content.notes)
    if content.stages:
        yield "Training", (part for stage in content.stages for part in _stage(stage))
    if content.provenance:
        yield "Provenance", iter([html.definition_list(content.provenance)])
    if content.citations:
        yield "Citations of the data", iter([html.bullets(content.citations)])


def _results(results: Sequence[ModelResults]) -> Iterator[str]:
    summaries = {one.name: printed_summary(one.evaluation.summary) for one in results}
    if len(results) == 1:
        yield html.table(*summaries[results[0].name], emphasised=ALL_STRUCTURES, download="summary.csv")
    else:
        structures = [row[0] for row in summaries[results[0].name][1]]
        for metric in COMPARED:
            place = 1 + list(METRICS).index(metric)
            rows = [[name, *(row[place] for row in summary[1])] for name, summary in summaries.items()]
            yield html.heading(METRICS[metric], 3)
            yield html.table(["model", *structures], rows, download=f"models_{metric}.csv")
        for name, summary in summaries.items():
            table = html.table(*summary, emphasised=ALL_STRUCTURES, download=f"summary_{html.slug(name)}.csv")
            yield html.details(f"All figures of {name}", table)
    yield html.paragraph(scoring_note(results[0].evaluation.settings), "note")
    heads = ["case", "structure", "", *METRICS.values(), "truth (cm³)", "prediction (cm³)"]
    for one in results:
        of_model = f" of {one.name}" if len(results) > 1 else ""
        scores = one.evaluation.scores
        table = html.table(
            heads, map(_score_row, scores), numbers=slice(3, None), download=_file("scores", one, results)
        )
        yield html.details(f"Every case and structure{of_model} ({len(scores)} rows)", table)


def _comparison(content: ReportContent) -> Iterator[str]:
    if content.warnings:
        yield html.bullets(content.warnings)
    for title, table in content.tables:
        drawn = html.grouped_table(table) + html.paragraph(table.caption, "note")
        is_first = table.name in ("table_1", "table_2")
        yield html.heading(title, 3) + drawn if is_first else html.details(title, drawn)
    for picture in content.figures:
        yield html.figure([picture], picture.description)


def _score_row(score: Score) -> list[str]:
    figures = [f"{getattr(score, metric):.{DECIMALS[metric]}f}" if score.is_scored else "–" for metric in METRICS]
    volumes = ["–" if math.isnan(volume) else f"{volume:.1f}" for volume in (score.truth_cm3, score.prediction_cm3)]
    return [score.case, score.structure, MISSED[score.missing_in], *figures, *volumes]


def _choice(several: bool) -> str:
    return CHOICE.format(models=" and models" if several else "")


def _viewed(shown: ExampleCases, several: bool) -> Iterator[str]:
    yield html.paragraph(
        f"The best, the median and the worst case by {_choice(several)}. Move through the slices with the sliders, "
        "the arrow keys or the wheel. Slices lie at least 1 mm (axial) or 3 mm apart and are compressed for this page, "
        "in the window of level 40 and width 400 HU; z, y and x are in the patient's coordinates (LPS).",
        "note",
    )
    for place, case in enumerate(shown.viewed):
        legend = "" if place else HATCH_LEGEND
        drawn = viewer(case, f"case{place}")
        yield html.note_kept(html.heading(case.title, 3), html.paragraph(case.caption), legend, drawn)


def _errors(shown: ExampleCases, several: bool) -> Iterator[str]:
    yield html.paragraph(
        "What a model draws beside the truth is over-segmentation, what it leaves out under-segmentation. Shown is the "
        f"axial slice with the most wrong voxels{', all models together' if several else ''}. Cases: the best, the "
        f"median and the worst by {_choice(several)}.",
        "note",
    )
    yield HATCH_LEGEND
    yield html.legend(shown.viewed[0].colours.items())
    for place, row in enumerate(shown.cases):
        drawn = panels(row.panels, f"errors{place}")
        yield html.note_kept(html.heading(row.title, 3), html.paragraph(row.caption), drawn)
    yield html.heading("Each structure", 3)
    yield html.paragraph(
        "The best, the median and the worst case of each structure by its DSC"
        f"{', the mean over models' if several else ''}; a missed or false structure counts as 0. Filled: truth. Line: "
        "prediction. The figures stand in the table of every case and structure.",
        "note",
    )
    for place, row in enumerate(shown.structures):
        width = len(row.panels) if not several else len(shown.viewed[0].models)
        parts = [row.panels[first : first + width] for first in range(0, len(row.panels), width)]
        of_ranks = (panels(part, f"structure{place}-{number}") for number, part in enumerate(parts))
        yield html.note_kept(html.heading(row.title, 4), *of_ranks)


def _strata(results: Sequence[ModelResults]) -> Iterator[str]:
    yield html.paragraph(
        "Mean ± SD over the cases of a group. The bladder's volume is the truth's, cut at its tertiles. "
        f"{METAL_RULE} Groups are small and not drawn by chance: a difference between them is a question, no answer.",
        "note",
    )
    for by in dict.fromkeys(results[0].subgroups["by"]):
        heads = [by, *(["model"] if len(results) > 1 else [])]
        lines = []
        for one in results:
            columns, rows = crosstab(one.subgroups, by, "dsc")
            lines += [
                (place, [row[0], *([one.name] if len(results) > 1 else []), *row[1:]]) for place, row in enumerate(rows)
            ]
        heads += [*(f"{column}, DSC" for column in columns[1:-2]), *columns[-2:]]
        yield html.heading(f"By {by}", 3)
        together = [line for _, line in sorted(lines, key=lambda one: one[0])]  # a group's models side by side
        yield html.table(heads, together, numbers=slice(2 if len(results) > 1 else 1, None))
    for one in results:
        parts = [
            [*map(str, key), *row]
            for key, table in one.subgroups.groupby(["by", "group"], sort=False)
            for row in printed_summary(table)[1]
        ]
        heads = ["by", "group", *printed_summary(one.subgroups)[0]]
        of_model = f" of {one.name}" if len(results) > 1 else ""
        table = html.table(heads, parts, numbers=slice(3, None), download=_file("strata", one, results))
        yield html.details(f"All figures of all groups{of_model} ({len(parts)} rows)", table)


def _consistency(results: Sequence[ModelResults]) -> Iterator[str]:
    structures = [row[0] for row in printed_summary(results[0].evaluation.summary)[1][:-1]]
    yield html.paragraph(
        "Of each patient with several fractions: the spread of DSC over them, and how fast volume and centroid drift, "
        "by the slope of a least-squares line. Organs move and fill by themselves; where the prediction's drift isn't "
        f"the truth's, the model is what changed. Centroids are measured from that of {reference_of(structures)} in "
        "the truth of the same fraction.",
        "note",
    )
    heads = ["structure", "patients", "DSC: SD within a patient, mean", "DSC: largest SD within a patient"]
    heads += ["volume drift, prediction from truth (cm³ a fraction), mean"]
    heads += ["centroid drift, prediction from truth (mm a fraction), mean"]
    for one in results:
        if len(results) > 1:
            yield html.heading(one.name, 3)
        table, lines = one.fraction_consistency, []
        for structure, of in table.groupby("structure", sort=False):
            apart = (of["prediction_cm3_drift"] - of["truth_cm3_drift"]).abs().mean(), of["apart_mm_drift"].mean()
            spread = _figure(of["dsc_sd"].mean(), 3), _figure(of["dsc_sd"].max(), 3)
            lines.append([str(structure), str(len(of)), *spread, *(_figure(drift, 2) for drift in apart)])
        yield html.table(heads, lines, download=_file("consistency_by_structure", one, results))
        rows = [
            [_figure(value, 3 if name.startswith("dsc") else 2) for name, value in zip(HEADS, row, strict=True)]
            for row in table.to_numpy().tolist()
        ]
        whole = html.table(
            list(HEADS.values()), rows, numbers=slice(2, None), download=_file("consistency", one, results)
        )
        yield html.details(f"Every patient and structure ({len(rows)} rows)", whole)


def _flags(results: Sequence[ModelResults]) -> Iterator[str]:
    for one in results:
        if one.flags is None:
            continue
        if len(results) > 1:
            yield html.heading(one.name, 3)
        yield html.paragraph(_told(one.flags))
        yield html.table(*flag_table_cells(one.flags))
        rows = [
            [
                str(row["case"]),
                str(row["structure"]),
                _figure(row["dsc"], 3),
                "yes" if row["failed"] else "no",
                str(row["flags"]) or "–",
            ]
            for row in one.flags.contours.to_dict("records")
            if row["failed"] or row["flagged"]
        ]
        heads = ["case", "structure", "DSC", "failed", "flags"]
        table = html.table(heads, rows, numbers=slice(9, None), download=_file("flags", one, results))
        yield html.details(f"Every contour that failed or was flagged ({len(rows)} rows)", table)


def _told(flags: FlagAccuracy) -> str:
    shares = {
        "of the failures were flagged": flags.sensitivity,
        "of the good contours were not flagged": flags.specificity,
        "of the flagged contours failed": flags.precision,
    }
    told = ", ".join(f"{100 * share:.0f} % {words}" for words, share in shares.items() if not math.isnan(share))
    without = (
        f" {flags.n_cases_without_flags} cases say nothing of flags and are left out."
        if flags.n_cases_without_flags
        else ""
    )
    return f"What the model itself flagged, beside what failed. {told or 'Nothing was scored'}.{without}"


def _figure(value: object, decimals: int) -> str:
    """A number as text, a word or a count as it is, a dash for NaN."""
    if not isinstance(value, float):
        return str(value)
    return "–" if math.isnan(value) else f"{value:z.{decimals}f}"


def _file(name: str, one: ModelResults, results: Sequence[ModelResults]) -> str:
    return f"{name}_{html.slug(one.name)}.csv" if len(results) > 1 else f"{name}.csv"


def _overlays(overlays: Sequence[CaseOverlay]) -> Iterator[str]:
    legend: dict[str, str] = {}
    for overlay in overlays:
        legend |= dict(overlay.legend)
    yield html.legend(legend.items())
    for overlay in overlays:
        yield html.heading(overlay.title, 3)
        yield html.figure(overlay.panels, overlay.caption)


def _cohort(table: pd.DataFrame, pictures: Sequence[Picture], notes: Sequence[str]) -> Iterator[str]:
    rows = ([str(value) for value in row] for row in table.to_numpy())
    yield html.table([str(name) for name in table.columns], rows, numbers=slice(2, None))
    if pictures:
        yield html.figure(pictures, "")
    if notes:
        yield html.bullets(notes)


def _stage(stage: StageReport) -> Iterator[str]:
    yield html.heading(stage.name, 3)
    if stage.transfer:
        yield html.paragraph(stage.transfer)
    yield html.definition_list(stage.facts)
    yield html.figure(stage.curves, "")
    for picture in stage.pictures:
        yield html.figure([picture], picture.description)
    yield html.details(f"Settings ({len(stage.settings)})", html.definition_list(stage.settings))
