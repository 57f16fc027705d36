"""The dose of a patient's whole course: EQD2 of external beam and all fractions, against aims and limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gynbtnet.evaluation.dose.eqd2 import total_eqd2
from gynbtnet.evaluation.dose.external_beam import ExternalBeam
from gynbtnet.evaluation.dose.metrics import is_target
from gynbtnet.evaluation.dose.planning_aims import PlanningAims, Verdict
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging.structure_names import StructureNames

ASSUMED = (
    "Adding up a figure over fractions assumes that the same part of the structure is hottest, or coldest, each time: "
    "for organs the worst case. The external beam is taken as uniform in every structure. Each case's dose is that of "
    "one delivery. A structure's voxels are those of its label map, in which a voxel belongs to one structure only."
)
"""What stands below every table of totals."""


@dataclass(frozen=True)
class CourseDose:
    """One figure of one structure over a patient's course.

    Attributes:
        patient: their study ID.
        structure: its id.
        figure: as :class:`DoseScore` has it.
        alpha_beta_gy: α/β in Gy.
        fractions: deliveries that were added up.
        external_eqd2_gy: of the external beam, Gy; NaN where it isn't known.
        manual_eqd2_gy: total by the cohort's contours, Gy, without the external beam where that isn't known; NaN where
            a fraction's figure is.
        automatic_eqd2_gy: the same by the predicted contours.
        difference_eqd2_gy: automatic minus manual, Gy.
        aim: what is aimed at, such as "> 90 and < 95"; empty where the table asks nothing.
        limit: what may not be missed.
        manual_verdict: "aim met", "limit met" (the aim missed), "limit missed", "aim missed" (there is no limit), "not
            judged" (see the note), or empty where the table asks nothing.
        automatic_verdict: the same by the predicted contours; empty where nothing was predicted.
        note: what has to be known, such as "external beam not known" or "fraction 2: no dose".
    """

    patient: str
    structure: str
    figure: str
    alpha_beta_gy: float
    fractions: int
    external_eqd2_gy: float
    manual_eqd2_gy: float
    automatic_eqd2_gy: float
    difference_eqd2_gy: float
    aim: str
    limit: str
    manual_verdict: Verdict
    automatic_verdict: Verdict
    note: str = ""


def course_doses(
    scores: Sequence[DoseScore],
    external: Mapping[str, ExternalBeam],
    aims: PlanningAims,
    settings: DoseSettings,
    names: StructureNames,
    *,
    predicted: bool,
) -> list[CourseDose]:
    """Totals of every patient, structure and figure, in the order of ``scores``.

    Args:
        scores: of every fraction.
        external: external beam by patient; who isn't in it is not judged.
        aims: what totals are held against; where α/β differ from the table's, nothing is judged.
        settings: α/β, and how often each dose was delivered.
        names: which structures are targets.
        predicted: whether there are automatic contours at all.
    """
    grouped: dict[tuple[str, str, str], list[DoseScore]] = {}
    for score in scores:
        grouped.setdefault((score.patient, score.structure, score.figure), []).append(score)
    return [_course(group, external, aims, settings, names, predicted) for group in grouped.values()]


def _course(
    scores: Sequence[DoseScore],
    external: Mapping[str, ExternalBeam],
    aims: PlanningAims,
    settings: DoseSettings,
    names: StructureNames,
    predicted: bool,
) -> CourseDose:
    first = scores[0]
    target = is_target(first.structure, names)
    alpha_beta = settings.alpha_beta_target_gy if target else settings.alpha_beta_organ_gy
    outside = external[first.patient].eqd2(alpha_beta) if first.patient in external else math.nan
    broken = _broken(scores)
    known = not math.isnan(outside)
    totals = [
        math.nan if broken else total_eqd2(doses, alpha_beta, settings.deliveries) + (outside if known else 0)
        for doses in ([one.manual_gy for one in scores], [one.automatic_gy for one in scores])
    ]
    sure = [not any(one.manual_note for one in scores), not any(one.automatic_note for one in scores)]
    aim = aims.of(first.structure, first.figure)
    notes = [broken, *_notes(scores)]
    holds_for = aims.alpha_beta_gy.target if target else aims.alpha_beta_gy.organ
    asked = aim.aim is not None or aim.limit is not None
    if asked and not known:
        notes.append("external beam not known")
    if asked and alpha_beta != holds_for:
        notes.append(f"{aims.name} holds for α/β {holds_for:g} Gy")
    judged = known and alpha_beta == holds_for
    verdicts: list[Verdict] = [
        "" if not asked else aim.verdict(total) if judged and certain else "not judged"
        for total, certain in zip(totals, sure, strict=True)
    ]
    return CourseDose(
        patient=first.patient,
        structure=first.structure,
        figure=first.figure,
        alpha_beta_gy=alpha_beta,
        fractions=len(scores) * settings.deliveries,
        external_eqd2_gy=outside,
        manual_eqd2_gy=totals[0],
        automatic_eqd2_gy=totals[1],
        difference_eqd2_gy=totals[1] - totals[0],
        aim=str(aim.aim or ""),
        limit=str(aim.limit or ""),
        manual_verdict=verdicts[0],
        automatic_verdict=verdicts[1] if predicted else "",
        note="; ".join(filter(None, notes)),
    )


def _broken(scores: Sequence[DoseScore]) -> str:
    """Why these cases are no whole course; empty where they are."""
    fractions = [score.fraction for score in scores]
    twice = sorted({fraction for fraction in fractions if fractions.count(fraction) > 1})
    if twice:
        return f"fraction {twice[0]} has several scans, and which was treated isn't known"
    absent = sorted(set(range(1, max(fractions) + 1)).difference(fractions))
    return f"fraction {absent[0]} is not in the cohort" if absent else ""


def _notes(scores: Sequence[DoseScore]) -> list[str]:
    """What is noted of single fractions."""
    notes = []
    for score in scores:
        told = {"manual": score.manual_note, "automatic": score.automatic_note}
        if told["manual"] == told["automatic"]:
            told = {"": score.manual_note}
        notes += [
            f"fraction {score.fraction}: {' '.join(filter(None, (who, note)))}" for who, note in told.items() if note
        ]
    return notes
