"""Post-processing for a model that was validated on a few patients: chosen if they suffice, otherwise a default.

A network that has learned little segments specks far from the organ: HD95 of 50 mm at a DSC of 0.87. Four structures
are one connected organ or target in nearly every patient, so that keeping their largest component alone removes the
specks. Rectum, bladder and uterus are single organs; the HR-CTV is the cervix with what the tumour has reached from
there (GEC-ESTRO, Haie-Meder et al. 2005, doi 10.1016/j.radonc.2004.12.015). The sigmoid is left as it is: a loop may
leave the scan and come back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.calibration.postprocessing_selection import LEAST_PATIENTS, select_postprocessing
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule

ONE_COMPONENT = ("bladder", "rectum", "uterus", "hr_ctv")
"""Structures whose largest component alone is kept by default."""

NOTE = "Post-processing: "
"""How the sentence in a plan's notes starts."""


@dataclass(frozen=True)
class DefaultPostprocessing:
    """Rules for a plan, and where they come from.

    Attributes:
        rules: At most one per structure.
        note: One sentence for the plan's notes.
    """

    rules: tuple[PostprocessingRule, ...]
    note: str


def enough_patients(cohort: Cohort) -> bool:
    """Report whether a cohort has the patients that a choice needs: with fewer no gain is beyond chance."""
    return len(cohort.patients) >= LEAST_PATIENTS


def postprocessing_for(structures: Sequence[str], validation: Cohort, predictions: Path) -> DefaultPostprocessing:
    """Choose rules on validation patients, or take the default if these are too few.

    Args:
        structures: What the model segments.
        validation: The patients who validated it, with contours; never those held out for the test.
        predictions: ``<case id>/labels.nii.gz`` of these cases without post-processing; not read if the patients are
            too few.

    Returns:
        The rules and the reason for them.

    Raises:
        BadInput: If a case that is read has no contours or no prediction.
    """
    if enough_patients(validation):
        rules = select_postprocessing(validation, predictions).rules
        outcome = "; ".join(f"{rule.structure}: {rule.words}" for rule in rules) or "nothing, for nothing helped"
        return DefaultPostprocessing(
            rules, f"{NOTE}chosen on the predictions of {len(validation.patients)} validation patients: {outcome}."
        )
    kept = tuple(name for name in ONE_COMPONENT if name in structures)
    return DefaultPostprocessing(
        tuple(PostprocessingRule(name, largest_component=True) for name in kept),
        f"{NOTE}the largest component of {', '.join(kept) or 'no structure'} is kept. This is a default, not a "
        f"choice: there were {len(validation.patients)} validation patients, and a choice needs {LEAST_PATIENTS}.",
    )
