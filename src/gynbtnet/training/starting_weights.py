"""Weights from which stage 2 or 3 starts: of an earlier run, an exported encoder, STU-Net, or a network in nnU-Net."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gynbtnet.networks.nnunet_weights import unique_weights
from gynbtnet.networks.stu_net import rename_stu_net
from gynbtnet.networks.torch_checkpoint import read_checkpoint
from gynbtnet.networks.transfer import Parts
from gynbtnet.networks.weights_file import check_finite, read_weights
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of
from gynbtnet.training.run_folder import RunFolder

_KEYS = ("network_weights", "state_dict")  # of nnU-Net 2, nnssl and nnU-Net 1
_EXPECTED = "a checkpoint of STU-Net, nnU-Net or nnssl"
_CHECKPOINT = "checkpoint_final.pth"
_ENCODER = "encoder.safetensors"
_REMEDY = "export the encoder again with `gynbtnet export --to encoder`"


@dataclass(frozen=True)
class StartingWeights:
    """Weights of an earlier training, with GynBTNet's parameter names.

    Attributes:
        sha256: SHA-256 of their file.
        weights: tensors by name.
        parts: parts of the network that are taken over.
        channels: input channels of the earlier training; None if unknown.
    """

    sha256: str
    weights: Mapping[str, Tensor]
    parts: Parts
    channels: tuple[str, ...] | None = None


def read_starting_weights(start: Path) -> StartingWeights:
    """Read the weights to start from; nothing in any file is executed.

    Args:
        start: run folder of an earlier stage, whose last weights are read; folder that ``gynbtnet export --to encoder``
            wrote; a ``.model`` or ``.pth`` file of STU-Net, nnU-Net or nnssl; or a folder that nnU-Net trained, of
            which the first fold is read.

    Raises:
        BadInput: If there are no weights, a file is damaged, or its network is neither GynBTNet nor STU-Net.
    """
    if start.is_file():
        return _from_checkpoint(start)
    if (start / _ENCODER).is_file():
        return _from_encoder(start)
    folds = sorted(start.glob(f"fold_*/{_CHECKPOINT}"))
    if folds:
        return _from_checkpoint(folds[0])
    path = RunFolder(start).last_weights
    if not path.is_file():
        raise BadInput(f"There is no {path}; expected the folder of a training run that has ended.")
    plan = load_plan(start)
    parts: Parts = "all_but_heads" if plan.structures else "encoder"
    return StartingWeights(sha256_of(path), read_weights(path), parts, plan.channels)


def _from_encoder(folder: Path) -> StartingWeights:
    path = folder / _ENCODER
    description = read_json(dict[str, Any], folder / "encoder.json", _REMEDY)
    channels = description.get("input_channels")
    if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
        raise BadInput(f"{folder / 'encoder.json'} names no input_channels; {_REMEDY}.")
    weights = {f"encoder.{name}": value for name, value in read_weights(path).items()}
    return StartingWeights(sha256_of(path), weights, "encoder", tuple(channels))


def _from_checkpoint(path: Path) -> StartingWeights:
    content = read_checkpoint(path, _EXPECTED)
    stored = next((content[key] for key in _KEYS if isinstance(content, Mapping) and key in content), None)
    if not isinstance(stored, Mapping):
        raise BadInput(f"{path} has no weights under {' or '.join(_KEYS)}; expected {_EXPECTED}.")
    weights = {re.sub(r"^network\.", "", name): value for name, value in unique_weights(stored).items()}
    if any(name.startswith("conv_blocks_context.") for name in weights):
        weights = rename_stu_net(weights)
    elif not any(name.startswith("encoder.levels.") for name in weights):
        raise BadInput(
            f"{path} holds another network than GynBTNet or STU-Net ({next(iter(weights), 'empty')}): its filters "
            "fit no layer here. Start from a run, an exported encoder or STU-Net's file, or train it in nnU-Net."
        )
    check_finite(weights, path)
    has_decoder = any(name.startswith("decoder.levels.") for name in weights)
    return StartingWeights(sha256_of(path), weights, "all_but_heads" if has_decoder else "encoder")
