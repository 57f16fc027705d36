"""Summary of every metric by structure and model, with the best means and significance marks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.tables.cells import records
from gynbtnet.evaluation.metrics.score_table import DECIMALS, describe_values
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN, PairedValues, pair_values
from gynbtnet.evaluation.statistics.significance_marks import SignificanceMark, significance_mark


def summarise_models(comparison: Comparison, models: tuple[str, ...]) -> pd.DataFrame:
    """Return mean, SD, median and quartiles of every metric for each structure and model, over the compared cases.

    Args:
        comparison: the comparison.
        models: the models to summarise.

    Returns:
        One row per structure and model. The columns ``structure``, ``model``, ``missed``, ``false``, ``absent`` and
        ``unknown`` are those of a summary. ``cases`` and ``patients`` are compared, the same as in the tests.
        ``left_out`` is the number of scored cases that no test could pair. ``absences`` is the number of compared cases
        without the structure in the truth. Then follow for each metric ``<metric>_mean``,
        ``_sd``, ``_median``, ``_q1``, ``_q3``, ``_best`` and ``_mark``. ``_best`` is True if no model of ``models`` has
        a better mean, as printed. ``_mark`` is "*", "†" or empty. Only our model has one, against all others of
        ``models``, and only if its mean is better than theirs as printed.
    """
    rows: list[dict[str, Any]] = []
    summaries = {
        name: {row["structure"]: row for row in records(comparison.evaluations[name].summary)} for name in models
    }
    for structure in comparison.structures:
        metrics = comparison.settings.metrics
        paired = {metric: pair_values(comparison.evaluations, structure, metric) for metric in metrics}
        first = paired[metrics[0]]
        for name in models:
            row: dict[str, Any] = {"structure": structure, "model": name}
            row |= {count: int(summaries[name][structure][count]) for count in ("missed", "false", "absent", "unknown")}
            row |= {"cases": len(first.cases), "patients": first.n_patients}
            row |= {"left_out": first.left_out, "absences": first.absences}
            for metric, values in paired.items():
                means = {other: _as_printed(_described(values, other)["mean"], metric) for other in models}
                row |= {f"{metric}_{key}": float(value) for key, value in _described(values, name).items()}
                row[f"{metric}_best"] = means[name] == _best(list(means.values()), metric)
                row[f"{metric}_mark"] = model_mark(comparison, models, name, structure, metric, comparison.marking_test)
            rows.append(row)
    return pd.DataFrame(rows)


def model_mark(
    comparison: Comparison, models: tuple[str, ...], name: str, structure: str, metric: str, test: str
) -> SignificanceMark:
    """Return the significance mark of a cell; only our model has one, if every compared model may carry one."""
    if name != comparison.ours or any(model in comparison.unmarked for model in models):
        return ""
    others = [other for other in models if other != comparison.ours]
    values = pair_values(comparison.evaluations, structure, metric)
    means = {model: _as_printed(_described(values, model)["mean"], metric) for model in models}
    if not all(BETTER_SIGN[metric] * (means[name] - means[other]) > 0 for other in others):
        return ""
    if _fails_more_than_some(comparison, others, structure):
        return ""
    return significance_mark(comparison.tests, test, comparison.ours, others, structure, metric)


def _described(values: PairedValues, model: str) -> dict[str, float]:
    return describe_values(pd.Series(values.of_model(model), dtype=float))


def _fails_more_than_some(comparison: Comparison, others: Sequence[str], structure: str) -> bool:
    """Return whether failures that the policy drops are more than those of another model: means can't show them."""
    if comparison.evaluations[comparison.ours].settings.missing_structure_policy != "drop":
        return False
    failures = {
        model: sum(s.structure == structure and s.missing_in in ("prediction", "truth") for s in evaluation.scores)
        for model, evaluation in comparison.evaluations.items()
    }
    return any(failures[comparison.ours] > failures[other] for other in others)


def _as_printed(mean: float, metric: str) -> float:
    return float(f"{mean:.{DECIMALS[metric]}f}")


def _best(means: list[float], metric: str) -> float:
    known = [mean for mean in means if not np.isnan(mean)]
    return (max if BETTER_SIGN[metric] > 0 else min)(known, default=float("nan"))
