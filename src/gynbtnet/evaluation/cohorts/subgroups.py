"""Scores by what may make a case hard: applicator, fraction, how full the bladder was, metal in the scan."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import METRICS, printed_summary, summarise_scores

BLADDER = "bladder"
UNKNOWN = "unknown"

Groups = Mapping[str, Collection[str]]
"""The ids of a group's cases by the group's name, in the order in which a table has them."""


def groupings(cohort: Cohort, scores: Sequence[Score], with_metal: Collection[str]) -> dict[str, Groups]:
    """The groups by each of the four, every case in one group of each.

    The bladder's volume is the truth's, cut at its tertiles over these cases; a cohort without a bladder, or a bladder
    that is drawn in fewer than three cases, has no such groups.

    Args:
        cohort: the cases.
        scores: of these cases; of them the bladder's volume is taken.
        with_metal: see :func:`gynbtnet.evaluation.cohorts.metal_artefacts.cases_with_metal`.
    """
    applicators: dict[str, list[str]] = {}
    fractions: dict[str, list[str]] = {}
    metal: dict[str, list[str]] = {}
    for case in sorted(cohort.cases, key=lambda case: (case.applicator is None, case.applicator or "")):
        applicators.setdefault(case.applicator or UNKNOWN, []).append(case.id)
    for case in sorted(cohort.cases, key=lambda case: case.fraction):
        fractions.setdefault(str(case.fraction), []).append(case.id)
    for case in sorted(cohort.cases, key=lambda case: case.id in with_metal):
        metal.setdefault("metal" if case.id in with_metal else "no metal", []).append(case.id)
    found: dict[str, Groups] = {"applicator": applicators, "fraction": fractions}
    volumes = {score.case: score.truth_cm3 for score in scores if score.structure == BLADDER and score.truth_cm3 > 0}
    if len(volumes) >= 3:
        found["bladder volume (cm³)"] = _tertiles(volumes, [case.id for case in cohort.cases])
    return found | {"artefacts": metal}


def subgroups(cohort: Cohort, evaluation: Evaluation, with_metal: Collection[str]) -> pd.DataFrame:
    """The summary of each group, see :func:`groupings` and :func:`gynbtnet.evaluation.metrics.score_table.summarise`.

    Columns: ``by``, ``group``, then those of a summary.
    """
    tables = []
    for by, groups in groupings(cohort, evaluation.scores, with_metal).items():
        for group, ids in groups.items():
            scores = [score for score in evaluation.scores if score.case in ids]
            table = summarise_scores(scores, evaluation.settings)
            table.insert(0, "by", by)
            table.insert(1, "group", group)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def crosstab(strata: pd.DataFrame, by: str, metric: str) -> tuple[list[str], list[list[str]]]:
    """One metric as people compare it, heads and rows: a row a group, a column a structure, mean ± SD."""
    of_kind = strata[strata["by"] == by]
    structures, place = list(dict.fromkeys(of_kind["structure"])), 1 + list(METRICS).index(metric)
    rows = []
    for group, table in of_kind.groupby("group", sort=False):
        cells = [row[place] for row in printed_summary(table)[1]]
        whole = table.iloc[-1]
        rows.append([str(group), *cells, str(int(whole["cases"])), str(int(whole["patients"]))])
    return [by, *structures, "cases", "patients"], rows


def _tertiles(volumes: Mapping[str, float], ids: Sequence[str]) -> Groups:
    """A volume at a tertile belongs below it; cases without one are a group of their own."""
    low, high = (float(cut) for cut in np.quantile(list(volumes.values()), (1 / 3, 2 / 3)))
    names = f"≤ {low:.0f}", f"{low:.0f}–{high:.0f}", f"> {high:.0f}", UNKNOWN
    groups: dict[str, list[str]] = {name: [] for name in names}
    for case_id in ids:
        volume = volumes.get(case_id, float("nan"))
        place = 3 if np.isnan(volume) else int(volume > low) + int(volume > high)
        groups[names[place]].append(case_id)
    return {name: members for name, members in groups.items() if members}
