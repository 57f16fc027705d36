"""Contours that may serve as reference: those that a person drew or approved."""

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted


def refuse_automatic(cohort: Cohort, purpose: str) -> None:
    """Check that no contours of a cohort are predictions of GynBTNet that nobody has approved.

    A model that is trained on them learns its own mistakes, and one that is compared with them looks better than it is.

    Args:
        cohort: the cohort.
        purpose: use of the contours, as in "for training".

    Raises:
        BadInput: If some are.
    """
    automatic = [case for case in cohort.cases if case.source.automatic]
    if automatic:
        raise BadInput(
            f"The contours of {len(automatic)} of {counted(len(cohort.cases), 'case')} in {cohort.folder}, first "
            f"{automatic[0].id}, were predicted by GynBTNet and nobody has approved them; expected contours of a "
            f"person {purpose}. Remove them, or take them with --allow-automatic."
        )
