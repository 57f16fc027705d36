"""How a trained model is run over a scan, and how its contours are written."""

from typing import Literal

from pydantic import Field

from gynbtnet.preparation.planning.settings import Axis
from gynbtnet.runtime.settings import Settings

Output = Literal["rtstruct", "seg", "nifti"]
Roi = Literal["body", "pelvis", "whole"]
Backend = Literal["eager", "compiled", "openvino"]


class PredictionSettings(Settings):
    """The sliding window, what is averaged, and the files."""

    overlap: float = Field(0.5, ge=0, lt=1, description="Share of a window that the next one covers again.")
    mirroring: bool = Field(
        True, description="Average over the mirror images of each window: twice the work for each mirrored axis."
    )
    mirrored_axes: tuple[Axis, ...] | None = Field(
        None,
        min_length=1,
        description="What mirroring mirrors, all or some of the axes that were mirrored in training: others are "
        "refused. null: those that were mirrored in training.",
    )
    folds: int | None = Field(None, ge=1, description="How many folds of an ensemble are averaged; left out, all.")
    roi: Roi = Field(
        "body",
        description="Where windows are laid. body: between the patient's ends; pelvis: only around the pelvis, found "
        "by its bones, and as body where there is none; whole: over the whole scan, as nnU-Net lays them.",
    )
    backend: Backend = Field(
        "eager",
        description="What computes the network: PyTorch, PyTorch compiled, or OpenVINO on a CPU. compiled needs "
        "minutes before the first scan and a C++ compiler, or Triton on a GPU; openvino has to be installed.",
    )
    weights: Literal["last", "best"] = Field(
        "last", description="Weights of the end of the training, or of its best smoothed validation score."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one.")
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
        description="A structure whose DSC may lie below it is called to review. Readers of the HR-CTV reach 0.73.",
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

    def fast(self) -> "PredictionSettings":
        """The same in a hurry: one fold, no mirroring, windows that overlap by a quarter."""
        return self.model_copy(update={"folds": 1, "mirroring": False, "overlap": 0.25})
