"""Section of the page on the import into the planning system: a form to fill in on paper, and the comparison."""

from collections.abc import Iterator, Mapping

from gynbtnet.commissioning.import_form import LEAST_CM3, MOST_MM, SHARE, ImportVerdict
from gynbtnet.commissioning.import_phantom import SHAPES
from gynbtnet.commissioning.page_texts import IMPORT, NOT_READ
from gynbtnet.commissioning.record import ImportCheck
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.html_elements import Badge, BadgeKind

_KINDS: Mapping[ImportVerdict, BadgeKind] = {"meets": "good", "fails": "bad", "not read": "open"}


def import_summary(check: ImportCheck) -> str:
    """Return the result in a sentence."""
    outside = sum(row.verdict == "fails" for row in check.rows)
    read = sum(row.verdict != "not read" for row in check.rows)
    if not read:
        return "Import into the planning system: not checked yet."
    return f"Import into the planning system: {read} of {len(check.rows)} values read, {outside} outside tolerance."


def import_section(check: ImportCheck) -> Iterator[str]:
    """Yield the section: an explanation, the comparison, and the form as long as nothing or not everything is read.

    Args:
        check: the form as it was typed, with its comparisons.
    """
    yield html.paragraph(IMPORT.format(share=100 * SHARE, cm3=LEAST_CM3, mm=MOST_MM))
    typed = (
        ("planning system", check.planning_system),
        ("read by", check.read_by),
        ("read on", check.read_on),
        ("remarks", check.remarks),
    )
    if any(row.verdict != "not read" for row in check.rows):
        yield html.definition_list((name, value or "not typed") for name, value in typed)
    rows: list[list[html.Cell]] = [
        [
            row.roi or "all",
            row.quantity,
            row.expected,
            row.read or "–",
            Badge(row.verdict, _KINDS[row.verdict], row.verdict),
            row.note or "–",
        ]
        for row in check.rows
    ]
    yield html.table(["ROI", "quantity", "known", "read", "verdict", "note"], rows, numbers=slice(0, 0))
    if any(row.verdict == "not read" for row in check.rows):
        yield html.keep_together(*_form())


def _form() -> Iterator[str]:
    yield html.heading("Form to fill in on paper", 3)
    yield html.paragraph(NOT_READ)
    heads = ("ROI", "name in the planning system", "volume, cm³", "x, mm", "y, mm", "z, mm")
    yield html.form(heads, [(name, "", "", "", "", "") for name in SHAPES])
    fields = ("planning system, version", "number of ROIs", "coordinates", "contours on the bright shapes")
    answers = ("", "", "☐ DICOM   ☐ IEC", "☐ yes   ☐ no")
    yield html.form(("all ROIs", "answer"), list(zip(fields, answers, strict=True)))
    yield html.form(("read by", "date", "remarks, such as messages at the import"), [("", "", "")])
