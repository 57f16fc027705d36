"""What nnU-Net may be told; the rest it configures itself."""

from typing import Literal

from pydantic import Field, field_validator

from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.runtime.settings import Settings


class NnUNetSettings(Settings):
    """nnU-Net's own numbers as defaults; fewer epochs and steps are for machines that can't carry these."""

    epochs: int = Field(1000, ge=1, description="Length of the run; the learning rate reaches zero at its end.")
    steps_per_epoch: int = Field(250, ge=1, description="Batches that are trained on in an epoch.")
    validation_steps: int = Field(50, ge=1, description="Batches that are validated on in an epoch.")
    planner: Literal["default", "residual_m", "residual_l", "residual_xl"] = Field(
        "default",
        description="default: the published one; residual_m, _l and _xl: its later ones with residual encoders, for "
        "GPUs of about 10, 24 and 40 GB.",
    )
    gpu_memory_gb: float | None = Field(
        None, gt=0, description="What its planner plans for, in place of the planner's own: smaller patches in less."
    )
    spacing: tuple[float, float, float] | None = Field(
        None, description="mm along z, y, x; left out, it chooses. Coarser voxels are for small machines."
    )
    mirror_axes: tuple[Axis, ...] = Field(
        ALL_AXES,
        description="The patient's axes that its augmentation and its prediction mirror; its own are all three. x is "
        "left out if structures have sides, for it can't swap their labels.",
    )
    checkpoint_interval_epochs: int = Field(
        50, ge=1, description="Epochs between two checkpoints; a killed run loses at most these."
    )
    workers: int | None = Field(
        None, ge=0, description="Processes that augment; null: its own choice, up to 12; 0: none, for small machines."
    )
    accelerator: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one.")

    @field_validator("mirror_axes")
    @classmethod
    def _mirrors_each_axis_once(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        if len(set(axes)) < len(axes):
            raise ValueError("expected each axis once")
        return tuple(axis for axis in ALL_AXES if axis in axes)
