"""Scores by properties that may make a case hard: applicator, fraction, bladder volume, metal in the scan."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import MISSING, mean_and_sd, summarise_scores
from gynbtnet.imaging.structure_names import StructureNames

BLADDER = "bladder"
UNKNOWN = "unknown"

Groups = Mapping[str, Collection[str]]
"""Case ids by name of the group, in the order of the tables."""


def groupings(cohort: Cohort, scores: Sequence[Score], with_metal: Collection[str]) -> dict[str, Groups]:
    """Return the groups by each of the four properties; every case is in one group of each.

    The bladder volume is that of the truth; its groups are the tertiles over these cases. There are no such groups if
    the cohort has no bladder, or if fewer than three cases have one.

    Args:
        cohort: the cases.
        scores: scores of these cases, from which the bladder volume is taken.
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
    groups: dict[str, Groups] = {"applicator": applicators, "fraction": fractions}
    volumes = {score.case: score.truth_cm3 for score in scores if score.structure == BLADDER and score.truth_cm3 > 0}
    if len(volumes) >= 3:
        groups["bladder volume (cm³)"] = _tertiles(volumes, [case.id for case in cohort.cases])
    return groups | {"artefacts": metal}


def subgroups(cohort: Cohort, evaluation: Evaluation, with_metal: Collection[str]) -> pd.DataFrame:
    """Summarise the scores of each group.

    Args:
        cohort: the cases.
        evaluation: their scores.
        with_metal: see :func:`gynbtnet.evaluation.cohorts.metal_artefacts.cases_with_metal`.

    Returns:
        The columns ``by`` and ``group`` (see :func:`groupings`), then those of
        :func:`gynbtnet.evaluation.metrics.score_table.summarise_scores`.
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


def crosstab(subgroups: pd.DataFrame, by: str, metric: str, names: StructureNames) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of one metric: one row per group, with counts and the mean ± SD of each structure.

    Args:
        subgroups: table of :func:`subgroups`.
        by: the property that defines the groups.
        metric: the metric.
        names: names of the structures.
    """
    selected = subgroups[subgroups["by"] == by]
    structures = [names.display_name(structure) for structure in dict.fromkeys(selected["structure"])]
    rows = []
    for group, table in selected.groupby("group", sort=False):
        cells = [mean_and_sd(row, metric) for row in table.to_dict("records")]
        missed, false, cases, patients = (str(int(table.iloc[-1][count])) for count in (*MISSING, "cases", "patients"))
        rows.append([str(group), missed, false, cases, patients, *cells])
    return [by, *MISSING, "cases", "patients", *structures], rows


def _tertiles(volumes: Mapping[str, float], ids: Sequence[str]) -> Groups:
    """Return the groups by volume; a volume equal to a tertile is below it, cases without a volume are a group."""
    low, high = (float(cut) for cut in np.quantile(list(volumes.values()), (1 / 3, 2 / 3)))
    names = f"≤ {low:.0f}", f"{low:.0f}–{high:.0f}", f"> {high:.0f}", UNKNOWN
    groups: dict[str, list[str]] = {name: [] for name in names}
    for case_id in ids:
        volume = volumes.get(case_id, float("nan"))
        group = 3 if np.isnan(volume) else int(volume > low) + int(volume > high)
        groups[names[group]].append(case_id)
    return {name: members for name, members in groups.items() if members}
