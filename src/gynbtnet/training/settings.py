"""What a training run needs to be told, with the paper's numbers as defaults."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gynbtnet.settings import Settings


class TrainingSettings(Settings):
    """What all three stages share. An epoch is ``steps_per_epoch`` optimiser steps."""

    seed: int = Field(0, ge=0, description="Everything random in the run follows from it.")
    epochs: int = Field(1000, ge=1, description="Length of the run; the learning rate reaches zero at its end.")
    steps_per_epoch: int | None = Field(
        None, ge=1, description="Optimiser steps in an epoch; null: one pass, a random crop of each training scan."
    )
    accumulate: int = Field(1, ge=1, description="Batches whose gradients are averaged before an optimiser step.")
    learning_rate: float = Field(5e-5, gt=0, description="Highest learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of AdamW.")
    warm_up_epochs: int = Field(0, ge=0, description="Epochs of linear warm-up before the cosine.")
    clip: float | None = Field(12.0, gt=0, description="Largest gradient norm, as in nnU-Net; null: no clipping.")
    augmentation: Literal["full", "light", "none"] = Field(
        "full", description="full: nnU-Net's recipe; light: flips only; none: the crop as it is."
    )
    validate_every: int = Field(1, ge=1, description="Epochs between two validations.")
    validation_patches: int = Field(16, ge=1, description="Fixed patches of the validation scans that are scored.")
    picture_every: int = Field(10, ge=1, description="Epochs between two pictures of validation patches.")
    checkpoint_every: int = Field(
        10, ge=1, description="Epochs between two checkpoints; a killed run loses at most these."
    )
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        "auto", description="auto: bf16-mixed where a GPU computes in bfloat16, else 32-true. A CPU takes only 32-true."
    )
    accelerator: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one.")
    devices: int = Field(1, ge=1, description="Processes, one a device; each takes a batch of the plan's size.")
    workers: int = Field(0, ge=0, description="Processes that read and augment ahead of the network; 0: none.")

    @model_validator(mode="after")
    def _ends_after_the_warm_up(self) -> Self:
        if self.warm_up_epochs >= self.epochs:
            raise ValueError(f"warm_up_epochs is {self.warm_up_epochs}, expected less than epochs, {self.epochs}")
        return self


class PretrainingSettings(TrainingSettings):
    """Stage 1, masked image modelling."""

    learning_rate: float = Field(1e-4, gt=0, description="Highest learning rate of AdamW.")
    augmentation: Literal["full", "light", "none"] = Field("light", description="The paper's random crop and flip.")
    mask_ratio: float = Field(0.6, ge=0, lt=1, description="Share of mask cells hidden from the network.")
    normalise_target: bool = Field(True, description="Reconstruct each cell with its own mean and variance removed.")
    norm: Literal["instance", "batch"] = Field(
        "instance",
        description="Over the visible voxels of each patch, or of the batch on all devices, as the paper names it. The "
        "stages after use instance norm, and take over its scale and shift from either.",
    )
    decoder: Literal["light", "unet"] = Field(
        "light", description="light: a small one; unet: the segmentation network's. Neither goes on to the next stage."
    )
    recompute: bool = Field(
        False, description="Keep less of the forward pass and compute it again for the gradients: less memory for time."
    )


class SegmentationSettings(TrainingSettings):
    """Stages 2 and 3, and any supervised run."""

    foreground_share: float = Field(
        1 / 3, ge=0, le=1, description="Share of patches centred on a voxel of a structure; the rest lie anywhere."
    )
    deep_supervision: bool = Field(True, description="The loss also looks at the decoder's coarser levels.")
    batch_dice: bool = Field(False, description="The Dice loss pools a batch's patches instead of scoring each one.")
