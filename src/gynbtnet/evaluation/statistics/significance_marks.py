"""Significance marks * and † as the paper's tables define them.

The mean of our model for a structure and metric is marked under two conditions. It is better than the mean of *every*
model that it is compared with. The p-value of each of these comparisons is below the threshold: * below 0.05, † below
0.01.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gynbtnet.evaluation.statistics.model_tests import ModelTests
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN

SignificanceMark = Literal["", "*", "†"]
SIGNIFICANT, STRONGLY_SIGNIFICANT = 0.05, 0.01


def significance_mark(
    tests: ModelTests, test: str, ours: str, others: Sequence[str], structure: str, metric: str
) -> SignificanceMark:
    """Return the mark of one cell of a table, by adjusted p-values.

    Args:
        tests: results of all tests.
        test: test whose p-values are used, a key of :data:`gynbtnet.evaluation.statistics.model_tests.TESTS`.
        ours: model of the cell.
        others: models that it is compared with.
        structure: identifier of the structure.
        metric: a key of :data:`BETTER_SIGN`.
    """
    effects = tests.effects
    comparisons = effects[
        (effects["structure"] == structure)
        & (effects["metric"] == metric)
        & (effects["model"] == ours)
        & effects["other"].isin(others)
    ]
    if not others or not (BETTER_SIGN[metric] * comparisons["difference"] > 0).all():
        return ""
    p_values = [tests.of_pair(test, ours, other)["p_adjusted"].to_dict()[structure, metric] for other in others]
    p = float(np.max(p_values))  # NaN if any is NaN, which is not below any threshold
    if p < STRONGLY_SIGNIFICANT:
        return "†"
    return "*" if p < SIGNIFICANT else ""
