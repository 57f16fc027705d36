"""Tests and adjustments compared with scipy, statsmodels and published examples."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multicomp import pairwise_tukeyhsd
from statsmodels.stats.multitest import multipletests

from gynbtnet.evaluation.statistics.adjustment import benjamini_hochberg, holm
from gynbtnet.evaluation.statistics.analysis_of_variance import one_way_anova, tukey_hsd
from gynbtnet.evaluation.statistics.rank_tests import friedman_test, wilcoxon_signed_rank


@pytest.fixture
def values() -> np.ndarray:
    random = np.random.default_rng(3)
    return random.normal(0, 1, (29, 1)) + random.normal(0, 1, (29, 4)) + np.array([0, 0.2, 0.5, 0.9])


def test_analysis_of_variance(values: np.ndarray) -> None:
    result = one_way_anova(values)
    theirs = stats.f_oneway(*values.T)
    assert (result.statistic, result.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-10)
    long = pd.DataFrame({"model": list("abcd") * 29, "value": values.ravel()})
    table = anova_lm(ols("value ~ model", long).fit())
    squares = table["sum_sq"]
    assert result.statistic == pytest.approx(table.loc["model", "F"], rel=1e-10)
    assert result.eta_squared == pytest.approx(squares["model"] / squares.sum(), rel=1e-10)


def test_tukey(values: np.ndarray) -> None:
    result = tukey_hsd(values)
    long = pd.DataFrame({"model": list("abcd") * 29, "value": values.ravel()})
    theirs = pairwise_tukeyhsd(long["value"], long["model"])
    assert [pair.p_adjusted for pair in result.values()] == pytest.approx(theirs.pvalues, abs=1e-6)
    assert list(result) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    raw = ols("value ~ model", long).fit().t_test("model[T.d] - model[T.b] = 0")
    assert -result[1, 3].statistic == pytest.approx(float(raw.tvalue.squeeze()), rel=1e-9)
    assert result[1, 3].p == pytest.approx(float(raw.pvalue), rel=1e-9)


def test_analysis_of_variance_by_hand() -> None:
    """Means 2 and 4 of three values each, spread 1 within: F = 6 / 1, η² = 6 / 10."""
    result = one_way_anova(np.array([[1, 3], [2, 4], [3, 5]], float))
    assert (result.statistic, result.eta_squared) == pytest.approx((6, 0.6))


def test_friedman(values: np.ndarray) -> None:
    theirs = stats.friedmanchisquare(*values.T)
    result = friedman_test(values)
    assert (result.statistic, result.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-12)


def test_friedman_by_hand() -> None:
    """Four cases rank three models in the same order: χ² = 12/(4·3·4)·(4² + 8² + 12²) − 3·4·4 = 8, W = 1."""
    result = friedman_test(np.array([[1, 2, 3], [2, 4, 9], [0, 1, 2], [5, 6, 7]], float))
    assert (result.statistic, result.w) == pytest.approx((8, 1))


def test_signed_ranks(values: np.ndarray) -> None:
    differences = values[:, 0] - values[:, 3]
    theirs = stats.wilcoxon(values[:, 0], values[:, 3])
    assert wilcoxon_signed_rank(differences).p == pytest.approx(theirs.pvalue, rel=1e-12)
    assert wilcoxon_signed_rank(np.array([1.0, 2, 3, 4, 5])).p == 2 / 32
    assert wilcoxon_signed_rank(np.zeros(4)).p == 1


@pytest.mark.parametrize("values", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((5, 3)), np.full((5, 3), 0.1)])
def test_values_that_do_not_vary_give_nan(values: np.ndarray) -> None:
    assert np.isnan(one_way_anova(values).p)
    assert np.isnan(friedman_test(values).p)
    assert all(np.isnan(pair.p_adjusted) for pair in tukey_hsd(values).values())


def test_friedman_needs_three_models() -> None:
    values = np.random.default_rng(0).normal(size=(9, 2))
    assert np.isnan(friedman_test(values).p)
    assert one_way_anova(values).p == pytest.approx(stats.ttest_ind(*values.T).pvalue, rel=1e-10)


def test_adjustments() -> None:
    """The 15 p-values of Benjamini and Hochberg (1995), section 3.2: four of them are below 0.05 by their procedure."""
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1,
    ]
    adjusted = benjamini_hochberg(p)
    assert (adjusted <= 0.05).sum() == 4
    assert (holm(p) <= 0.05).sum() == 3
    assert adjusted == pytest.approx(multipletests(p, method="fdr_bh")[1], rel=1e-12)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=20))
def test_undefined_values_are_not_part_of_a_family(p: list[float]) -> None:
    known = [value for value in p if not np.isnan(value)]
    for adjust in (benjamini_hochberg, holm):
        adjusted = adjust(p)
        assert np.array_equal(np.isnan(adjusted), np.isnan(p))
        assert list(adjusted[~np.isnan(adjusted)]) == (list(adjust(known)) if known else [])
        assert all(after >= before for before, after in zip(known, adjusted[~np.isnan(adjusted)], strict=True))
