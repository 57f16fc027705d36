"""Total dose of a patient's course: EQD2 of external beam and all fractions, compared with aims and limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gynbtnet.evaluation.dose.eqd2 import total_eqd2
from gynbtnet.evaluation.dose.external_beam import ExternalBeam
from gynbtnet.evaluation.dose.metrics import is_target
from gynbtnet.evaluation.dose.planning_aims import Aim, PlanningAims, Verdict
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging.structure_names import StructureNames

COURSE_ASSUMPTIONS = (
    "Adding a metric over fractions assumes that the same part of the structure is hottest, or coldest, in every "
    "fraction. For organs this is the worst case. The external beam dose is assumed to be uniform in every structure. "
    "The dose of each case is that of one fraction. A total marked with ≥ is a lower bound, and has a verdict only if "
    "every higher total has the same one."
)
"""Text below every table of totals."""


@dataclass(frozen=True)
class CourseDose:
    """Total dose of one metric of one structure over a patient's course.

    Attributes:
        patient: study ID of the patient.
        structure: identifier of the structure.
        metric: name of the metric, as in :class:`DoseScore`.
        alpha_beta_gy: α/β in Gy.
        fractions: number of delivered fractions in the total.
        external_eqd2_gy: EQD2 of the external beam, Gy; NaN if unknown.
        manual_eqd2_gy: total by the cohort's contours, Gy, without the external beam if that is unknown; NaN if the
            metric of a fraction is NaN.
        automatic_eqd2_gy: total by the predicted contours, Gy.
        difference_eqd2_gy: automatic minus manual, Gy; NaN if a fraction has a lower bound.
        aim: aim, such as "> 90 and < 95"; empty if the table has none.
        limit: limit; empty if the table has none.
        manual_verdict: one of :data:`Verdict`, such as "aim met"; the note explains "not judged". Empty if the table
            has neither aim nor limit.
        automatic_verdict: verdict by the predicted contours; empty if nothing was predicted.
        note: restriction, such as "external beam not known" or "fraction 2: no dose".
        manual_is_bound: whether the manual total is a lower bound.
        automatic_is_bound: whether the automatic total is a lower bound.
    """

    patient: str
    structure: str
    metric: str
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
    manual_is_bound: bool = False
    automatic_is_bound: bool = False


def course_doses(
    scores: Sequence[DoseScore],
    external: Mapping[str, ExternalBeam],
    aims: PlanningAims,
    settings: DoseSettings,
    names: StructureNames,
    *,
    predicted: bool,
) -> list[CourseDose]:
    """Add up the dose of every patient, structure and metric, in the order of ``scores``.

    Args:
        scores: scores of every fraction.
        external: external beam by patient; the totals of other patients are not judged.
        aims: aims and limits; nothing is judged if their α/β differ from those of ``settings``.
        settings: α/β, and the number of fractions per plan.
        names: table that identifies targets.
        predicted: whether there are automatic contours.

    Returns:
        The totals.
    """
    groups: dict[tuple[str, str, str], list[DoseScore]] = {}
    for score in scores:
        groups.setdefault((score.patient, score.structure, score.metric), []).append(score)
    return [_course_dose(group, external, aims, settings, names, predicted) for group in groups.values()]


def _course_dose(
    scores: Sequence[DoseScore],
    external: Mapping[str, ExternalBeam],
    aims: PlanningAims,
    settings: DoseSettings,
    names: StructureNames,
    predicted: bool,
) -> CourseDose:
    first = scores[0]
    target = is_target(first.structure, names)
    alpha_beta = settings.alpha_beta_of(first.structure, target=target)
    external_eqd2 = external[first.patient].eqd2(alpha_beta) if first.patient in external else math.nan
    delivered = [score.fractions for score in scores]
    problem = _incomplete_course(scores, settings.course_fractions)
    is_external_known = not math.isnan(external_eqd2)
    totals = [
        math.nan if problem else total_eqd2(doses, alpha_beta, delivered) + (external_eqd2 if is_external_known else 0)
        for doses in ([score.manual_gy for score in scores], [score.automatic_gy for score in scores])
    ]
    bounds = [
        not is_external_known or any(score.manual_is_bound for score in scores),
        not is_external_known or any(score.automatic_is_bound for score in scores),
    ]
    aim = aims.aim_for(first.structure, first.metric)
    notes = [problem, *_fraction_notes(scores)]
    valid_alpha_beta = aims.alpha_beta_gy.target if target else aims.alpha_beta_gy.organ
    has_aim = aim.aim is not None or aim.limit is not None
    if has_aim and not is_external_known:
        notes.append("external beam not known")
    if has_aim and alpha_beta != valid_alpha_beta:
        notes.append(f"{aims.name} is valid for α/β {valid_alpha_beta:g} Gy")
    is_judged = has_aim and alpha_beta == valid_alpha_beta
    verdicts: list[Verdict] = [
        ("not judged" if has_aim else "") if not is_judged else _verdict(aim, total, bounded)
        for total, bounded in zip(totals, bounds, strict=True)
    ]
    return CourseDose(
        patient=first.patient,
        structure=first.structure,
        metric=first.metric,
        alpha_beta_gy=alpha_beta,
        fractions=sum(delivered),
        external_eqd2_gy=external_eqd2,
        manual_eqd2_gy=totals[0],
        automatic_eqd2_gy=totals[1],
        difference_eqd2_gy=math.nan if _has_bound(scores) else totals[1] - totals[0],
        aim=str(aim.aim or ""),
        limit=str(aim.limit or ""),
        manual_verdict=verdicts[0],
        automatic_verdict=verdicts[1] if predicted else "",
        note="; ".join(filter(None, notes)),
        manual_is_bound=bounds[0],
        automatic_is_bound=bounds[1] and predicted,
    )


def _verdict(aim: Aim, total: float, bounded: bool) -> Verdict:
    if math.isnan(total):
        return "not judged"
    return aim.verdict_from(total) if bounded else aim.verdict(total)


def _has_bound(scores: Sequence[DoseScore]) -> bool:
    return any(score.manual_is_bound or score.automatic_is_bound for score in scores)


def _incomplete_course(scores: Sequence[DoseScore], expected: int | None) -> str:
    """Return why these cases are not one complete course; empty if they are."""
    fractions = [score.fraction for score in scores]
    repeated = sorted({fraction for fraction in fractions if fractions.count(fraction) > 1})
    if repeated:
        return f"fraction {repeated[0]} has several scans, and it is not known which one was treated"
    absent = sorted(set(range(1, max(fractions) + 1)).difference(fractions))
    if absent:
        return f"fraction {absent[0]} is not in the cohort"
    delivered, planned = sum(score.fractions for score in scores), max(score.planned_fractions for score in scores)
    if expected is not None:
        return f"{delivered} of {expected} fractions of the course" if delivered != expected else ""
    as_planned = all(score.fractions == score.planned_fractions for score in scores)  # several implants, each its plan
    if planned <= 1 or as_planned or delivered == planned:
        return ""
    return f"{delivered} of {planned} fractions of the plan" + (
        ": give --course-fractions" if delivered > planned else ""
    )


def _fraction_notes(scores: Sequence[DoseScore]) -> list[str]:
    """Return the notes of all fractions."""
    notes = []
    for score in scores:
        by_source = {"reference": score.manual_note, "prediction": score.automatic_note}
        if by_source["reference"] == by_source["prediction"]:
            by_source = {"": score.manual_note}
        notes += [
            f"fraction {score.fraction}: {' '.join(filter(None, (source, note)))}"
            for source, note in by_source.items()
            if note
        ]
    return notes
