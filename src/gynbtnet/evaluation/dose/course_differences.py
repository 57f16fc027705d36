"""Differences of total doses between automatic and manual contours, by structure and metric, over patients."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.statistics.agreement import limits_of_agreement
from gynbtnet.imaging.structure_names import StructureNames

COLUMNS = (
    *("structure", "metric", "patients", "left_out", "manual_mean", "manual_sd", "automatic_mean", "automatic_sd"),
    *("difference_mean", "difference_sd", "lower", "upper"),
)


def course_differences(courses: Sequence[CourseDose]) -> pd.DataFrame:
    """Summarise total EQD2 over patients, one row per structure and metric.

    Args:
        courses: total doses with automatic contours.

    Returns:
        A table with these columns, doses in Gy of EQD2:

        - ``structure`` and ``metric``.
        - ``patients``: patients with a complete course and both totals; ``left_out``: the others, for example if a
          total is only a lower bound.
        - ``manual_mean`` and ``manual_sd``, and the same of ``automatic`` and ``difference``, over these patients.
        - ``lower`` and ``upper``: limits of agreement of the difference, see
          :func:`gynbtnet.evaluation.statistics.agreement.limits_of_agreement`.
    """
    groups: dict[tuple[str, str], list[CourseDose]] = {}
    for course in courses:
        groups.setdefault((course.structure, course.metric), []).append(course)
    rows = [_summary(structure, metric, group) for (structure, metric), group in groups.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def difference_cells(differences: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of :func:`course_differences` for people; numbers from the third column."""
    names = StructureNames.load()
    heads = ["structure", "metric", "patients", "left out", "reference (Gy)", "prediction (Gy)", "difference (Gy)"]
    heads += ["limits of agreement (Gy)"]
    rows = []
    for row in differences.to_dict("records"):
        cells = [names.display_name(str(row["structure"])), str(row["metric"]), str(row["patients"])]
        cells.append(str(row["left_out"]))
        cells += [
            _mean_and_sd(row[f"{name}_mean"], row[f"{name}_sd"]) for name in ("manual", "automatic", "difference")
        ]
        limits = "–" if pd.isna(row["lower"]) else f"{row['lower']:z.1f} to {row['upper']:z.1f}"
        rows.append([*cells, limits])
    return heads, rows


def _summary(structure: str, metric: str, courses: Sequence[CourseDose]) -> dict[str, Any]:
    complete = [course for course in courses if not math.isnan(course.difference_eqd2_gy)]
    table = pd.DataFrame(
        {
            "manual": [course.manual_eqd2_gy for course in complete],
            "automatic": [course.automatic_eqd2_gy for course in complete],
            "difference": [course.difference_eqd2_gy for course in complete],
        },
        dtype=float,
    )
    row: dict[str, Any] = {"structure": structure, "metric": metric, "patients": len(complete)}
    row["left_out"] = len(courses) - len(complete)
    for name in table:
        row |= {f"{name}_mean": table[name].mean(), f"{name}_sd": table[name].std()}
    limits = limits_of_agreement(table["difference"].to_numpy(), [course.patient for course in complete])
    return row | {"lower": limits.lower, "upper": limits.upper}


def _mean_and_sd(mean: float, sd: float) -> str:
    if math.isnan(mean):
        return "–"
    return f"{mean:z.1f}" if math.isnan(sd) else f"{mean:z.1f} ± {sd:.1f}"
