"""How predictions are scored, and how their doses are compared."""

from typing import Literal

from pydantic import Field

from gynbtnet.runtime.settings import Settings

Policy = Literal["worst", "diagonal", "drop"]


class ScoringSettings(Settings):
    """What a structure costs that one side lacks, and how near is near enough."""

    policy: Policy = "worst"
    """A structure that only truth or only prediction has: at both DSC 0 and, in mm, the worst distance that the case
    allows, or the diagonal of its scan; or left out of the means, which then look better than they are."""
    tolerance_mm: float = Field(2.0, gt=0, le=100)
    """Of the surface DSC: a surface voxel within this of the other surface agrees with it."""


class DoseSettings(Settings):
    """How doses of fractions become one dose of a course."""

    alpha_beta_target_gy: float = Field(10.0, gt=0, le=100)
    """α/β of GTV, CTV and PTV in Gy."""
    alpha_beta_organ_gy: float = Field(3.0, gt=0, le=100)
    """α/β of every other structure in Gy."""
    deliveries: int = Field(1, ge=1, le=20)
    """How often the dose of each case was delivered: 2 where two fractions follow one planning scan."""
