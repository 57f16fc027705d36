"""All that a killed run needs to go on, whole or absent."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from gynbtnet.errors import BadInput
from gynbtnet.whole_files import written_whole


@dataclass(frozen=True)
class Progress:
    """Where a run stands; everything random in it follows from these and the seed.

    Attributes:
        epoch: epochs done.
        smoothed: exponential average of the validation score, None before the first; higher is better.
        best: highest smoothed score, that of ``weights_best.safetensors``.
    """

    epoch: int = 0
    smoothed: float | None = None
    best: float | None = None


def save_checkpoint(folder: Path, network: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
    """Write ``folder/epoch_<n>`` with weights, optimizer and progress, then remove older ones.

    A full disk or a kill at any moment leaves the older checkpoint.
    """
    checkpoint = folder / f"epoch_{progress.epoch:06d}"
    with written_whole(checkpoint) as partial:
        partial.mkdir()
        save_weights(network, partial / "weights.safetensors")
        names = _names(network, optimizer)
        state = optimizer.state_dict()["state"]
        tensors = {
            f"{names[n]}:{key}": value.contiguous() for n, slots in state.items() for key, value in slots.items()
        }
        save_file(tensors, partial / "optimizer.safetensors")
        (partial / "progress.json").write_text(json.dumps(asdict(progress), indent=2))
    for older in _checkpoints(folder):
        if older != checkpoint:
            shutil.rmtree(older)


def load_checkpoint(folder: Path, network: nn.Module, optimizer: Optimizer) -> Progress:
    """Put the newest checkpoint into ``network`` and ``optimizer``; a fresh :class:`Progress` where there is none.

    Raises:
        BadInput: where the checkpoint is damaged or another network's.
    """
    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return Progress()
    try:
        network.load_state_dict(load_file(checkpoints[-1] / "weights.safetensors"))
        saved = load_file(checkpoints[-1] / "optimizer.safetensors")
        progress = Progress(**json.loads((checkpoints[-1] / "progress.json").read_text()))
    except Exception as error:  # safetensors, torch and json each have their own
        raise BadInput(
            f"The checkpoint {checkpoints[-1]} can't be read ({type(error).__name__}); "
            "delete this folder to start the run again, or give another output folder."
        ) from error
    places = {name: n for n, name in _names(network, optimizer).items()}
    parameters = dict(network.named_parameters())
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in saved.items():
        name, slot = key.rsplit(":", 1)
        # laid out in memory as its parameter, as it was before: the optimizer's sums then round as they did
        like = parameters[name] if value.shape == parameters[name].shape else value
        state.setdefault(places[name], {})[slot] = torch.empty_like(like, dtype=value.dtype).copy_(value)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def finished_epochs(folder: Path) -> int:
    """Epochs of the newest checkpoint in ``folder``, 0 where there is none."""
    checkpoints = _checkpoints(folder)
    return int(checkpoints[-1].name.removeprefix("epoch_")) if checkpoints else 0


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's ``state_dict`` as safetensors, whole or not at all."""
    with written_whole(path) as partial:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, partial)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch_*"))


def _names(network: nn.Module, optimizer: Optimizer) -> dict[int, str]:
    """The network's name for each number by which the optimizer's state knows a parameter."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    ordered: list[Any] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {number: names[id(parameter)] for number, parameter in enumerate(ordered)}
