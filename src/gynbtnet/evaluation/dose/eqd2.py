"""Doses of unlike fractions on one scale: the equivalent dose in fractions of 2 Gy, by the linear-quadratic model.

BED = n·d·(1 + d/(α/β)) and EQD2 = BED/(1 + 2/(α/β)) = n·d·(d + α/β)/(2 + α/β) for n fractions of d Gy (Fowler 1989,
doi 10.1259/0007-1285-62-740-679; ICRU report 89).
"""

from collections.abc import Sequence


def eqd2(dose_gy: float, alpha_beta_gy: float, fractions: int = 1) -> float:
    """EQD2 in Gy of ``fractions`` fractions of ``dose_gy`` Gy each."""
    return fractions * dose_gy * (dose_gy + alpha_beta_gy) / (2 + alpha_beta_gy)


def total_eqd2(doses_gy: Sequence[float], alpha_beta_gy: float, deliveries: int = 1) -> float:
    """The sum over brachytherapy fractions in Gy; NaN where the dose of one is."""
    return sum(eqd2(dose, alpha_beta_gy, deliveries) for dose in doses_gy)
