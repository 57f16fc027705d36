"""Settings of a prediction: sliding window, test-time augmentation, review and output files."""

from typing import Literal

from pydantic import Field

from gynbtnet.preparation.planning.settings import Axis
from gynbtnet.runtime.settings import Settings

Output = Literal["rtstruct", "seg", "nifti", "slicer"]
Roi = Literal["body", "pelvis", "whole"]
Backend = Literal["eager", "compiled", "openvino"]


class PredictionSettings(Settings):
    """Settings of a prediction."""

    overlap: float = Field(0.5, ge=0, lt=1, description="Overlap of neighbouring windows, as a share of the window.")
    mirroring: bool = Field(
        True, description="Average over mirror images of each window; each mirrored axis doubles the work."
    )
    mirrored_axes: tuple[Axis, ...] | None = Field(
        None,
        min_length=1,
        description="Axes that are mirrored; only axes that were mirrored in training are allowed. null: all of these.",
    )
    folds: int | None = Field(None, ge=1, description="Number of folds of an ensemble that are averaged. null: all.")
    roi: Roi = Field(
        "body",
        description="Part of the scan that is predicted: body (the patient), pelvis (found by its bones; otherwise "
        "body) or whole (the whole scan, as in nnU-Net).",
    )
    backend: Backend = Field(
        "eager",
        description="Library that computes the network: PyTorch (eager), compiled PyTorch, or OpenVINO on a CPU. "
        "OpenVINO must be installed. Compilation takes minutes before the first scan, and needs a C++ compiler "
        "(CPU) or Triton (GPU).",
    )
    weights: Literal["last", "best"] = Field(
        "last", description="last: weights of the end of the training; best: of its best smoothed validation score."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one.")
    contour_style: Literal["smooth", "exact"] = Field(
        "smooth", description="Contours in the RTSTRUCT: smooth (sub-voxel) or exact (along voxel edges)."
    )
    hole_style: Literal["keyhole", "inner"] = Field(
        "keyhole",
        description="Holes in the RTSTRUCT: keyhole (read by every planning system) or inner (separate contours).",
    )
    review_dsc_threshold: float = Field(
        0.7,
        ge=0,
        le=1,
        description="A structure is marked for review if its DSC may be below this value. Human readers of the HR-CTV "
        "reach 0.73.",
    )
    outputs: tuple[Output, ...] | None = Field(
        None,
        min_length=1,
        description="Contour files: rtstruct, seg, nifti (a label map; masks if structures overlap), slicer (for 3D "
        "Slicer). null: nifti, and rtstruct for a DICOM scan.",
    )
    preview: bool = Field(True, description="Write a picture and a page of the contours on the scan.")

    def to_evaluate(self, *, is_dicom: bool) -> "PredictionSettings":
        """Return the settings with the label map among the outputs, because evaluation reads it.

        RTSTRUCT and SEG are removed if the scan isn't a DICOM series.
        """
        others = [output for output in self.outputs or () if output != "nifti" and is_dicom]
        return self.model_copy(update={"outputs": (*others, "nifti")}) if self.outputs else self

    def fast(self) -> "PredictionSettings":
        """Return the settings for a quick prediction: one fold, no mirroring, windows that overlap by a quarter."""
        return self.model_copy(update={"folds": 1, "mirroring": False, "overlap": 0.25})
