"""How a trained model is run over a scan, and how its contours are written."""

from typing import Literal

from pydantic import Field

from gynbtnet.settings import Settings

Output = Literal["rtstruct", "seg", "nifti"]


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
    outputs: tuple[Output, ...] | None = Field(
        None,
        min_length=1,
        description="Files of contours: rtstruct, seg, nifti. Left out: nifti, and of a DICOM scan rtstruct too.",
    )
    preview: bool = Field(True, description="Draw a picture of the contours on the scan.")

    def to_evaluate(self, *, is_dicom: bool) -> "PredictionSettings":
        """The same with the label map among the files, which evaluation reads, and with what only DICOM can have
        left out where the scan is none.
        """
        asked = [form for form in self.outputs or () if form != "nifti" and is_dicom]
        return self.model_copy(update={"outputs": (*asked, "nifti")}) if self.outputs else self
