"""Content and layout of a report page on contours."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation.calibration.flag_accuracy import FlagAccuracy, flag_table_cells
from gynbtnet.evaluation.cohorts.fraction_consistency import COLUMN_TITLES, reference_structure
from gynbtnet.evaluation.cohorts.metal_artefacts import METAL_RULE
from gynbtnet.evaluation.cohorts.subgroups import crosstab
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import (
    ALL_STRUCTURES,
    DECIMALS,
    METRICS,
    MISSING,
    SHOWN_METRICS,
    printed_summary,
    scoring_note,
)
from gynbtnet.evaluation.readers.rating_study import RatingStudy
from gynbtnet.evaluation.readers.reader_study import ReaderStudy
from gynbtnet.evaluation.reports.case_overlay import CaseOverlay
from gynbtnet.evaluation.reports.case_selection import RANKING_RULE
from gynbtnet.evaluation.reports.case_viewers import CaseViewers, viewer_list
from gynbtnet.evaluation.reports.example_cases import MISSED, ExampleCases, PanelRow
from gynbtnet.evaluation.reports.first_screen import first_screen
from gynbtnet.evaluation.reports.grouped_table import GroupedTable, html_table
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.rating_section import rating_section
from gynbtnet.evaluation.reports.reader_section import reader_section
from gynbtnet.evaluation.reports.review_paragraph import review_paragraph
from gynbtnet.evaluation.reports.stage_report import StageReport
from gynbtnet.evaluation.reports.triage_section import triage_section
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.html_slices import DEFINITIONS, HATCH_LEGEND, isodose_legend, panels, viewer
from gynbtnet.pages.page_frame import html_page
from gynbtnet.pictures.picture import Picture
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.phrases import counted

ON_PAPER = "Without the tables that open on a click, the viewers of other cases, and the groups of cases."
SEVERAL_ON_PAPER = "Without tests, fractions, flags, groups of cases, and the tables and viewers that open on a click."
"""Sentences on prints alone, for one model and for several."""


@dataclass(frozen=True)
class ReportContent:
    """Content of a report; an empty part gets no section.

    Attributes:
        title: title of the page.
        synthetic: True if any of the data is synthetic; the page then begins with a banner.
        names: names of the structures.
        description: one paragraph on the experiment.
        cohort: one row per group of cases, see :func:`gynbtnet.evaluation.cohorts.cohort_overview.cohort_table`.
        cohort_pictures: plots of the groups.
        notes: important properties of the data, one sentence each.
        stages: the training stages in their order.
        results: results of each model on the test cases.
        readers: agreement of several readers with each other and the model.
        ratings: ratings of the predicted contours.
        tables: tables of the statistics, each with its heading; all of them are open.
        figures: plots of the statistics.
        warnings: limits of the statistics, one sentence each.
        examples: reference and predictions of selected cases.
        viewers: viewers of all other cases.
        review_command: command that shows the predictions next to the reference in the browser; empty if there is none.
        unlabelled: predictions on scans without reference contours.
        provenance: names and values (versions, seed, recipe, hashes).
        citations: citations of the data, as text.
    """

    title: str
    synthetic: bool
    names: StructureNames = field(default_factory=StructureNames.load)
    description: str = ""
    cohort: pd.DataFrame | None = None
    cohort_pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    stages: tuple[StageReport, ...] = ()
    results: tuple[ModelResults, ...] = ()
    readers: ReaderStudy | None = None
    ratings: RatingStudy | None = None
    tables: tuple[tuple[str, GroupedTable], ...] = ()
    figures: tuple[Picture, ...] = ()
    warnings: tuple[str, ...] = ()
    examples: ExampleCases | None = None
    viewers: CaseViewers = field(default_factory=CaseViewers)
    review_command: str = ""
    unlabelled: tuple[CaseOverlay, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    citations: tuple[str, ...] = ()

    @property
    def has_several_models(self) -> bool:
        """True if the page compares models."""
        return len(self.results) > 1


def write_report(content: ReportContent, path: Path) -> None:
    """Write the page atomically; the same content gives the same bytes.

    Args:
        content: content of the page.
        path: path of the HTML file.
    """
    with atomic_write(path) as partial:
        partial.write_text(report_page(content), encoding="utf-8")


def report_page(content: ReportContent) -> str:
    """Return the page as HTML."""
    return html_page(
        content.title,
        _sections(content),
        synthetic=content.synthetic,
        description=content.description,
        summary=_first_screen(content) if content.results else (),
        definitions=DEFINITIONS if content.examples else "",
    )


def _first_screen(content: ReportContent) -> Iterator[str]:
    yield from first_screen(content.results, content.names).html()
    yield html.paragraph(SEVERAL_ON_PAPER if content.has_several_models else ON_PAPER, "printed")


def _sections(content: ReportContent) -> Iterator[tuple[str, Iterator[str]]]:
    if content.tables:
        yield "Comparison", _comparison(content)
    if content.results:
        yield "Results", _results(content)
    if content.readers:
        yield "Readers", reader_section(content.readers, content.names)
    if content.ratings:
        yield "Ratings", rating_section(content.ratings, content.names)
    if content.examples:
        several = content.has_several_models
        yield (
            "Reference and prediction",
            _viewed_cases(content.examples, content.viewers, several, content.review_command),
        )
        yield "Typical and worst slices", _slices(content.examples, several)
    if content.results:
        yield "Groups of cases", _subgroups(content)
        if any(len(model.fraction_consistency) for model in content.results):
            yield "Fractions of a patient", _on_paper_for_one_model(_fractions(content), content)
        if any(model.flags for model in content.results):
            yield "Flags and failures", _on_paper_for_one_model(_flags(content), content)
        if any(model.triage for model in content.results):
            yield "Cases to review first", _triage(content)
    if content.unlabelled:
        yield "Predictions without reference", _overlays(content.unlabelled)
    if content.cohort is not None:
        yield (
            "Data",
            _cohort(content.cohort, content.cohort_pictures, content.notes, several_models=content.has_several_models),
        )
    if content.stages:
        yield "Training", (part for stage in content.stages for part in _stage(stage))
    if content.provenance:
        yield "Provenance", iter([html.definition_list(content.provenance)])
    if content.citations:
        yield "Citations of the data", iter([html.bullets(content.citations)])


def _on_paper_for_one_model(parts: Iterator[str], content: ReportContent) -> Iterator[str]:
    if content.has_several_models:
        yield html.screen_only(*parts)
    else:
        yield from parts


def _results(content: ReportContent) -> Iterator[str]:
    if not content.has_several_models:
        yield _summary_table(content, content.results[0], SHOWN_METRICS, "")
    yield html.paragraph(scoring_note(content.results[0].evaluation.settings), "note")
    for model in content.results:
        download = _file("summary", model, content)
        table = _summary_table(content, model, tuple(METRICS), download)
        yield html.details(f"All metrics{_of_model(model, content)}", table)
    heads = ["case", "structure", "status", *METRICS.values(), "reference (cm³)", "prediction (cm³)"]
    for model in content.results:
        rows = [_score_row(score) for score in model.evaluation.scores]
        table = html.table(
            heads,
            _with_names(rows, 1, content.names),
            numbers=slice(3, None),
            download=_file("scores", model, content),
            data=rows,
        )
        yield html.details(f"Every case and structure{_of_model(model, content)} ({counted(len(rows), 'row')})", table)


def _summary_table(content: ReportContent, model: ModelResults, metrics: Sequence[str], download: str) -> str:
    """Return counts and metrics of each structure, with median and quartiles on a second line."""
    summary = model.evaluation.summary
    heads, rows = printed_summary(summary)
    empty = {name for name in ("absent", "unknown") if not summary[name].any()}
    first = len(heads) - len(METRICS)
    hidden = {i for i, head in enumerate(heads[:first]) if head in empty}
    hidden |= {first + i for i, metric in enumerate(METRICS) if metric not in metrics}
    shown = [[cell.replace("; ", "\n") for i, cell in enumerate(row) if i not in hidden] for row in (heads, *rows)]
    data = _with_identifiers(rows, summary)
    if not download:
        return html.table(shown[0], shown[1:], emphasised=ALL_STRUCTURES)
    kept = [[cell for i, cell in enumerate(row) if i not in hidden] for row in data]
    return html.table(shown[0], shown[1:], emphasised=ALL_STRUCTURES, download=download, data=kept)


def _comparison(content: ReportContent) -> Iterator[str]:
    if content.warnings:
        yield html.bullets(content.warnings)
    for title, table in content.tables:
        rendered = html.heading(title, 3) + html_table(table) + html.paragraph(table.caption, "note")
        yield html.screen_only(rendered) if table.name.startswith("tests_") else rendered
    if content.figures:
        yield html.pairwise(html.figure([picture], picture.description) for picture in content.figures)


def _score_row(score: Score) -> list[str]:
    values = [f"{getattr(score, metric):.{DECIMALS[metric]}f}" if score.is_scored else "–" for metric in METRICS]
    volumes = ["–" if math.isnan(volume) else f"{volume:.1f}" for volume in (score.truth_cm3, score.prediction_cm3)]
    return [score.case, score.structure, MISSED[score.missing_in], *values, *volumes]


def _ranking_rule(several_models: bool) -> str:
    return RANKING_RULE.format(models=" and models" if several_models else "")


def _viewed_cases(
    examples: ExampleCases, viewers: CaseViewers, several_models: bool, review_command: str
) -> Iterator[str]:
    yield html.paragraph(
        f"Best, median and worst case by {_ranking_rule(several_models)}. Move through the slices with the sliders, "
        "the arrow keys or the mouse wheel. A click into a plane moves the other two to the same point. Slices are at "
        "least 1 mm (axial) or 3 mm apart and are compressed for this page. At first, the window has level 40 HU and "
        "width 400 HU; z, y and x are patient coordinates (LPS).",
        "note",
    )
    if review_command:
        yield review_paragraph(review_command)
    yield html.legend((style.name, style.colour) for style in examples.viewed[0].styles.values())
    for number, case in enumerate(examples.viewed):
        legend = "" if number else HATCH_LEGEND
        parts = (
            html.heading(case.title, 3),
            html.paragraph(case.caption),
            legend,
            isodose_legend(case.isodoses),
            viewer(case, f"case{number}"),
        )
        is_printed = number > 0 or not several_models
        yield html.keep_together(*parts) if is_printed else html.screen_only(*parts)
    if viewers.inside or viewers.links:
        others = len(viewers.inside) + len(viewers.links)
        yield html.details(f"All other cases ({others})", viewer_list(viewers))


def _slices(examples: ExampleCases, several_models: bool) -> Iterator[str]:
    over_models = ", summed over the models" if several_models else ""
    yield html.paragraph(
        "Over-segmentation: in the prediction, not in the reference. Under-segmentation: in the reference, not in the "
        "prediction. Typical slice: the one whose DSC is nearest to that of its case. It is among those with the most "
        "structures and at least half of the reference's largest area. Worst slice: the one with the most wrong "
        f"voxels{over_models}. Cases: best, median and worst by {_ranking_rule(several_models)}.",
        "note",
    )
    yield HATCH_LEGEND
    yield html.legend((style.name, style.colour) for style in examples.viewed[0].styles.values())
    cases = (
        html.keep_together(
            html.heading(row.title, 3),
            html.paragraph(row.caption) if row.caption else "",
            panels(row.panels, f"slices{number}"),
        )
        for number, row in enumerate(examples.cases)
    )
    yield html.many_panels(cases) if several_models else html.pairwise(cases)
    yield html.heading("Each structure", 3)
    shown = "Median and worst case" if several_models else "Best, median and worst case"
    yield html.paragraph(
        f"{shown} of each structure by its DSC"
        f"{', averaged over the models' if several_models else ''}; a missed or false structure counts as 0. Filled: "
        "reference. Line: prediction. All values are in the table of every case and structure.",
        "note",
    )
    models = len(examples.viewed[0].models)
    structures = (
        _structure_row(row, 2 * models if several_models else len(row.panels), f"structure{number}")
        for number, row in enumerate(examples.structures)
    )
    yield html.many_panels(structures) if several_models else html.pairwise(structures)


def _structure_row(row: PanelRow, width: int, key: str) -> str:
    """Return the panels of a structure, ``width`` of them per line."""
    lines = [row.panels[start : start + width] for start in range(0, len(row.panels), width)]
    rendered = (panels(line, f"{key}-{number}") for number, line in enumerate(lines))
    return html.keep_together(html.heading(row.title, 4), *rendered)


def _subgroups(content: ReportContent) -> Iterator[str]:
    yield html.paragraph(
        "Mean ± SD over the cases of a group. The bladder volume is that of the reference; the groups are its "
        f"tertiles. {METAL_RULE} Groups are small and not randomised: a difference between them raises a question and "
        "doesn't answer it.",
        "note",
    )
    for by, grouped in content.results[0].subgroups.groupby("by", sort=False):
        if grouped["group"].nunique() > 1:
            yield html.screen_only(html.heading(f"By {by}", 3), _subgroup_table(content, str(by)))
        else:
            yield html.paragraph(f"By {by}: all cases are in one group, {grouped['group'].iloc[0]}.", "note")
    for model in content.results:
        rows = [
            [*map(str, key), *row]
            for key, table in model.subgroups.groupby(["by", "group"], sort=False)
            for row in _with_identifiers(printed_summary(table)[1], table)
        ]
        table = html.table(
            ["by", "group", *printed_summary(model.subgroups)[0]],
            _with_names(rows, 2, content.names),
            numbers=slice(3, None),
            download=_file("subgroups", model, content),
            data=rows,
        )
        yield html.details(f"All metrics of all groups{_of_model(model, content)} ({counted(len(rows), 'row')})", table)


def _subgroup_table(content: ReportContent, by: str) -> str:
    """Return the DSC of each group and structure; the rows of all models for one group are next to each other."""
    several = content.has_several_models
    numbered: list[tuple[int, list[str]]] = []
    columns: list[str] = []
    for model in content.results:
        columns, rows = crosstab(model.subgroups, by, "dsc", content.names)
        numbered += [
            (number, [row[0], *([model.name] if several else []), *row[1:]]) for number, row in enumerate(rows)
        ]
    heads = [by, *(["model"] if several else []), *columns[1:5], *(f"{column}, DSC" for column in columns[5:])]
    rows = [row for _, row in sorted(numbered, key=lambda pair: pair[0])]
    return html.table(heads, rows, numbers=slice(2 if several else 1, None))


def _fractions(content: ReportContent) -> Iterator[str]:
    structures = dict.fromkeys(score.structure for score in content.results[0].evaluation.scores)
    reference = content.names.display_name(reference_structure(tuple(structures)))
    yield html.paragraph(
        "For each patient with several fractions: the spread of DSC over the fractions, and the drift of volume and "
        "centroid. A drift is the slope of a least-squares line. Organs move and fill by themselves; if the drift of "
        "the prediction differs from that of the reference, the model is the cause. Centroids are relative to the "
        f"centroid of {reference} in the reference of the same fraction.",
        "note",
    )
    for model in content.results:
        if content.has_several_models:
            yield html.heading(model.name, 3)
        yield _consistency_summary(content, model)
        rows = [
            [_value(value, 3 if name.startswith("dsc") else 2) for name, value in zip(COLUMN_TITLES, row, strict=True)]
            for row in model.fraction_consistency.to_numpy().tolist()
        ]
        table = html.table(
            list(COLUMN_TITLES.values()),
            _with_names(rows, 1, content.names),
            numbers=slice(2, None),
            download=_file("consistency", model, content),
            data=rows,
        )
        yield html.details(f"Every patient and structure ({counted(len(rows), 'row')})", table)


def _consistency_summary(content: ReportContent, model: ModelResults) -> str:
    """Return one row per structure, with means over patients."""
    heads = ["structure", *MISSING, "patients", "mean SD of DSC within a patient", "largest SD of DSC within a patient"]
    heads += ["volume drift, |prediction − reference|, mean (cm³ per fraction)"]
    heads += ["centroid drift, |prediction − reference|, mean (mm per fraction)"]
    rows, counts = [], {row["structure"]: row for row in model.evaluation.summary.to_dict("records")}
    for structure, group in model.fraction_consistency.groupby("structure", sort=False):
        volume_drift = (group["prediction_cm3_drift"] - group["truth_cm3_drift"]).abs().mean()
        drifts = volume_drift, group["apart_mm_drift"].mean()
        spread = _value(group["dsc_sd"].mean(), 3), _value(group["dsc_sd"].max(), 3)
        missing = [str(int(counts[structure][name])) for name in MISSING]
        rows.append([str(structure), *missing, str(len(group)), *spread, *(_value(drift, 2) for drift in drifts)])
    shown = _with_names(rows, 0, content.names)
    return html.table(heads, shown, download=_file("consistency_by_structure", model, content), data=rows)


def _flags(content: ReportContent) -> Iterator[str]:
    heads = ["case", "structure", "DSC", "failed", "flags"]
    for model in content.results:
        if model.flags is None:
            continue
        if content.has_several_models:
            yield html.heading(model.name, 3)
        yield html.paragraph(_flag_sentences(model.flags))
        yield html.table(*flag_table_cells(model.flags))
        rows = [
            [
                str(row["case"]),
                str(row["structure"]),
                _value(row["dsc"], 3),
                "yes" if row["failed"] else "no",
                str(row["flags"]) or "–",
            ]
            for row in model.flags.contours.to_dict("records")
            if row["failed"] or row["flagged"]
        ]
        table = html.table(
            heads,
            _with_names(rows, 1, content.names),
            numbers=slice(9, None),
            download=_file("flags", model, content),
            data=rows,
        )
        yield html.details(f"Every contour that failed or was flagged ({counted(len(rows), 'row')})", table)


def _triage(content: ReportContent) -> Iterator[str]:
    for model in content.results:
        if model.triage is None:
            continue
        if content.has_several_models:
            yield html.heading(model.name, 3)
        yield from triage_section(model.triage, content.names, _file("triage", model, content))


def _flag_sentences(flags: FlagAccuracy) -> str:
    shares = {
        "of the failures were flagged": flags.sensitivity,
        "of the good contours were not flagged": flags.specificity,
        "of the flagged contours failed": flags.precision,
    }
    known = ", ".join(f"{100 * share:.0f} % {label}" for label, share in shares.items() if not math.isnan(share))
    without = (
        f" Cases without a record of flags are left out: {flags.n_cases_without_flags}."
        if flags.n_cases_without_flags
        else ""
    )
    return (
        "Contours that the model itself flagged, compared with contours that failed. "
        f"{known or 'Nothing was scored'}.{without}"
    )


def _with_names(rows: Iterable[Sequence[str]], column: int, names: StructureNames) -> list[list[str]]:
    """Return the rows with the structure in a column replaced by the name that people read."""
    return [[*row[:column], names.display_name(row[column]), *row[column + 1 :]] for row in rows]


def _with_identifiers(rows: Sequence[Sequence[str]], summary: pd.DataFrame) -> list[list[str]]:
    """Return the printed rows of a summary with the identifiers of the structures, as data files have them."""
    return [[str(structure), *row[1:]] for structure, row in zip(summary["structure"], rows, strict=True)]


def _value(value: object, decimals: int) -> str:
    """Return a number as text, a word or a count unchanged, a dash for NaN."""
    if not isinstance(value, float):
        return str(value)
    return "–" if math.isnan(value) else f"{value:z.{decimals}f}"


def _of_model(model: ModelResults, content: ReportContent) -> str:
    return f" of {model.name}" if content.has_several_models else ""


def _file(name: str, model: ModelResults, content: ReportContent) -> str:
    return f"{name}_{html.slug(model.name)}.csv" if content.has_several_models else f"{name}.csv"


def _overlays(overlays: Sequence[CaseOverlay]) -> Iterator[str]:
    legend = dict(entry for overlay in overlays for entry in overlay.legend)
    yield html.legend(legend.items())
    for overlay in overlays:
        yield html.heading(overlay.title, 3)
        yield html.figure(overlay.panels, overlay.caption)


def _cohort(
    table: pd.DataFrame, pictures: Sequence[Picture], notes: Sequence[str], *, several_models: bool
) -> Iterator[str]:
    rows = ([str(value) for value in row] for row in table.to_numpy())
    yield html.table([str(name) for name in table.columns], rows, numbers=slice(2, None))
    if pictures:
        rendered = html.figure(pictures, "")
        yield html.screen_only(rendered) if several_models else rendered
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
