"""Settings of the synthetic cohorts of an experiment."""

from typing import Literal

from pydantic import Field, model_validator

from gynbtnet.phantom.anatomy.population import Realism
from gynbtnet.phantom.cohorts import MATRIX, SPACING
from gynbtnet.phantom.limits import check_counts, check_view
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings


class PhantomSettings(Settings):
    """Synthetic cohorts for the three stages, as ``gynbtnet phantom`` writes them. Sections are the paper's."""

    patients: int = Field(30, ge=1, description="Brachytherapy patients, 2.2.3.")
    fractions: int | Literal["4-5"] = Field(
        "4-5", description="Fractions per patient; with 4-5 thirty patients have 145, 2.2.3."
    )
    unlabelled: int = Field(24, ge=0, description="Scans without contours for stage 1; the paper has 6,157.")
    organs: int = Field(12, ge=1, description="Scans with many organs for stage 2; the paper has 1,204.")
    spacing: tuple[float, float, float] = Field(SPACING, description="mm along z, y, x.")
    matrix: tuple[int, int, int] = Field(MATRIX, description="Voxels along z, y, x.")
    seed: int = Field(0, ge=0, description="The same seed gives the same voxels.")
    realism: Realism = Field(
        "simple",
        description="simple: clear contrasts and moderate variety; clinical: contrast, variety and noise of a clinic.",
    )
    nested: bool = Field(
        False,
        description="Contour also GTV-res and IR-CTV, and the uterus with its cervix, so that structures overlap.",
    )

    @model_validator(mode="after")
    def _can_be_made(self) -> "PhantomSettings":
        """Refuse a phantom that can't be written, before anything of an experiment is."""
        try:
            check_view(self.spacing, self.matrix)
            check_counts(max(self.patients, self.unlabelled, self.organs), self.fractions)
        except BadInput as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return self
