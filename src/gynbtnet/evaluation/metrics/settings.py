"""Settings of scores and of dose comparisons."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from gynbtnet.imaging.contours.subslices import Ends
from gynbtnet.runtime.settings import Settings

DoseKind = Literal["total", "fraction"]
SurfaceKind = Literal["voxels", "mesh"]
MissingStructurePolicy = Literal["worst", "diagonal", "drop"]


class ScoringSettings(Settings):
    """Scores of structures that only one side has, and the tolerance of the surface DSC."""

    missing_structure_policy: MissingStructurePolicy = "worst"
    """Score of a structure that only the truth or only the prediction has. "worst": DSC 0 and the largest distance that
    the case allows. "diagonal": DSC 0 and the diagonal of the scan. "drop": excluded from the means, which then look
    better than the contours are."""
    tolerance_mm: float = Field(2.0, gt=0, le=100)
    """Tolerance of the surface DSC in mm: a part of a surface within this distance of the other surface agrees."""
    tolerances_mm: Mapping[str, Annotated[float, Field(gt=0, le=100)]] = {}
    """Tolerances in mm of structures with another one, by structure."""
    surface: SurfaceKind = "voxels"
    """Surface of a mask. "voxels": its boundary voxels, each counted once (MONAI). "mesh": triangles between voxel
    centres, weighted by area (DeepMind's surface-distance)."""

    def tolerance_of(self, structure: str) -> float:
        """Return the tolerance of a structure in mm."""
        return self.tolerances_mm.get(structure, self.tolerance_mm)

    def columns_of(self, structure: str) -> dict[str, object]:
        """Return the settings of a structure, as columns of a table."""
        return {
            "missing_structure_policy": self.missing_structure_policy,
            "tolerance_mm": self.tolerance_of(structure),
            "surface": self.surface,
        }

    def __str__(self) -> str:
        tolerances = ", ".join(f"{value:g} mm for {structure}" for structure, value in self.tolerances_mm.items())
        tolerance = f"tolerances of {tolerances}" if tolerances else f"a tolerance of {self.tolerance_mm:g} mm"
        return f"the policy {self.missing_structure_policy}, surfaces of {self.surface} and {tolerance}"


class DoseSettings(Settings):
    """Parameters of the total dose of a course."""

    alpha_beta_target_gy: float = Field(10.0, gt=0, le=100)
    """α/β of GTV, CTV and PTV in Gy."""
    alpha_beta_organ_gy: float = Field(3.0, gt=0, le=100)
    """α/β of every other structure in Gy."""
    alpha_beta_gy: Mapping[str, Annotated[float, Field(gt=0, le=100)]] = {}
    """α/β in Gy of structures with another value, by structure."""
    fractions_per_plan: int | None = Field(None, ge=1, le=20)
    """Number of times that the dose of each case was delivered: 2 if two fractions follow one planning scan. None: the
    number in the RTPLAN, or 1 without one."""
    dose_is: DoseKind | None = None
    """The stored dose of a plan: "total" of its fractions, or that of one "fraction". None: of one; a plan of several
    fractions is then refused."""
    course_fractions: int | None = Field(None, ge=1, le=60)
    """Number of brachytherapy fractions of a complete course; a patient with another number is not judged. None:
    unknown."""

    prescription_gy: float | None = Field(None, gt=0, le=100)
    """Prescribed dose of one fraction in Gy, for V100, V150 and V200. None: unknown."""
    ends: Ends = "none"
    """End of a structure in volumes and doses. "none": on its first and last slice, as in the planning systems that we
    compared. "half": half a slice beyond them."""

    def alpha_beta_of(self, structure: str, *, target: bool) -> float:
        """Return α/β of a structure in Gy; ``target`` is True for a GTV, CTV or PTV."""
        return self.alpha_beta_gy.get(structure, self.alpha_beta_target_gy if target else self.alpha_beta_organ_gy)
