"""Differences of the reference model to each other model, for every number of patients and budget."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from gynbtnet.evaluation.statistics.adjustment import holm
from gynbtnet.evaluation.statistics.hierarchical_bootstrap import hierarchical_interval
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN
from gynbtnet.evaluation.statistics.permutation import paired_permutation_test
from gynbtnet.experiment.curves.setup import CurvesSetup

ALL_STRUCTURES = "mean"
"""Name of the mean over structures in the tables."""
_COLUMNS = (
    *("patients", "all_patients", "budget", "structure", "model", "other", "runs", "other_runs", "held_out"),
    *("mean_dsc", "other_mean_dsc", "difference", "low", "high", "p", "p_holm", "better", "not_worse", "worse"),
)


@dataclass(frozen=True)
class Setting:
    """Runs that are compared with each other.

    Attributes:
        patients: number of contoured patients.
        all_patients: whether these are all patients that can be learned from.
        budget: budget of the task's training.
    """

    patients: int
    all_patients: bool
    budget: float


def settings_of_points(points: pd.DataFrame) -> list[Setting]:
    """Return the settings that have finished points: all patients by budget, then fewer patients."""
    finished = points[points["kind"] == "point"]
    rows = finished[["patients", "all_patients", "budget"]].drop_duplicates()
    settings = [Setting(int(patients), bool(every), float(budget)) for patients, every, budget in rows.to_numpy()]
    return sorted(settings, key=lambda setting: (not setting.all_patients, setting.budget, setting.patients))


def patient_values(points: pd.DataFrame, scores: pd.DataFrame, setting: Setting, metric: str = "dsc") -> pd.DataFrame:
    """Return a metric by run and patient, the mean over the patient's cases.

    A run that rightly predicts no structure in a case is scored as perfect if another run of the setting predicts it
    there, as in :func:`~gynbtnet.evaluation.statistics.paired_values.pair_values`.

    Args:
        points: table of the runs.
        scores: table of their scores.
        setting: runs to select.
        metric: column of the scores.

    Returns:
        One row per run, structure and patient with ``model``, ``seed``, ``structure``, ``patient`` and ``value``, and
        the same with structure "mean" for the patient's mean over structures.
    """
    same = (points["kind"] == "point") & (points["budget"] == setting.budget)
    same &= (points["patients"] == setting.patients) & (points["all_patients"] == setting.all_patients)
    own = scores.merge(points.loc[same, ["run", "model", "seed"]], on="run")
    contour = pd.MultiIndex.from_frame(own[["case", "structure"]])
    is_false = (own["missing_in"] == "truth") & own[metric].notna()
    is_right_absence = (own["missing_in"] == "both") & contour.isin(contour[is_false])
    own[metric] = own[metric].mask(is_right_absence, 1.0 if BETTER_SIGN[metric] > 0 else 0.0)
    by_structure = own.groupby(["model", "seed", "structure", "patient"], sort=False)[metric].mean().dropna()
    mean = by_structure.groupby(level=["model", "seed", "patient"], sort=False).mean()
    tables = by_structure.rename("value").reset_index(), mean.rename("value").reset_index()
    return pd.concat([tables[0], tables[1].assign(structure=ALL_STRUCTURES)], ignore_index=True)


def difference_table(points: pd.DataFrame, scores: pd.DataFrame, setup: CurvesSetup) -> pd.DataFrame:
    """Compare the mean DSC of the reference with that of each other model.

    The reference is better if the interval of the difference is above 0, and worse if it is below 0. It is not worse if
    the interval is above minus the margin. With a single run of either, the interval lacks the variation between
    trainings, and none of this is concluded. The permutation by patient takes the means over runs. Holm's adjustment is
    over the other models. With fewer patients, all models have the same draws of patients, so that runs are paired.

    Args:
        points: table of the runs.
        scores: table of their scores.
        setup: design of the curves.

    Returns:
        One row per setting, structure and other model, with difference, 95 % interval and p-values.
    """
    rows: list[dict[str, object]] = []
    for setting in settings_of_points(points):
        values = patient_values(points, scores, setting)
        for structure in (ALL_STRUCTURES, *setup.structures):
            group = list(_compare(values[values["structure"] == structure], setting, setup))
            adjusted = holm([row["p"] for row in group])  # type: ignore[arg-type]
            rows += [
                row | {"structure": structure, "p_holm": p} for row, p in zip(group, adjusted.tolist(), strict=True)
            ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _compare(values: pd.DataFrame, setting: Setting, setup: CurvesSetup) -> Iterator[dict[str, object]]:
    """Yield one row per other model for one structure."""
    reference, margin = setup.design.reference, setup.design.margin
    present = set(values["model"])
    for other in setup.models:
        if other == reference or not {reference, other} <= present:
            continue
        first, second, patients = _paired(values, reference, other, pair_runs=not setting.all_patients)
        if not first.size:
            continue
        low, high = hierarchical_interval(
            first, second, paired_runs=not setting.all_patients, n_resamples=setup.design.n_resamples, seed=0
        )
        repeated = min(len(first), len(second)) > 1
        by_patient = first.mean(axis=0) - second.mean(axis=0)
        test = paired_permutation_test(by_patient[:, None], patients, setup.design.n_resamples, seed=0)
        yield {
            "patients": setting.patients,
            "all_patients": setting.all_patients,
            "budget": setting.budget,
            "model": reference,
            "other": other,
            "runs": len(first),
            "other_runs": len(second),
            "held_out": len(patients),
            "mean_dsc": float(first.mean()),
            "other_mean_dsc": float(second.mean()),
            "difference": float(by_patient.mean()),
            "low": low,
            "high": high,
            "p": float(test.p[0]),
            "better": repeated and low > 0,
            "not_worse": repeated and low > -margin,
            "worse": repeated and high < 0,
        }


def _paired(
    values: pd.DataFrame, reference: str, other: str, *, pair_runs: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], list[str]]:
    """Return the values of both models, (runs, patients), in the patients that all runs have scored."""
    tables = [
        values[values["model"] == name].pivot(index="seed", columns="patient", values="value")
        for name in (reference, other)
    ]
    if pair_runs:
        common = tables[0].index.intersection(tables[1].index)
        tables = [table.loc[common] for table in tables]
    patients = [
        str(name)
        for name in tables[0].columns.intersection(tables[1].columns)
        if not any(table[name].isna().any() for table in tables)
    ]
    first, second = (table[patients].to_numpy(float) for table in tables)
    return first, second, patients
