"""STU-Net's names for the weights of the same network, and its files (Huang et al. 2023)."""

import re
from _codecs import encode
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gynbtnet.networks.weights_file import check_finite
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

_FAMILIES = (
    (r"encoder\.levels\.", "conv_blocks_context."),
    (r"decoder\.projections\.(\d+)\.", r"upsample_layers.\1.conv."),
    (r"decoder\.levels\.", "conv_blocks_localization."),
    (r"decoder\.heads\.", "seg_outputs."),
    (r"\.shortcut\.", ".conv3."),
)
_BACK = (
    (r"conv_blocks_context\.", "encoder.levels."),
    (r"upsample_layers\.(\d+)\.conv\.", r"decoder.projections.\1."),
    (r"conv_blocks_localization\.", "decoder.levels."),
    (r"seg_outputs\.", "decoder.heads."),
    (r"\.conv3\.", ".shortcut."),
)
_PLACES = ("network_weights", "state_dict")  # of nnU-Net 2 and 1

# nnU-Net keeps numpy's numbers beside the weights. These rebuild such numbers and can do nothing else; by both names
# that numpy has given its own scalar, before and since version 2.
_scalar = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.float16, np.int64, np.int32, np.bool_)),
    encode,
]


def read_stu_net(path: Path) -> dict[str, Tensor]:
    """Weights of STU-Net from a file as published, under GynBTNet's names.

    Both number the decoder's levels, upsamplings and heads from coarse to fine. The published networks divide the grid
    once more, at the sixth level, where presets S, B, L and H have stride 1: the weights' shapes are the same, and
    the sixth level sees a grid twice as fine as the one that it was trained on unless the plan's strides say 2.

    Args:
        path: a checkpoint of nnU-Net 1 (``.model``) or 2 (``.pth``). Nothing in it is executed.

    Raises:
        BadInput: where it is no such file, or holds anything but tensors, numbers, strings and their containers.
    """
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise BadInput(
            f"{path} is no PyTorch checkpoint, or holds objects that would run code when read, and is not read; "
            "expected the .model or .pth file of STU-Net as published."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is damaged or no PyTorch checkpoint; download STU-Net's file again.") from error
    weights = next((content[place] for place in _PLACES if isinstance(content, dict) and place in content), None)
    named = {str(name).removeprefix("module."): value for name, value in (weights or {}).items()}
    found = {_renamed(name, _BACK): value for name, value in named.items() if isinstance(value, Tensor)}
    if not any(name.startswith("conv_blocks_context.") for name in named):
        raise BadInput(
            f"{path} holds no STU-Net under {' or '.join(_PLACES)}; expected weights with names such as "
            "conv_blocks_context.0.0.conv1.weight."
        )
    check_finite(found, path)
    return found


def write_stu_net(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights of a ``GynBTNet`` as STU-Net has them, under ``network_weights`` (``.pth``) or ``state_dict``."""
    place = "state_dict" if path.suffix == ".model" else "network_weights"
    with atomic_write(path) as partial:
        torch.save({place: {_renamed(name, _FAMILIES): value.cpu() for name, value in weights.items()}}, partial)


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(rf"^{pattern}" if not pattern.startswith(r"\.") else pattern, replacement, name)
    return name
