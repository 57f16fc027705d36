"""Weight files of STU-Net (Huang et al. 2023), the same network with other parameter names."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gynbtnet.networks.torch_checkpoint import read_checkpoint
from gynbtnet.networks.weights_file import check_finite
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

_TO_STU_NET = (
    (r"encoder\.levels\.", "conv_blocks_context."),
    (r"decoder\.projections\.(\d+)\.", r"upsample_layers.\1.conv."),
    (r"decoder\.levels\.", "conv_blocks_localization."),
    (r"decoder\.heads\.", "seg_outputs."),
    (r"\.shortcut\.", ".conv3."),
)
_FROM_STU_NET = (
    (r"conv_blocks_context\.", "encoder.levels."),
    (r"upsample_layers\.(\d+)\.conv\.", r"decoder.projections.\1."),
    (r"conv_blocks_localization\.", "decoder.levels."),
    (r"seg_outputs\.", "decoder.heads."),
    (r"\.conv3\.", ".shortcut."),
)
_WEIGHT_KEYS = ("network_weights", "state_dict")  # of nnU-Net 2 and 1


def read_stu_net(path: Path) -> dict[str, Tensor]:
    """Read STU-Net's weights from a published file, and give them GynBTNet's names.

    Both networks number the decoder's levels, upsamplings and heads from coarse to fine. The published networks also
    divide the grid at the sixth level, where presets S, B, L and H have stride 1. The shapes of the weights are the
    same. Unless the plan's stride of this level is 2, its grid is twice as fine as in STU-Net's training.

    Args:
        path: A checkpoint of nnU-Net 1 (``.model``) or 2 (``.pth``). Nothing in it is executed.

    Returns:
        Tensors by GynBTNet's parameter names.

    Raises:
        BadInput: If the file is not such a checkpoint, or holds anything but tensors, numbers, strings and their
            containers.
    """
    content = read_checkpoint(path, "the .model or .pth file that STU-Net published")
    weights = next((content[key] for key in _WEIGHT_KEYS if isinstance(content, dict) and key in content), None)
    theirs = {str(name).removeprefix("module."): value for name, value in (weights or {}).items()}
    ours = rename_stu_net({name: value for name, value in theirs.items() if isinstance(value, Tensor)})
    if not any(name.startswith("conv_blocks_context.") for name in theirs):
        raise BadInput(
            f"{path} does not contain STU-Net's weights under {' or '.join(_WEIGHT_KEYS)}; expected names such as "
            "conv_blocks_context.0.0.conv1.weight."
        )
    check_finite(ours, path)
    return ours


def rename_stu_net(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with STU-Net's parameter names under GynBTNet's."""
    return {_renamed(name, _FROM_STU_NET): value for name, value in weights.items()}


def write_stu_net(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights of a ``GynBTNet`` with STU-Net's parameter names.

    Args:
        weights: Tensors by GynBTNet's parameter names.
        path: A ``.model`` file, with the weights under ``state_dict``, or any other, with ``network_weights``.
    """
    key = "state_dict" if path.suffix == ".model" else "network_weights"
    with atomic_write(path) as partial:
        torch.save({key: {_renamed(name, _TO_STU_NET): value.cpu() for name, value in weights.items()}}, partial)


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(rf"^{pattern}" if not pattern.startswith(r"\.") else pattern, replacement, name)
    return name
