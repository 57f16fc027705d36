"""The marks * and † as the paper's tables define them.

Our model's figure of a structure and metric is marked where its mean is better than that of *every* model that it is
set beside, and the p-value of each of these comparisons is below the threshold: * below 0.05, † below 0.01.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gynbtnet.evaluation.statistics.model_tests import ModelTests
from gynbtnet.evaluation.statistics.paired_values import BETTER

Mark = Literal["", "*", "†"]
SIGNIFICANT, STRONGLY = 0.05, 0.01


def mark(tests: ModelTests, test: str, ours: str, others: Sequence[str], structure: str, metric: str) -> Mark:
    """Of one cell, by the adjusted p-values of ``test``."""
    effects = tests.effects
    of_cell = effects[
        (effects["structure"] == structure)
        & (effects["metric"] == metric)
        & (effects["model"] == ours)
        & effects["other"].isin(others)
    ]
    if not others or not (BETTER[metric] * of_cell["difference"] > 0).all():
        return ""
    found = [tests.of_pair(test, ours, other)["p_adjusted"].to_dict()[structure, metric] for other in others]
    p = float(np.max(found))  # NaN where any is, which is below nothing
    if p < STRONGLY:
        return "†"
    return "*" if p < SIGNIFICANT else ""
