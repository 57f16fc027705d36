"""Settings of the training stages, with the paper's values as defaults."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.sparse.registered_parts import find_decoder, find_mask, find_target
from gynbtnet.training.budget import Budget
from gynbtnet.training.optimisation.optimiser_settings import OptimiserSettings


class TrainingSettings(OptimiserSettings):
    """Settings of all three stages. An epoch is ``steps_per_epoch`` optimiser steps.

    An optimiser step uses ``gradient_accumulation_steps`` batches of the plan's ``batch_size`` on every machine.
    Several devices share a batch, and ``auto_micro_batch`` computes it in parts. Learning rate and number of steps
    keep their meaning.
    """

    seed: int = Field(0, ge=0, description="Seed of everything random in the run.")
    epochs: int = Field(
        1000, ge=1, description="Length of the run without a budget; the learning rate reaches zero at its end."
    )
    budget: Budget | None = Field(
        None,
        description="Amount of computation after which the run ends, in place of epochs; the learning rate follows its "
        "used share. An epoch is still the interval of validation, checkpoints and log rows; the last one may be "
        "shorter. null: the run does all epochs.",
    )
    steps_per_epoch: int | None = Field(
        None, ge=1, description="Optimiser steps in an epoch; null: one random crop of each training scan."
    )
    gradient_accumulation_steps: int = Field(
        1, ge=1, description="Batches whose gradients are averaged before an optimiser step."
    )
    freeze_idle_biases: bool = Field(
        False,
        description="Don't train GynBTNet's biases before an instance norm. They have no effect, and their gradients "
        "are rounding noise. Other networks train all biases.",
    )
    initialisation: Literal["pytorch", "he"] = Field(
        "pytorch",
        description="New weights. pytorch: as PyTorch draws them; he: convolutions as nnU-Net and STU-Net draw them.",
    )
    warm_up_epochs: int = Field(0, ge=0, description="Epochs of linear warm-up, without a budget.")
    warm_up_share: float = Field(
        0, ge=0, lt=1, description="Share of the run's steps or budget for linear warm-up, if warm_up_epochs is 0."
    )
    augmentation: Literal["full", "light", "none"] = Field(
        "full", description="full: nnU-Net's augmentation; light: only mirroring; none: the unchanged crop."
    )
    mirror_axes: tuple[Axis, ...] = Field(
        ALL_AXES,
        description="Patient axes that augmentation mirrors, each with probability 0.5: z swaps head and feet, y front "
        "and back, x left and right. With x, labels such as hip_left and hip_right are swapped. If a structure has a "
        "side and its counterpart isn't learned, x is omitted. Prediction mirrors no other axes.",
    )
    validation_interval_epochs: int = Field(1, ge=1, description="Epochs between two validations.")
    validation_patches: int = Field(16, ge=1, description="Fixed patches of the validation scans that are scored.")
    picture_interval_epochs: int = Field(10, ge=1, description="Epochs between two pictures of validation patches.")
    checkpoint_interval_epochs: int = Field(
        10, ge=1, description="Epochs between two checkpoints; an interrupted run loses at most these."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better smoothed validation score after which the run ends; null: it does all "
        "epochs. After an early end, predict with the best weights, since the learning rate hasn't decreased yet.",
    )
    time_budget_hours: float | None = Field(
        None,
        gt=0,
        description="Hours from the start of the command; no epoch begins that would end later. The run then saves a "
        "checkpoint, and the same command resumes it; null: no limit.",
    )
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        "auto",
        description="auto: bf16-mixed if the GPU supports bfloat16, 16-mixed if it is fast in float16 only, otherwise "
        "32-true. A CPU supports 32-true and, if it has AMX, bf16-mixed; on a GPU, bfloat16 needs cuDNN 9.15.",
    )
    accelerator: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one.")
    devices: int = Field(
        1,
        ge=1,
        description="Processes that share each batch, one per device; torchrun and Slurm set their own number.",
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="On several devices: ddp: each holds the whole network; fsdp: each holds a share of its weights, "
        "gradients and optimiser state, for preset H.",
    )
    compile: bool = Field(
        False,
        description="Compile the network with torch.compile: this takes minutes at the start, and steps are faster.",
    )
    network_form: Literal["auto", "plain", "channels_last", "compiled"] = Field(
        "auto",
        description="Form of GynBTNet in stages 2 and 3; plain is PyTorch's default. With channels_last, the channels "
        "of a voxel are neighbours in memory. With compiled, encoder and decoder are compiled. With auto, a CPU uses "
        "plain; a GPU compares the forms in the first steps and keeps the fastest. Runs below 2,000 steps aren't "
        "compiled.",
    )
    auto_micro_batch: bool = Field(
        False,
        description="Compute a batch in as few equal parts as memory allows, and average their gradients: the step "
        "equals that of the whole batch. On a GPU the size is tried, on a CPU computed from the memory of one patch.",
    )
    micro_batch_memory_gb: float | None = Field(
        None,
        gt=0,
        description="With auto_micro_batch on a CPU: memory per process in GB; null: 80 % of the free memory.",
    )
    workers: int = Field(0, ge=0, description="Processes that read and augment batches in advance; 0: none.")

    @field_validator("mirror_axes")
    @classmethod
    def _mirrors_each_axis_once(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        if len(set(axes)) < len(axes):
            raise ValueError("expected each axis once")
        return tuple(axis for axis in ALL_AXES if axis in axes)

    @model_validator(mode="after")
    def _ends_after_the_warm_up(self) -> Self:
        if self.warm_up_epochs and self.budget:
            raise ValueError("warm_up_epochs has no meaning with a budget; set warm_up_share instead")
        if self.warm_up_epochs >= self.epochs:
            raise ValueError(f"warm_up_epochs is {self.warm_up_epochs}, expected less than epochs, {self.epochs}")
        if self.warm_up_epochs and self.warm_up_share:
            raise ValueError("warm_up_epochs and warm_up_share exclude each other; set one of them to 0")
        return self

    @model_validator(mode="after")
    def _compiles_once(self) -> Self:
        if self.network_form != "auto" and self.compile:
            raise ValueError("compile and network_form exclude each other; omit one of them")
        if self.network_form == "compiled" and self.strategy == "fsdp":
            raise ValueError("network_form compiled needs whole blocks; omit it with strategy fsdp")
        return self

    @model_validator(mode="after")
    def _can_be_split(self) -> Self:
        if self.auto_micro_batch and self.strategy == "fsdp":
            raise ValueError("auto_micro_batch measures the memory of a single device; omit it with strategy fsdp")
        if self.micro_batch_memory_gb is not None and not self.auto_micro_batch:
            raise ValueError(
                "micro_batch_memory_gb limits auto_micro_batch; set auto_micro_batch to true, or omit "
                "micro_batch_memory_gb"
            )
        return self


class UnlabelledSettings(TrainingSettings):
    """Settings of stage 1 of any network."""

    crops: Literal["anywhere", "body"] = Field(
        "anywhere",
        description="anywhere: crops are uniform in the scan, as in the paper; body: they are centred on a body "
        "voxel. Then no crop shows only air.",
    )


class PretrainingSettings(UnlabelledSettings):
    """Settings of stage 1, masked image modelling."""

    learning_rate: float = Field(1e-4, gt=0, le=1000, description="Highest learning rate.")
    augmentation: Literal["full", "light", "none"] = Field("light", description="The paper's random crop and flip.")
    mask_ratio: float = Field(0.6, gt=0, lt=1, description="Share of the mask cells that are hidden from the network.")
    normalise_target: bool = Field(True, description="Reconstruct each cell with its own mean and variance removed.")
    target_epsilon_hu: float | None = Field(
        20,
        gt=0,
        description="With normalise_target: standard deviation in HU below which a CT cell counts as noise. Its square "
        "is added to the cell's variance. null: 1e-6 of the normalised image's variance, as in SparK, about 0.5 HU.",
    )
    norm: Literal["instance", "batch"] = Field(
        "instance",
        description="instance: over the visible voxels of each patch; batch: over those of the batch on all devices, "
        "as in the paper. Later stages use instance norm and take its scale and shift from either.",
    )
    encoder: Literal["sparse", "dense"] = Field(
        "sparse",
        description="sparse: the encoder computes on visible voxels only, as in the paper. With dense it computes on "
        "the whole patch, with zeros in masked voxels, as plain masked autoencoding does; a step costs more.",
    )
    mask: str = Field(
        "random",
        description="Rule that hides cells. random: any cells; or the name of a rule that was registered in Python "
        "with gynbtnet.sparse.register_mask.",
    )
    target: str = Field(
        "image",
        description="What hidden cells are compared with. image: the scan; or the name of a target that was registered "
        "in Python with gynbtnet.sparse.register_target.",
    )
    decoder: str = Field(
        "light",
        description="light: a small decoder; unet: that of the segmentation network; or the name of one that was "
        "registered in Python with gynbtnet.sparse.register_decoder. The next stage uses none of them.",
    )
    activation_checkpointing: bool = Field(
        False,
        description="Keep less of the forward pass and compute it again for the gradients: less memory, more time.",
    )

    @model_validator(mode="after")
    def _normalises_over_whole_batches(self) -> Self:
        if self.auto_micro_batch and self.norm == "batch":
            raise ValueError("norm batch needs the whole batch, but auto_micro_batch would split it; omit one of them")
        return self

    @model_validator(mode="after")
    def _names_parts_that_exist(self) -> Self:
        find_mask(self.mask)
        find_target(self.target)
        find_decoder(self.decoder)
        return self

    @model_validator(mode="after")
    def _uses_options_of_the_encoder(self) -> Self:
        if self.encoder == "dense" and (self.norm == "batch" or self.activation_checkpointing):
            raise ValueError(
                "norm batch and activation_checkpointing are for encoder sparse; omit them, or set encoder to sparse"
            )
        return self


class ProxyTaskSettings(UnlabelledSettings):
    """Settings of stage 1 of the baseline Swin-UNETR: inpainting, rotation and contrast.

    The defaults are its authors' values (Tang et al. 2022).
    """

    learning_rate: float = Field(4e-4, gt=0, le=1000, description="Highest learning rate, as published.")
    augmentation: Literal["full", "light", "none"] = Field(
        "light", description="Random crop and flip, as for GynBTNet."
    )
    cutout_ratio: float = Field(
        0.3, ge=0, lt=1, description="Minimum share of the voxels that is cut out of each view."
    )

    @model_validator(mode="after")
    def _uses_whole_batches(self) -> Self:
        if self.auto_micro_batch:
            raise ValueError("the contrastive loss needs the patches of the whole batch; omit auto_micro_batch")
        return self


class SegmentationSettings(TrainingSettings):
    """Settings of stages 2 and 3, and of any supervised run."""

    foreground_oversampling: float = Field(
        1 / 3,
        ge=0,
        le=1,
        description="Share of patches centred on a voxel of a structure; the others are anywhere in the scan.",
    )
    foreground_rule: Literal["each_patch", "last_of_batch"] = Field(
        "each_patch",
        description="Selection of these patches. each_patch: each one with probability foreground_oversampling; "
        "last_of_batch: as in nnU-Net, the last ones of a batch, from number round(batch × (1 − "
        "foreground_oversampling)). In a batch of 2 this is always the second.",
    )
    deep_supervision: bool = Field(
        True,
        description="Compute the loss at the decoder's coarser levels too; false: only the finest head is trained.",
    )
    supervise_coarsest: bool = Field(
        True, description="With deep_supervision: compute the loss at the coarsest level too; nnU-Net doesn't."
    )
    encoder_learning_rate: float = Field(
        1,
        gt=0,
        le=1,
        description="Learning rate of the encoder, as a factor of learning_rate, if its weights come from an earlier "
        "stage. From scratch, it has no effect.",
    )
    decoder_first_share: float = Field(
        0,
        ge=0,
        lt=1,
        description="Share of the run, at its beginning, in which an encoder from an earlier stage isn't trained. Its "
        "gradients aren't computed, and steps are faster. From scratch, it has no effect.",
    )
    new_head_scale: float = Field(
        1,
        gt=0,
        le=1000,
        description="Factor of the new weights of the segmentation heads, if the encoder comes from an earlier stage. "
        "From scratch, it has no effect.",
    )
    new_head_learning_rate: float = Field(
        1,
        gt=0,
        le=1000,
        description="Learning rate of new segmentation heads, as a factor of learning_rate, if the encoder comes from "
        "an earlier stage. Above 1, the other layers keep more of that stage. From scratch, it has no effect.",
    )
    batch_dice: bool = Field(
        False, description="Compute the Dice loss over all patches of a batch instead of each patch."
    )

    @model_validator(mode="after")
    def _scores_whole_batches(self) -> Self:
        if self.batch_dice and self.auto_micro_batch:
            raise ValueError("batch_dice needs the whole batch, but auto_micro_batch would split it; omit one of them")
        return self
