"""How a trained model is run over a scan, and how its contours are written."""

from typing import Literal

from pydantic import Field

from gynbtnet.settings import Settings


class PredictionSettings(Settings):
    """The sliding window, what is averaged, and the files."""

    overlap: float = Field(0.5, ge=0, lt=1, description="Share of a window that the next one covers again.")
    mirroring: bool = Field(
        True, description="Average over the eight mirror images of each window: eight times the work."
    )
    weights: Literal["last", "best"] = Field(
        "last", description="Weights of the end of the training, or of its best smoothed validation score."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one.")
    outlines: Literal["smooth", "exact"] = Field(
        "smooth", description="Contours of the RTSTRUCT: sub-voxel, or exactly along the borders of voxels."
    )
    holes: Literal["keyhole", "inner"] = Field(
        "keyhole",
        description="Holes in the RTSTRUCT: as keyholes, which every planning system reads, or as inner contours.",
    )
    review_below: float = Field(
        0.7,
        ge=0,
        le=1,
        description="A structure whose DSC may lie below it is called to review. Readers of the HR-CTV reach 0.73.",
    )
    seg: bool = Field(False, description="Write a DICOM SEG beside the RTSTRUCT.")
