"""Equivalent dose in fractions of 2 Gy (EQD2), which makes different fractionations comparable.

Linear-quadratic model: BED = n·d·(1 + d/(α/β)) and EQD2 = BED/(1 + 2/(α/β)) = n·d·(d + α/β)/(2 + α/β) for n fractions
of d Gy (Fowler 1989, doi 10.1259/0007-1285-62-740-679; ICRU report 89).
"""

from collections.abc import Sequence


def to_eqd2(dose_gy: float, alpha_beta_gy: float, fractions: int = 1) -> float:
    """Return the EQD2 of a fractionated dose in Gy.

    Args:
        dose_gy: dose per fraction in Gy.
        alpha_beta_gy: α/β of the tissue in Gy.
        fractions: number of fractions.

    Returns:
        The equivalent dose in 2 Gy fractions, of all fractions together, in Gy.

    Example:
        >>> to_eqd2(7.0, alpha_beta_gy=3, fractions=4)
        56.0
    """
    return fractions * dose_gy * (dose_gy + alpha_beta_gy) / (2 + alpha_beta_gy)


def total_eqd2(doses_gy: Sequence[float], alpha_beta_gy: float, fractions: Sequence[int] | None = None) -> float:
    """Return the summed EQD2 of brachytherapy plans in Gy.

    Args:
        doses_gy: dose per fraction of each plan in Gy.
        alpha_beta_gy: α/β of the tissue in Gy.
        fractions: number of times that each plan was delivered; None: once.

    Returns:
        The sum; NaN if a dose is NaN.
    """
    counts = fractions or [1] * len(doses_gy)
    return sum(to_eqd2(dose, alpha_beta_gy, count) for dose, count in zip(doses_gy, counts, strict=True))
