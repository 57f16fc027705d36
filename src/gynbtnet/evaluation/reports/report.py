"""Content of a report page on contours, and the order of its sections."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation.readers.rating_study import RatingStudy
from gynbtnet.evaluation.readers.reader_study import ReaderStudy
from gynbtnet.evaluation.reports.case_overlay import CaseOverlay
from gynbtnet.evaluation.reports.case_viewers import CaseViewers
from gynbtnet.evaluation.reports.example_cases import ExampleCases
from gynbtnet.evaluation.reports.first_screen import first_screen
from gynbtnet.evaluation.reports.grouped_table import GroupedTable
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.sections.comparison import comparison_section
from gynbtnet.evaluation.reports.sections.data import data_section
from gynbtnet.evaluation.reports.sections.flags import flags_section
from gynbtnet.evaluation.reports.sections.fractions import fractions_section
from gynbtnet.evaluation.reports.sections.ratings import rating_section
from gynbtnet.evaluation.reports.sections.readers import reader_section
from gynbtnet.evaluation.reports.sections.results import results_section
from gynbtnet.evaluation.reports.sections.slices import slices_section
from gynbtnet.evaluation.reports.sections.subgroups import subgroups_section
from gynbtnet.evaluation.reports.sections.training import training_section
from gynbtnet.evaluation.reports.sections.triage import triage_section
from gynbtnet.evaluation.reports.sections.unlabelled import unlabelled_section
from gynbtnet.evaluation.reports.sections.viewed_cases import viewed_cases_section
from gynbtnet.evaluation.reports.stage_report import StageReport
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.page_frame import html_page
from gynbtnet.pages.slice_drawing import DEFINITIONS
from gynbtnet.pictures.picture import Picture
from gynbtnet.runtime.atomic_files import atomic_write

ON_PAPER = "Without the tables of all metrics and cases, the viewers of other cases, and the groups of cases."
SEVERAL_ON_PAPER = (
    "Without tests, fractions, flags, groups of cases, cases to review first, long tables, and viewers of other cases."
)
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
        tables: tables of the statistics, each with its heading.
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

    @property
    def has_viewers(self) -> bool:
        """True if a case can be opened; if nothing could be scored, no case is selected."""
        selected = self.examples.viewed if self.examples else ()
        return bool(selected or self.viewers.inside or self.viewers.links)


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
        definitions=DEFINITIONS if content.has_viewers else "",
    )


def _first_screen(content: ReportContent) -> Iterator[str]:
    yield from first_screen(content.results, content.names).html()
    yield html.paragraph(SEVERAL_ON_PAPER if content.has_several_models else ON_PAPER, "printed")


def _sections(content: ReportContent) -> Iterator[tuple[str, Iterator[str]]]:
    results, names, several = content.results, content.names, content.has_several_models
    if content.tables:
        yield "Comparison", comparison_section(content.warnings, content.tables, content.figures)
    if results:
        yield "Results", results_section(results, names)
    if content.readers:
        yield "Readers", reader_section(content.readers, names)
    if content.ratings:
        yield "Ratings", rating_section(content.ratings, names)
    if content.has_viewers and content.examples:
        yield (
            "Reference and prediction",
            viewed_cases_section(content.examples, content.viewers, content.review_command, several_models=several),
        )
    if content.examples and content.examples.viewed:
        yield "Typical and worst slices", slices_section(content.examples, several_models=several)
    if results:
        yield "Groups of cases", subgroups_section(results, names)
        if any(len(model.fraction_consistency) for model in results):
            yield "Fractions of a patient", _on_paper_for_one_model(fractions_section(results, names), content)
        if any(model.flags for model in results):
            yield "Flags and failures", _on_paper_for_one_model(flags_section(results, names), content)
        if any(model.triage for model in results):
            yield "Cases to review first", triage_section(results, names)
    if content.unlabelled:
        yield "Predictions without reference", unlabelled_section(content.unlabelled)
    if content.cohort is not None:
        yield "Data", data_section(content.cohort, content.cohort_pictures, content.notes, several_models=several)
    if content.stages:
        yield "Training", training_section(content.stages)
    if content.provenance:
        yield "Provenance", iter([html.definition_list(content.provenance)])
    if content.citations:
        yield "Citations of the data", iter([html.bullets(content.citations)])


def _on_paper_for_one_model(parts: Iterator[str], content: ReportContent) -> Iterator[str]:
    if content.has_several_models:
        yield html.screen_only(*parts)
    else:
        yield from parts
