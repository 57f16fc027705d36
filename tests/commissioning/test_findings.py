"""Findings in a scan with a planted failure are divided into new ones and those of its control."""

from gynbtnet.commissioning.findings import Findings
from gynbtnet.imaging import StructureNames

CONTROL = Findings(
    warnings=("The slice spacing is 8 mm.", "49 cm³ are bright."),
    flags={"bladder volume": "Bladder is small.", "hr_ctv edge": "HR-CTV is at the edge."},
    review=("bladder",),
)


def sentences(findings: Findings, control: Findings) -> tuple[tuple[str, ...], ...]:
    return tuple(part.sentences(StructureNames.load()) for part in findings.split_by(control))


def test_nothing_is_new_in_the_control_itself() -> None:
    new, shared = sentences(CONTROL, CONTROL)
    assert new == ()
    assert shared == (
        "The slice spacing is 8 mm.",
        "49 cm³ are bright.",
        "Bladder is small.",
        "HR-CTV is at the edge.",
        "To be reviewed first: Bladder.",
    )


def test_another_number_is_not_new_and_another_flag_is() -> None:
    findings = Findings(
        warnings=("51 cm³ are bright.", "No hip joints were found."),
        flags={"bladder volume": "Bladder is smaller.", "bladder edge": "Bladder is at the edge."},
        review=("bladder", "rectum"),
    )
    new, shared = sentences(findings, CONTROL)
    assert new == ("No hip joints were found.", "Bladder is at the edge.", "To be reviewed first: Rectum.")
    assert shared == ("51 cm³ are bright.", "Bladder is smaller.", "To be reviewed first: Bladder.")


def test_a_refusal_is_new_unless_the_control_is_refused() -> None:
    assert sentences(Findings("It is an MR."), CONTROL) == (("It is an MR.",), ())
    assert sentences(Findings("It is an MR."), Findings("It is cut off.")) == ((), ("It is an MR.",))
    assert sentences(CONTROL, Findings("It is cut off."))[0] == CONTROL.sentences(StructureNames.load())
