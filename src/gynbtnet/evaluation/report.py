"""The report page: one HTML file that needs nothing but itself, readable on a phone and on paper."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation import html_elements as html
from gynbtnet.evaluation.case_overlay import CaseOverlay
from gynbtnet.evaluation.evaluate import Evaluation
from gynbtnet.evaluation.metrics import Score
from gynbtnet.evaluation.score_table import ALL_STRUCTURES, DECIMALS, METRICS, POLICY, printed
from gynbtnet.evaluation.stage_report import StageReport
from gynbtnet.pictures.picture import Picture
from gynbtnet.whole_files import written_whole

SYNTHETIC = "Synthetic data. No patient was scanned: these figures say that the software works, nothing about patients."
RESEARCH_USE = "For research use only. Not a medical device; every contour needs review by a qualified person."
PRESENCE = {"none": "", "prediction": "missed", "truth": "false", "both": "absent", "unknown": "unknown"}


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows; a part that is empty gets no section.

    Attributes:
        title: of the page.
        synthetic: whether any of the data is; said at the top.
        description: one paragraph on the experiment.
        cohort: a row a group of cases, see :func:`gynbtnet.evaluation.cohort_overview.cohort_table`.
        cohort_pictures: the same in pictures.
        notes: what a reader has to know of the data, a sentence each.
        stages: the training stages in their order.
        evaluation: scores on the test cases.
        overlays: truth and prediction of chosen cases.
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
    evaluation: Evaluation | None = None
    overlays: tuple[CaseOverlay, ...] = ()
    unlabelled: tuple[CaseOverlay, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    citations: tuple[str, ...] = ()


def write_report(content: ReportContent, path: Path) -> None:
    """Write the page whole or not at all; the same content gives the same bytes."""
    with written_whole(path) as partial:
        partial.write_text(report_page(content), encoding="utf-8")


def report_page(content: ReportContent) -> str:
    """The page as HTML."""
    sections = [(title, "".join(parts)) for title, parts in _sections(content)]
    style = files("gynbtnet.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    links = "".join(f'<li><a href="#{html.slug(title)}">{escape(title)}</a></li>' for title, _ in sections)
    body = "".join(html.section(title, inside) for title, inside in sections)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{html.paragraph(SYNTHETIC, 'banner') if content.synthetic else ''}\n"
        f"<header><h1>{escape(content.title)}</h1>{html.paragraph(RESEARCH_USE, 'use')}\n"
        f"{html.paragraph(content.description) if content.description else ''}\n<nav><ul>{links}</ul></nav></header>\n"
        f"<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _sections(content: ReportContent) -> Iterator[tuple[str, Iterator[str]]]:
    if content.evaluation:
        yield "Results", _results(content.evaluation)
    if content.overlays:
        yield "Truth and prediction", _overlays(content.overlays)
    if content.unlabelled:
        yield "Predictions without truth", _overlays(content.unlabelled)
    if content.cohort is not None:
        yield "Data", _cohort(content.cohort, content.cohort_pictures, content.notes)
    if content.stages:
        yield "Training", (part for stage in content.stages for part in _stage(stage))
    if content.provenance:
        yield "Provenance", iter([html.pairs(content.provenance)])
    if content.citations:
        yield "Citations of the data", iter([html.bullets(content.citations)])


def _results(evaluation: Evaluation) -> Iterator[str]:
    yield html.table(*printed(evaluation.summary), emphasised=ALL_STRUCTURES)
    yield html.paragraph(POLICY, "note")
    heads = ["case", "structure", "", *METRICS.values(), "truth (cm³)", "prediction (cm³)"]
    yield html.folded(
        f"Every case and structure ({len(evaluation.scores)} rows)",
        html.table(heads, map(_score_row, evaluation.scores), numbers_from=3),
    )


def _score_row(score: Score) -> list[str]:
    figures = [f"{getattr(score, metric):.{DECIMALS[metric]}f}" if score.scored else "–" for metric in METRICS]
    volumes = ["–" if math.isnan(volume) else f"{volume:.1f}" for volume in (score.truth_cm3, score.prediction_cm3)]
    return [score.case, score.structure, PRESENCE[score.missed], *figures, *volumes]


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
    yield html.table([str(name) for name in table.columns], rows, numbers_from=2)
    if pictures:
        yield html.figure(pictures, "")
    if notes:
        yield html.bullets(notes)


def _stage(stage: StageReport) -> Iterator[str]:
    yield html.heading(stage.name, 3)
    if stage.transfer:
        yield html.paragraph(stage.transfer)
    yield html.pairs(stage.facts)
    yield html.figure(stage.curves, "")
    for picture in stage.pictures:
        yield html.figure([picture], picture.description)
    yield html.folded(f"Settings ({len(stage.settings)})", html.pairs(stage.settings))
