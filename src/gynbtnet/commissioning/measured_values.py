"""Values of the limited metrics, by case or by patient, from the evaluation and the doses of local cases."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gynbtnet.commissioning.limits import METRICS, Limit, Limits, MetricName, Side
from gynbtnet.commissioning.verdict import Judgement, judge
from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.runtime.phrases import counted

_SCORES: Mapping[MetricName, str] = {
    "surface_dsc": "surface_dsc",
    "dsc": "dsc",
    "hd95_mm": "hd95_mm",
    "added_path_length": "added_path_length_1_voxel_share",
}
_DOSES: Mapping[MetricName, str] = {"delta_d90_gy": "D90", "delta_d2cc_gy": "D2cc"}


@dataclass(frozen=True)
class LimitResult:
    """A limit and its result.

    Attributes:
        structure: identifier of the structure.
        metric: name of the metric.
        limit: the limit, with reason and source.
        judgement: verdict, mean, interval and numbers.
        left_out: cases or patients that aren't in the mean, with the reason; empty if there are none.
        worst: value farthest on the side that isn't acceptable; None without values, and in kits of earlier versions.
        worst_in: its case, or its patient for doses.
    """

    structure: str
    metric: MetricName
    limit: Limit
    judgement: Judgement
    left_out: str = ""
    worst: float | None = None
    worst_in: str = ""


def judge_limits(
    limits: Limits, scores: Sequence[Score], courses: Sequence[CourseDose], no_dose: str = ""
) -> tuple[LimitResult, ...]:
    """Judge every limit, by structure and then in the order of the metrics.

    Args:
        limits: limits of the clinic.
        scores: scores of the local cases.
        courses: total doses of the local patients; empty if there are no doses.
        no_dose: reason why there are no doses.

    Returns:
        One result per limit.
    """
    return tuple(
        _judge_dose(limits, structure, metric, entry, courses, no_dose)
        if metric in _DOSES
        else _judge_score(limits, structure, metric, entry, scores)
        for structure, entries in limits.limits.items()
        for metric in METRICS
        if (entry := entries.get(metric)) is not None
    )


def _judge_score(
    limits: Limits, structure: str, metric: MetricName, entry: Limit, scores: Sequence[Score]
) -> LimitResult:
    own = [score for score in scores if score.structure == structure]
    scored = [score for score in own if score.is_scored]
    values = [float(getattr(score, _SCORES[metric])) for score in scored]
    judgement = _judge(values, [score.patient for score in scored], limits, metric, entry)
    unscored = len(own) - len(scored)
    left_out = f"{counted(unscored, 'case')} without the structure in the reference" if unscored else ""
    worst = find_worst(values, [score.case for score in scored], METRICS[metric].side)
    return LimitResult(structure, metric, entry, judgement, left_out, *worst)


def _judge_dose(
    limits: Limits,
    structure: str,
    metric: MetricName,
    entry: Limit,
    courses: Sequence[CourseDose],
    no_dose: str,
) -> LimitResult:
    own = [course for course in courses if course.structure == structure and course.metric == _DOSES[metric]]
    known = [course for course in own if not math.isnan(course.difference_eqd2_gy)]
    values, patients = [course.difference_eqd2_gy for course in known], [course.patient for course in known]
    judgement = _judge(values, patients, limits, metric, entry)
    reasons = sorted({course.note or "a dose is only a lower bound" for course in own if course not in known})
    left_out = f"{counted(len(own) - len(known), 'patient')}: {'; '.join(reasons)}" if reasons else no_dose
    worst = find_worst(values, patients, METRICS[metric].side)
    return LimitResult(structure, metric, entry, judgement, left_out, *worst)


def _judge(
    values: Sequence[float], patients: Sequence[str], limits: Limits, metric: MetricName, entry: Limit
) -> Judgement:
    limited = METRICS[metric]
    return judge(
        values,
        patients,
        limit=entry.limit,
        side=limited.side,
        confidence=limits.confidence,
        lowest=limited.lowest,
        highest=limited.highest,
    )


def find_worst(values: Sequence[float], names: Sequence[str], side: Side) -> tuple[float | None, str]:
    """Return the value farthest on the side that isn't acceptable, with its name.

    Args:
        values: one value per case or patient; those that aren't finite are ignored.
        names: name of each case or patient.
        side: acceptable side.

    Returns:
        Value and name; None and an empty name without values.
    """

    def badness(value: float) -> float:
        return abs(value) if side == "within" else -value if side == "at least" else value

    known = [(badness(value), name, value) for value, name in zip(values, names, strict=True) if math.isfinite(value)]
    if not known:
        return None, ""
    _, name, value = max(known)
    return value, name
