"""Settings of the nnU-Net baseline; nnU-Net configures everything else itself."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from gynbtnet.networks.presets import PRESETS
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis, Outputs
from gynbtnet.runtime.settings import Settings
from gynbtnet.training.budget import Budget


class NnUNetSettings(Settings):
    """Settings of the nnU-Net baseline. The defaults are nnU-Net's; smaller numbers are for small machines."""

    epochs: int = Field(
        1000,
        ge=1,
        description="Number of epochs; the learning rate reaches zero at the end. With a budget, this doesn't end "
        "the run.",
    )
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
    patch_size: tuple[int, int, int] | None = Field(
        None,
        description="Voxels of a patch along z, y, x, each at least 8; null: chosen by the planner. Network nnunet "
        "gets the planner's levels for it.",
    )
    batch_size: int | None = Field(
        None, ge=1, le=4096, description="Patches of a training batch; null: chosen by the planner."
    )
    network: Literal["nnunet", "gynbtnet"] = Field(
        "nnunet",
        description="nnunet: the planned network; gynbtnet: GynBTNet in nnU-Net's trainer, a control that separates "
        "the network from the method. Deep supervision, loss and augmentation are then nnU-Net's.",
    )
    preset: str | None = Field(
        None, description=f"Size of network gynbtnet: {', '.join(PRESETS)}; null: XS. Only with network: gynbtnet."
    )
    features: int | None = Field(
        None,
        ge=1,
        le=320,
        description="Channels at full resolution of network nnunet, doubled from level to level up to 320; null: 32. "
        "16 is the control with as few channels as preset XS.",
    )
    trainer: str = Field(
        "nnUNetTrainer",
        max_length=200,
        description="Class of nnunetv2 that trains: nnUNetTrainer, or one of its variants by name, such as "
        "nnUNetTrainerAdam or nnUNetTrainerNoMirroring.",
    )
    optimiser: Literal["sgd", "adamw"] | None = Field(
        None,
        description="sgd: with Nesterov momentum; adamw: PyTorch's AdamW with its default betas. null: the trainer's "
        "own, SGD in nnUNetTrainer.",
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1000, description="Highest learning rate; null: the trainer's own, 0.01 in nnUNetTrainer."
    )
    weight_decay: float | None = Field(
        None, ge=0, le=1000, description="Weight decay; null: the trainer's own, 3e-5 in nnUNetTrainer."
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description="Momentum of SGD; null: the trainer's own, 0.99 in nnUNetTrainer."
    )
    budget: Budget | None = Field(
        None,
        description="Amount of computation that ends a run; null: epochs × steps_per_epoch. The learning rate "
        "follows the used share of the budget from step to step.",
    )
    schedule: Literal["poly", "cosine"] | None = Field(
        None,
        description="Fall of the learning rate over the used share of the run. It changes from step to step. poly: "
        "exponent 0.9. null: poly with a budget. Without one, the trainer's own, which changes between epochs.",
    )
    warm_up_share: float = Field(
        0,
        ge=0,
        lt=1,
        description="Share of the run in which the learning rate rises linearly; needs a budget or a schedule.",
    )
    mirror_axes: tuple[Axis, ...] = Field(
        ALL_AXES,
        description="Axes of the patient that augmentation and prediction mirror; nnU-Net mirrors all "
        "three. If structures have sides, x is omitted, because nnU-Net can't swap their labels. A trainer that "
        "mirrors fewer axes still mirrors only those.",
    )
    outputs: Outputs = Field(
        "auto",
        description="exclusive: one label per voxel (softmax); overlapping: structures are nnU-Net's regions "
        "(sigmoids). auto: overlapping if a structure shares more than overlap_share of its volume.",
    )
    overlap_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="With outputs auto: largest share of a structure's volume, over the training cohort, that another "
        "one may have too.",
    )
    checkpoint_interval_epochs: int = Field(
        50, ge=1, description="Epochs between two checkpoints; an interrupted run loses at most these."
    )
    time_budget_hours: float | None = Field(
        None,
        gt=0,
        description="Hours from the start of the command; no epoch begins that would end later. The run then saves a "
        "checkpoint, and the same command resumes it; null: no limit.",
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

    @field_validator("patch_size")
    @classmethod
    def _has_patches_that_a_network_can_divide(cls, size: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
        if size is not None and not all(8 <= length <= 1024 for length in size):
            raise ValueError("expected 8 to 1024 voxels along each axis")
        return size

    @field_validator("trainer")
    @classmethod
    def _names_a_class(cls, name: str) -> str:
        if not name.isidentifier():
            raise ValueError("expected the name of a class of nnunetv2, such as nnUNetTrainer")
        return name

    @field_validator("preset")
    @classmethod
    def _has_a_known_preset(cls, preset: str | None) -> str | None:
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"expected one of {', '.join(PRESETS)}")
        return preset

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> Self:
        if self.preset and self.network == "nnunet":
            raise ValueError("preset is a size of network gynbtnet; add network: gynbtnet, or omit preset")
        if self.features and self.network == "gynbtnet":
            raise ValueError("features is a size of network nnunet; use preset for gynbtnet, or omit features")
        if self.momentum is not None and self.optimiser == "adamw":
            raise ValueError("momentum is a setting of sgd; omit it, or use optimiser: sgd")
        if self.warm_up_share and not (self.budget or self.schedule):
            raise ValueError("warm_up_share needs a budget or a schedule; the trainer's own schedule has no warm-up")
        return self
