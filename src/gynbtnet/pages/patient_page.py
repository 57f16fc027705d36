"""Page of one patient on one sheet: structures, what to review, dose against aims, and three planes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gynbtnet.pages import html_elements as html
from gynbtnet.pages.html_elements import Badge, BadgeKind, Cell
from gynbtnet.pages.page_frame import html_page
from gynbtnet.pages.slice_drawing import DEFINITIONS, isodose_legend
from gynbtnet.pages.slice_viewer import ViewedCase, viewer

PAGE = "patient.html"
"""Name of the page in the folder of a prediction."""
VERDICTS: tuple[tuple[BadgeKind, str], ...] = (
    ("good", "aim met"),
    ("fair", "limit met, aim missed"),
    ("bad", "limit missed, or aim missed without a limit"),
    ("open", "not judged"),
)
"""Meaning of the badges of doses."""
REVIEW_LEGEND: tuple[tuple[BadgeKind, str], ...] = (
    ("good", "no flag"),
    ("fair", "flagged: look at the reason"),
    ("bad", "review first"),
)
"""Meaning of the badges of contours."""


@dataclass(frozen=True)
class StructureRow:
    """One structure on the page of a patient.

    Attributes:
        name: name that people read.
        colour: its colour in the pictures, #rrggbb.
        volumes: its volume in each scan, as text.
        predicted_dsc: predicted DSC with its interval; empty if it is unknown.
        status: whether to review it; None if nothing was predicted.
        remarks: reasons for a review, one sentence each.
    """

    name: str
    colour: str
    volumes: tuple[str, ...]
    predicted_dsc: str = ""
    status: Badge | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class DoseTable:
    """Doses of a patient against aims.

    Attributes:
        heads: names of the columns.
        rows: one row per structure and metric.
        numbers: columns that contain numbers.
        note: how the doses were added, and what the aims are.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: slice
    note: str


@dataclass(frozen=True)
class PatientPage:
    """Content of the page of a patient.

    Attributes:
        title: study ID or name of the folder, and what the page is about; never a name or a PatientID.
        summary: the result in one sentence.
        facts: model, scan and software, as names and values.
        synthetic: whether no real patient was scanned.
        warnings: properties that may make everything on the page wrong, one sentence each.
        scans: names of the scans, as column heads of the volumes.
        structures: the structures.
        doses: doses against aims; None without a dose.
        case: the scan whose planes are printed; None if there is no picture.
        further_cases: further scans, which a click opens.
        notes: choices and repairs, one sentence each.
    """

    title: str
    summary: str
    facts: tuple[tuple[str, str], ...]
    synthetic: bool
    warnings: tuple[str, ...]
    scans: tuple[str, ...]
    structures: tuple[StructureRow, ...]
    doses: DoseTable | None = None
    case: ViewedCase | None = None
    further_cases: tuple[ViewedCase, ...] = ()
    notes: tuple[str, ...] = field(default=())


def render_patient_page(page: PatientPage) -> str:
    """Return the page as HTML; equal content gives equal bytes.

    Args:
        page: content of the page.

    Returns:
        The HTML.
    """
    return html_page(
        page.title,
        _sections(page),
        synthetic=page.synthetic,
        summary=_summary(page),
        definitions=DEFINITIONS,
        is_one_sheet=True,
    )


def _summary(page: PatientPage) -> Iterator[str]:
    yield html.paragraph(page.summary, "headline")
    for warning in page.warnings:
        yield html.paragraph(f"⚠ {warning}", "warning")


def _sections(page: PatientPage) -> Iterator[tuple[str, Iterator[str]]]:
    if page.doses:
        yield "Dose against aims", _doses(page.doses)
    yield "Structures", _structures(page)
    if page.case:
        yield "Three planes", _planes(page, page.case)
    yield "About", _facts(page)


def _doses(doses: DoseTable) -> Iterator[str]:
    yield html.table(doses.heads, doses.rows, numbers=doses.numbers)
    yield html.badge_legend(VERDICTS)
    yield html.paragraph(doses.note, "note")


def _structures(page: PatientPage) -> Iterator[str]:
    heads: list[str] = ["structure", *(f"{scan} (cm³)" if scan else "volume (cm³)" for scan in page.scans)]
    predicted = any(row.status for row in page.structures)
    has_dsc = any(row.predicted_dsc for row in page.structures)
    heads += ["predicted DSC (likely range)"] if has_dsc else []
    heads += ["check", "why"] if predicted else []
    rows: list[list[Cell]] = []
    for row in page.structures:
        cells: list[Cell] = [row.name, *row.volumes]
        cells += [row.predicted_dsc or "–"] if has_dsc else []
        cells += [row.status or "–", "\n".join(row.remarks) or "–"] if predicted else []
        rows.append(cells)
    swatches = {row.name: row.colour for row in page.structures}
    yield html.table(heads, rows, numbers=slice(1, 1 + len(page.scans) + has_dsc), swatches=swatches)
    if predicted:
        yield html.badge_legend(REVIEW_LEGEND)
    if predicted and not has_dsc:
        yield html.paragraph(
            "The quality of this model is not calibrated: no DSC is predicted, and a contour without a flag may be "
            "wrong.",
            "note",
        )


def _planes(page: PatientPage, case: ViewedCase) -> Iterator[str]:
    yield html.legend((row.name, row.colour) for row in page.structures)
    yield isodose_legend(case.isodoses)
    yield html.paragraph(case.caption, "note")
    yield html.keep_together(viewer(case, "patient"))
    for number, further in enumerate(page.further_cases):
        yield html.details(further.title, html.paragraph(further.caption, "note") + viewer(further, f"further{number}"))


def _facts(page: PatientPage) -> Iterator[str]:
    yield html.definition_list(page.facts)
    if page.notes:
        yield html.bullets(page.notes)
