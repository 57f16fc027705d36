"""Paired permutation test: distribution of the mean difference if the models' names are swapped at random.

The unit that is swapped is a case, as in the paper, or a patient with all cases. Fractions of one patient are similar,
so that cases cannot be swapped one by one as if each were a new patient. Whole patients can be swapped, regardless of
what the cases of a patient have in common. The statistic is the mean over cases for both units; it is the difference
that the tables show.

With m units there are 2^m swaps. For up to 36 units all are counted, so that p doesn't depend on a seed. Each swap
of one half of the units has a sum. A search in the sorted sums of the other half counts those that are as extreme
(Horowitz and Sahni 1974, doi 10.1145/321812.321823). For more units ``n_resamples`` swaps are drawn, and
p = (1 + number that are as extreme) / (1 + n_resamples), which is never 0 (Phipson and Smyth 2010, doi
10.2202/1544-6115.1585).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_EXACT_UNITS = 36
"""Up to this number of units all swaps are counted; each half then has at most 262,144."""
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
        n_resamples: number of random swaps for more than :data:`MAX_EXACT_UNITS` units.
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
    if len(names) <= MAX_EXACT_UNITS:
        n_swaps = 2 ** len(names)
        n_extreme = np.array([_count_extreme(*column) for column in zip(sums.T, observed, strict=True)])
        p = n_extreme / n_swaps
    else:
        n_swaps = n_resamples
        signs = _random_signs(len(names), n_resamples, seed)
        n_extreme = sum(((np.abs(chunk @ sums) >= observed).sum(axis=0) for chunk in signs), np.zeros(m, int))
        p = (n_extreme + 1) / (n_resamples + 1)
    p = np.where(np.isnan(observed), np.nan, p)
    return PermutationTest(differences.mean(axis=0), p, n_swaps, len(names) <= MAX_EXACT_UNITS)


def smallest_p(n_units: int) -> float:
    """Return the smallest possible p-value: of all 2^n swaps of n units, two are as extreme as the clearest result."""
    return float(2.0 ** (1 - n_units))


def _count_extreme(sums: npt.NDArray[np.float64], observed: float) -> int:
    """Return how many of all swaps have a sum of at least ``observed`` in absolute value.

    Args:
        sums: sum of the differences of each unit.
        observed: absolute value of their sum.
    """
    if observed <= 0:
        return int(2 ** len(sums))
    half = len(sums) // 2
    first, second = _sums_of_swaps(sums[:half]), np.sort(_sums_of_swaps(sums[half:]))
    above = len(second) - np.searchsorted(second, observed - first)
    return 2 * int(above.sum())  # each swap has an opposite, whose sum has the other sign


def _sums_of_swaps(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    swapped = np.zeros(1)
    for value in sums:
        swapped = np.concatenate([swapped + value, swapped - value])
    return swapped


def _random_signs(n_units: int, n_resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    for start in range(0, n_resamples, _CHUNK):
        rows = min(_CHUNK, n_resamples - start)
        yield np.where(random.integers(0, 2, (rows, n_units), np.int8), -1.0, 1.0)
