"""What Swin-UNETR's pretraining needs to be told, with its authors' numbers as defaults."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gynbtnet.training.settings import UnlabelledSettings


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
