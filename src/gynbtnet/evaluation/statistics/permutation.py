"""The paired permutation test: what the mean difference would be if the models' names were swapped at random.

The unit that is swapped is a case, as in the paper, or a patient with all cases. Fractions of one patient resemble one
another, so that cases can't be swapped one by one as if each were a new patient; whole patients can, whatever the cases
of a patient have in common. The statistic is the mean over cases either way, the difference that the tables show.

With m units there are 2^m swaps. All are counted where that is no more than ``resamples``; else that many are drawn,
and p = (1 + how many are as extreme) / (1 + resamples), which is never 0 (Phipson and Smyth 2010,
doi 10.2202/1544-6115.1585).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CHUNK = 8192
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Permutation:
    """Of m comparisons.

    Attributes:
        statistic: mean differences, (m,).
        p: two-sided, (m,).
        arrangements: how many swaps were counted.
        exact: whether these are all there are.
    """

    statistic: npt.NDArray[np.float64]
    p: npt.NDArray[np.float64]
    arrangements: int
    exact: bool


def paired_permutation(
    differences: npt.NDArray[np.float64], units: Sequence[str], resamples: int, seed: int
) -> Permutation:
    """Test whether the means of (n, m) paired differences are 0.

    Args:
        differences: n cases in m comparisons, which see the same swaps.
        units: n names; cases of one name are swapped together.
        resamples: the most swaps that are counted.
        seed: of the random ones; the same seed gives the same swaps.
    """
    n, m = differences.shape
    if not n:
        return Permutation(np.full(m, np.nan), np.full(m, np.nan), 0, True)
    names, places = np.unique(np.asarray(units), return_inverse=True)
    sums = np.zeros((len(names), m))
    np.add.at(sums, places, differences)
    least = np.abs(sums.sum(axis=0)) - _ROUNDING * np.abs(differences).sum(axis=0)
    exact = len(names) <= resamples.bit_length() - 1
    signs = _every_sign(len(names)) if exact else _random_signs(len(names), resamples, seed)
    extreme = sum(((np.abs(chunk @ sums) >= least).sum(axis=0) for chunk in signs), np.zeros(m, int))
    p = extreme / 2 ** len(names) if exact else (extreme + 1) / (resamples + 1)
    return Permutation(differences.mean(axis=0), p, 2 ** len(names) if exact else resamples, exact)


def least_p(units: int) -> float:
    """The smallest p-value that ``units`` can give: of all 2^units swaps, two are as extreme as the clearest result."""
    return float(2.0 ** (1 - units))


def _every_sign(units: int) -> Iterator[npt.NDArray[np.float64]]:
    for start in range(0, 2**units, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, 2**units))
        yield np.where((numbers[:, None] >> np.arange(units)) & 1, -1.0, 1.0)


def _random_signs(units: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        yield np.where(random.integers(0, 2, (rows, units), np.int8), -1.0, 1.0)
