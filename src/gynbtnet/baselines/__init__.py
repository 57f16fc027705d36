"""nnU-Net as a baseline: nnU-Net itself, called as a library on the split of a cohort."""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.baselines.nnunet_model import NnUNetModel
    from gynbtnet.baselines.nnunet_raw_dataset import write_raw_dataset
    from gynbtnet.baselines.nnunet_training import train_nnunet
    from gynbtnet.baselines.settings import NnUNetSettings

__all__ = [
    "NnUNetModel",
    "NnUNetSettings",
    "train_nnunet",
    "write_raw_dataset",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "nnunet_model": ["NnUNetModel"],
        "nnunet_raw_dataset": ["write_raw_dataset"],
        "nnunet_training": ["train_nnunet"],
        "settings": ["NnUNetSettings"],
    },
)
