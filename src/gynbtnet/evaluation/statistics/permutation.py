"""Paired permutation test: distribution of the mean difference if the models' names are swapped at random.

The unit that is swapped is a case, as in the paper, or a patient with all cases. Fractions of one patient are similar,
so that cases cannot be swapped one by one as if each were a new patient. Whole patients can be swapped, regardless of
what the cases of a patient have in common. The statistic is the mean over cases for both units; it is the difference
that the tables show.

With m units there are 2^m swaps. All are counted if that is no more than ``n_resamples``. Otherwise that many are
drawn, and p = (1 + number that are as extreme) / (1 + n_resamples), which is never 0 (Phipson and Smyth 2010, doi
10.2202/1544-6115.1585).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CHUNK = 8192
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PermutationTest:
    """Result of m paired permutation tests.

    Attributes:
        statistic: mean differences, (m,).
        p: two-sided p-values, (m,).
        n_permutations: number of swaps that were counted.
        exact: whether these are all possible swaps.
    """

    statistic: npt.NDArray[np.float64]
    p: npt.NDArray[np.float64]
    n_permutations: int
    exact: bool


def paired_permutation_test(
    differences: npt.NDArray[np.float64], units: Sequence[str], n_resamples: int, seed: int
) -> PermutationTest:
    """Test whether the means of paired differences are 0.

    Args:
        differences: (n cases, m comparisons); all comparisons use the same swaps.
        units: unit of each case, n; cases of the same unit are swapped together.
        n_resamples: maximum number of swaps.
        seed: seed of random swaps; the same seed gives the same swaps.

    Returns:
        Statistics and p-values of the m comparisons; NaN if there are no cases, or a difference is NaN.
    """
    n, m = differences.shape
    if not n:
        return PermutationTest(np.full(m, np.nan), np.full(m, np.nan), 0, True)
    names, unit_index = np.unique(np.asarray(units), return_inverse=True)
    sums = np.zeros((len(names), m))
    np.add.at(sums, unit_index, differences)
    observed = np.abs(sums.sum(axis=0)) - _ROUNDING * np.abs(differences).sum(axis=0)
    exact = len(names) <= n_resamples.bit_length() - 1
    signs = _all_signs(len(names)) if exact else _random_signs(len(names), n_resamples, seed)
    n_extreme = sum(((np.abs(chunk @ sums) >= observed).sum(axis=0) for chunk in signs), np.zeros(m, int))
    p = n_extreme / 2 ** len(names) if exact else (n_extreme + 1) / (n_resamples + 1)
    p = np.where(np.isnan(observed), np.nan, p)
    return PermutationTest(differences.mean(axis=0), p, 2 ** len(names) if exact else n_resamples, exact)


def smallest_p(n_units: int) -> float:
    """Return the smallest possible p-value: of all 2^n swaps of n units, two are as extreme as the clearest result."""
    return float(2.0 ** (1 - n_units))


def _all_signs(n_units: int) -> Iterator[npt.NDArray[np.float64]]:
    for start in range(0, 2**n_units, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, 2**n_units))
        yield np.where((numbers[:, None] >> np.arange(n_units)) & 1, -1.0, 1.0)


def _random_signs(n_units: int, n_resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    for start in range(0, n_resamples, _CHUNK):
        rows = min(_CHUNK, n_resamples - start)
        yield np.where(random.integers(0, 2, (rows, n_units), np.int8), -1.0, 1.0)
