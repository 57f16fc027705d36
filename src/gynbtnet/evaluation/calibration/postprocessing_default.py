"""Post-processing of a model that was validated on a few patients: selected if there are enough, otherwise a default.

A network with little training segments small regions far from the organ: HD95 of 50 mm at a DSC of 0.87. Four
structures are one connected organ or target in nearly every patient. Keeping only their largest component therefore
removes these regions. Rectum, bladder and uterus are single organs; the HR-CTV is the cervix with the tumour extension
from there (GEC-ESTRO, Haie-Meder et al. 2005, doi 10.1016/j.radonc.2004.12.015). The sigmoid is not changed: a loop may
leave the scan and come back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.calibration.postprocessing_selection import MIN_PATIENTS, select_postprocessing
from gynbtnet.imaging.nesting import Nesting
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.runtime.phrases import counted

SINGLE_COMPONENT_STRUCTURES = ("bladder", "rectum", "uterus", "hr_ctv")
"""Structures of which only the largest component is kept by default."""

NOTE = "Post-processing: "
"""Beginning of the sentence in a plan's notes."""


@dataclass(frozen=True)
class DefaultPostprocessing:
    """Post-processing rules of a plan, and the reason for them.

    Attributes:
        rules: at most one rule per structure.
        note: one sentence for the plan's notes.
    """

    rules: tuple[PostprocessingRule, ...]
    note: str


def has_enough_patients(cohort: Cohort) -> bool:
    """Return whether a cohort has enough patients for a selection; with fewer, no gain is significant."""
    return len(cohort.patients) >= MIN_PATIENTS


def choose_postprocessing(
    structures: Sequence[str], validation: Cohort, predictions: Path, nesting: Nesting
) -> DefaultPostprocessing:
    """Select rules on validation patients, or use the default if there are too few.

    Args:
        structures: structures that the model segments.
        validation: validation patients with contours; never the test patients.
        predictions: folder with ``<case id>/labels.nii.gz`` of these cases without post-processing; not read if there
            are too few patients.
        nesting: inner and outer structures of the plan.

    Returns:
        The rules and the reason for them.

    Raises:
        BadInput: If a case that is read has no contours or no prediction.
    """
    if has_enough_patients(validation):
        rules = select_postprocessing(validation, predictions, nesting).rules
        outcome = "; ".join(f"{rule.structure}: {rule.words}" for rule in rules) or "none, since none improved the DSC"
        return DefaultPostprocessing(
            rules, f"{NOTE}selected on the predictions of {len(validation.patients)} validation patients: {outcome}."
        )
    kept = tuple(name for name in SINGLE_COMPONENT_STRUCTURES if name in structures)
    return DefaultPostprocessing(
        tuple(PostprocessingRule(name, largest_component=True) for name in kept),
        f"{NOTE}only the largest component of {', '.join(kept) or 'no structure'} is kept. This is the default "
        f"for {counted(len(validation.patients), 'validation patient')}: a selection needs {MIN_PATIENTS}.",
    )
