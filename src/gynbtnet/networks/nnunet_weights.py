"""Weights in nnU-Net's checkpoints, each tensor once and with one name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gynbtnet.networks.torch_checkpoint import read_checkpoint
from gynbtnet.networks.weights_file import check_finite
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

EXPECTED = "a checkpoint of nnU-Net, such as checkpoint_final.pth"
_PREFIXES = ("module.", "_orig_mod.")  # of networks trained on several devices, or compiled


@dataclass(frozen=True)
class NnunetCheckpoint:
    """Content of one of nnU-Net's checkpoints, as far as a prediction needs it.

    Attributes:
        path: its file.
        weights: tensors by name.
        trainer: name of the trainer.
        configuration: name of the configuration in ``plans.json``.
        mirror_axes: axes of nnU-Net's arrays that a prediction may mirror; empty: none.
    """

    path: Path
    weights: Mapping[str, Tensor]
    trainer: str
    configuration: str
    mirror_axes: tuple[int, ...]


def read_nnunet_checkpoint(path: Path) -> NnunetCheckpoint:
    """Read a checkpoint of nnU-Net 2; nothing in it is executed.

    Args:
        path: the ``.pth`` file.

    Raises:
        BadInput: If the file is not such a checkpoint, or its weights aren't finite numbers.
    """
    content = read_checkpoint(path, EXPECTED)
    try:
        stored = content["network_weights"]
        weights = unique_weights(stored)
        trainer, configuration = str(content["trainer_name"]), str(content["init_args"]["configuration"])
        axes = tuple(int(axis) for axis in content.get("inference_allowed_mirroring_axes") or ())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(f"{path} lacks what nnU-Net writes ({error}); expected {EXPECTED}.") from error
    check_finite(weights, path)
    return NnunetCheckpoint(path, weights, trainer, configuration, axes)


def unique_weights(stored: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a state of nnU-Net's networks without repetitions.

    nnU-Net's blocks list their layers twice, and its decoder contains the encoder, so each tensor has up to four names.

    Args:
        stored: tensors by name, as nnU-Net stores them.
    """
    weights: dict[str, Tensor] = {}
    for written, value in stored.items():
        name = str(written)
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if isinstance(value, Tensor) and ".all_modules." not in name and not name.startswith("decoder.encoder."):
            weights[name] = value
    return weights


def load_exactly(network: nn.Module, checkpoint: NnunetCheckpoint, owner: str) -> None:
    """Load weights into a network that has exactly these.

    Args:
        network: network whose parameters are overwritten.
        checkpoint: the weights.
        owner: description of the network, for the message.

    Raises:
        BadInput: If names or shapes differ.
    """
    expected = network.state_dict()
    ignored = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - checkpoint.weights.keys() - ignored)
    extra = sorted(name for name in checkpoint.weights.keys() - expected.keys() if not name.endswith("_tracked"))
    if missing or extra:
        raise BadInput(
            f"{checkpoint.path} does not hold the weights of {owner}: of {counted(len(expected), 'tensor')} "
            f"{len(missing)} are missing, and {len(extra)} others are there ({(missing + extra)[0]}). The trainer "
            f"{checkpoint.trainer} may build another network; predict with nnU-Net itself."
        )
    for name, value in expected.items():
        if name not in ignored and checkpoint.weights[name].shape != value.shape:
            raise BadInput(
                f"{checkpoint.path} does not hold the weights of {owner}: {name} has shape "
                f"{tuple(checkpoint.weights[name].shape)}, expected {tuple(value.shape)}; copy the folder again."
            )
    network.load_state_dict({name: checkpoint.weights.get(name, value) for name, value in expected.items()})
