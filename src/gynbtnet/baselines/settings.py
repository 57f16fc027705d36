"""Settings of the nnU-Net baseline; nnU-Net configures everything else itself."""

from typing import Literal

from pydantic import Field, field_validator

from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.runtime.settings import Settings


class NnUNetSettings(Settings):
    """Settings of the nnU-Net baseline. The defaults are nnU-Net's; smaller numbers are for small machines."""

    epochs: int = Field(1000, ge=1, description="Number of epochs; the learning rate reaches zero at the end.")
    steps_per_epoch: int = Field(250, ge=1, description="Training batches per epoch.")
    validation_steps: int = Field(50, ge=1, description="Validation batches per epoch.")
    planner: Literal["default", "residual_m", "residual_l", "residual_xl"] = Field(
        "default",
        description="default: the published planner; residual_m, residual_l, residual_xl: the later planners with "
        "residual encoders, for GPUs of about 10, 24 and 40 GB.",
    )
    gpu_memory_gb: float | None = Field(
        None,
        gt=0,
        description="GPU memory to plan for; less memory gives smaller patches. null: the planner's default.",
    )
    spacing: tuple[float, float, float] | None = Field(
        None,
        description="Voxel size along z, y, x in mm; null: chosen by nnU-Net. Coarser voxels are for small machines.",
    )
    mirror_axes: tuple[Axis, ...] = Field(
        ALL_AXES,
        description="Axes of the patient that augmentation and prediction mirror; nnU-Net mirrors all "
        "three. If structures have sides, x is omitted, because nnU-Net can't swap their labels.",
    )
    checkpoint_interval_epochs: int = Field(
        50, ge=1, description="Epochs between two checkpoints; an interrupted run loses at most these."
    )
    workers: int | None = Field(
        None,
        ge=0,
        description="Processes for augmentation. null: chosen by nnU-Net, up to 12; 0: none, for small machines.",
    )
    accelerator: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one.")

    @field_validator("mirror_axes")
    @classmethod
    def _mirrors_each_axis_once(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        if len(set(axes)) < len(axes):
            raise ValueError("expected each axis once")
        return tuple(axis for axis in ALL_AXES if axis in axes)
