"""What a training run needs to be told, with the paper's numbers as defaults."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.runtime.settings import Settings


class TrainingSettings(Settings):
    """What all three stages share. An epoch is ``steps_per_epoch`` optimiser steps.

    An optimiser step uses ``gradient_accumulation_steps`` batches of the plan's ``batch_size`` on every machine.
    Several devices share a batch, and ``auto_micro_batch`` computes it in parts. Learning rate and number of steps
    keep their meaning.
    """

    seed: int = Field(0, ge=0, description="Everything random in the run follows from it.")
    epochs: int = Field(1000, ge=1, description="Length of the run; the learning rate reaches zero at its end.")
    steps_per_epoch: int | None = Field(
        None, ge=1, description="Optimiser steps in an epoch; null: one pass, a random crop of each training scan."
    )
    gradient_accumulation_steps: int = Field(
        1, ge=1, description="Batches whose gradients are averaged before an optimiser step."
    )
    learning_rate: float = Field(5e-5, gt=0, description="Highest learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of AdamW.")
    weight_decay_on: Literal["all", "weights"] = Field(
        "all",
        description="all: every parameter decays, AdamW's default; weights: norms, biases and mask tokens don't, as in "
        "SparK.",
    )
    freeze_idle_biases: bool = Field(
        False,
        description="Don't train biases before an instance norm. They have no effect, and their gradients are rounding "
        "noise.",
    )
    initialisation: Literal["pytorch", "he"] = Field(
        "pytorch",
        description="New weights. pytorch: as PyTorch draws them; he: convolutions as nnU-Net and STU-Net draw them.",
    )
    warm_up_epochs: int = Field(0, ge=0, description="Epochs of linear warm-up before the cosine.")
    warm_up_share: float = Field(
        0, ge=0, lt=1, description="Share of the optimiser steps for linear warm-up, if warm_up_epochs is 0."
    )
    max_grad_norm: float | None = Field(
        12.0, gt=0, description="Largest gradient norm, as in nnU-Net; null: no clipping."
    )
    augmentation: Literal["full", "light", "none"] = Field(
        "full", description="full: nnU-Net's recipe; light: mirrors only; none: the crop as it is."
    )
    mirror_axes: tuple[Axis, ...] = Field(
        ALL_AXES,
        description="The patient's axes that augmentation mirrors, each half of the time: z turns head and feet, y "
        "front and back, x left and right. With x, labels such as hip_left and hip_right are swapped; if a structure "
        "has a side and its counterpart isn't learned, x is left out. Prediction mirrors no other axes.",
    )
    validation_interval_epochs: int = Field(1, ge=1, description="Epochs between two validations.")
    validation_patches: int = Field(16, ge=1, description="Fixed patches of the validation scans that are scored.")
    picture_interval_epochs: int = Field(10, ge=1, description="Epochs between two pictures of validation patches.")
    checkpoint_interval_epochs: int = Field(
        10, ge=1, description="Epochs between two checkpoints; a killed run loses at most these."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better smoothed validation score after which the run has ended; null: it goes to "
        "the end of epochs. The best weights are then the ones to predict with: the learning rate hasn't come down.",
    )
    time_budget_hours: float | None = Field(
        None,
        gt=0,
        description="Hours from the start of the command after which no further epoch begins, nor one that would last "
        "longer. The run isn't ended: it is checkpointed, and the same command goes on with it; null: no limit.",
    )
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        "auto",
        description="auto: bf16-mixed where a GPU computes in bfloat16, 16-mixed where it is fast in float16 only, "
        "else 32-true. A CPU takes only 32-true.",
    )
    accelerator: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one.")
    devices: int = Field(
        1,
        ge=1,
        description="Processes, one a device, that share each batch; torchrun and Slurm bring their own number.",
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="On several devices: ddp, each holds the network whole; fsdp, each holds a share of its weights, "
        "gradients and optimiser state, for preset H.",
    )
    compile: bool = Field(
        False, description="Let torch.compile fuse the network's operations: minutes at the start, faster steps after."
    )
    auto_micro_batch: bool = Field(
        False,
        description="Compute a batch in as few equal parts as memory allows, and average their gradients: the step is "
        "that of the whole batch. A GPU's memory is tried, a CPU's reckoned from what one patch takes.",
    )
    micro_batch_memory_gb: float | None = Field(
        None,
        gt=0,
        description="With auto_micro_batch on a CPU: what a process may use, in GB; null: 80 % of what is free.",
    )
    workers: int = Field(0, ge=0, description="Processes that read and augment ahead of the network; 0: none.")

    @field_validator("mirror_axes")
    @classmethod
    def _mirrors_each_axis_once(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        if len(set(axes)) < len(axes):
            raise ValueError("expected each axis once")
        return tuple(axis for axis in ALL_AXES if axis in axes)

    @model_validator(mode="after")
    def _ends_after_the_warm_up(self) -> Self:
        if self.warm_up_epochs >= self.epochs:
            raise ValueError(f"warm_up_epochs is {self.warm_up_epochs}, expected less than epochs, {self.epochs}")
        if self.warm_up_epochs and self.warm_up_share:
            raise ValueError("warm_up_epochs and warm_up_share say the same; set one of them, and the other to 0")
        return self

    @model_validator(mode="after")
    def _is_split_where_it_can_be(self) -> Self:
        if self.auto_micro_batch and self.strategy == "fsdp":
            raise ValueError("auto_micro_batch tries what one device holds by itself; with strategy fsdp leave it out")
        if self.micro_batch_memory_gb is not None and not self.auto_micro_batch:
            raise ValueError(
                "micro_batch_memory_gb limits auto_micro_batch; set auto_micro_batch to true, or leave "
                "micro_batch_memory_gb out"
            )
        return self


class UnlabelledSettings(TrainingSettings):
    """Stage 1, of any network."""

    crops: Literal["anywhere", "body"] = Field(
        "anywhere",
        description="Where random crops are. anywhere: every place in the scan is equally likely, the paper's random "
        "crop; body: each crop is centred on a voxel of the patient's body, so that none is air alone.",
    )


class PretrainingSettings(UnlabelledSettings):
    """Stage 1, masked image modelling."""

    learning_rate: float = Field(1e-4, gt=0, description="Highest learning rate of AdamW.")
    augmentation: Literal["full", "light", "none"] = Field("light", description="The paper's random crop and flip.")
    mask_ratio: float = Field(0.6, ge=0, lt=1, description="Share of mask cells hidden from the network.")
    normalise_target: bool = Field(True, description="Reconstruct each cell with its own mean and variance removed.")
    target_epsilon_hu: float | None = Field(
        20,
        gt=0,
        description="With normalise_target: deviation in HU below which a CT cell counts as noise, whose square is "
        "added to the cell's variance. null: 1e-6 of the normalised image's variance, as in SparK, about 0.5 HU.",
    )
    norm: Literal["instance", "batch"] = Field(
        "instance",
        description="Over the visible voxels of each patch, or of the batch on all devices, as the paper names it. The "
        "stages after use instance norm, and take over its scale and shift from either.",
    )
    decoder: Literal["light", "unet"] = Field(
        "light", description="light: a small one; unet: the segmentation network's. Neither goes on to the next stage."
    )
    activation_checkpointing: bool = Field(
        False, description="Keep less of the forward pass and compute it again for the gradients: less memory for time."
    )

    @model_validator(mode="after")
    def _normalises_over_whole_batches(self) -> Self:
        if self.auto_micro_batch and self.norm == "batch":
            raise ValueError(
                "norm batch looks at a batch as a whole, and auto_micro_batch would part it; leave one out"
            )
        return self


class ProxyTaskSettings(UnlabelledSettings):
    """Stage 1 of the baseline Swin-UNETR: inpainting, rotation and contrast."""

    learning_rate: float = Field(4e-4, gt=0, description="Highest learning rate of AdamW, as published.")
    augmentation: Literal["full", "light", "none"] = Field("light", description="Random crop and flip, as GynBTNet's.")
    cutout_ratio: float = Field(
        0.3, ge=0, lt=1, description="Share of the voxels that is cut out of each view, at least."
    )

    @model_validator(mode="after")
    def _keeps_batches_whole(self) -> Self:
        if self.auto_micro_batch:
            raise ValueError("the contrast is between the patches of a whole batch; leave auto_micro_batch out")
        return self


class SegmentationSettings(TrainingSettings):
    """Stages 2 and 3, and any supervised run."""

    foreground_oversampling: float = Field(
        1 / 3, ge=0, le=1, description="Share of patches centred on a voxel of a structure; the rest lie anywhere."
    )
    foreground_rule: Literal["each_patch", "last_of_batch"] = Field(
        "each_patch",
        description="each_patch: each patch by chance with foreground_oversampling; last_of_batch: nnU-Net's, the last "
        "of a batch, those from round(batch × (1 − foreground_oversampling)) on: with a batch of 2 always the second.",
    )
    deep_supervision: bool = Field(
        True, description="The loss also looks at the decoder's coarser levels; false: only the finest head is trained."
    )
    supervise_coarsest: bool = Field(
        True, description="With deep_supervision: the loss looks at the coarsest level too; nnU-Net's doesn't."
    )
    batch_dice: bool = Field(False, description="The Dice loss pools a batch's patches instead of scoring each one.")

    @model_validator(mode="after")
    def _scores_whole_batches(self) -> Self:
        if self.batch_dice and self.auto_micro_batch:
            raise ValueError("batch_dice pools a batch as a whole, and auto_micro_batch would part it; leave one out")
        return self
