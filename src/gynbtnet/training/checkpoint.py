"""All that a killed run needs to go on, whole or absent."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor, empty_like, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer

from gynbtnet.networks.weights_file import read_weights
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json

_SLOTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of each parameter."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands; everything random in it follows from these and the seed.

    Attributes:
        epoch: epochs done.
        smoothed: exponential average of the validation score, None before the first; higher is better.
        best: highest smoothed score, that of ``weights_best.safetensors``.
        best_epoch: the epoch of that score.
        ended: whether the run is over, at its last epoch or out of patience.
        patches_at_once: patches of a batch that a device computes together; None for all.
        loss_scale: state of the loss scaling in float16.
    """

    epoch: int = 0
    smoothed: float | None = None
    best: float | None = None
    best_epoch: int = 0
    ended: bool = False
    patches_at_once: int | None = None
    loss_scale: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What training has made so far, whole, whatever devices share it.

    Attributes:
        weights: the network's ``state_dict``.
        optimizer: the optimiser's tensors as ``<parameter>:<slot>``.
    """

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


def whole_weights(network: nn.Module) -> Mapping[str, Tensor]:
    """The network's ``state_dict``; of a sharded network, which all processes ask together, the first gets it."""
    if is_sharded(network):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return cast(dict[str, Tensor], get_model_state_dict(network, options=options))
    return cast(dict[str, Tensor], network.state_dict())


def whole_state(network: nn.Module, optimizer: Optimizer) -> State:
    """Weights and optimiser as they stand; of a sharded network as :func:`whole_weights`."""
    if is_sharded(network):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        slots: Any = get_optimizer_state_dict(network, optimizer, options=options).get("state", {})
    else:
        names = _names(network, optimizer)
        slots = {names[number]: values for number, values in optimizer.state_dict()["state"].items()}
    tensors = {f"{name}:{slot}": value for name, values in slots.items() for slot, value in values.items()}
    return State(whole_weights(network), tensors)


def save_checkpoint(folder: Path, state: State, progress: Progress) -> None:
    """Write ``folder/epoch_<n>`` with weights, optimiser and progress, then remove older ones.

    A full disk, a kill or a power cut at any moment leaves the older checkpoint.
    """
    checkpoint = folder / _name(progress)
    with atomic_write(checkpoint) as partial:
        partial.mkdir()
        save_weights(state.weights, partial / "weights.safetensors")
        slots = {name: value.contiguous() for name, value in state.optimizer.items()}
        save_file(slots, partial / "optimizer.safetensors")
        (partial / "progress.json").write_text(json.dumps(asdict(progress), indent=2))
        for file in partial.iterdir():
            _put_on_disk(file)
    for older in _checkpoints(folder):
        if older != checkpoint:
            shutil.rmtree(older)


def load_checkpoint(folder: Path, network: nn.Module, optimizer: Optimizer) -> None:
    """Put the newest checkpoint, where there is one, into ``network`` and ``optimizer``, sharded or not.

    Raises:
        BadInput: where the checkpoint is damaged or another network's.
    """
    checkpoint = _newest(folder)
    if checkpoint is None:
        return
    try:
        weights = read_weights(checkpoint / "weights.safetensors")
        moments: dict[str, Tensor] = load_file(checkpoint / "optimizer.safetensors")
        if not all(value.is_floating_point() and value.isfinite().all() for value in moments.values()):
            raise ValueError("the optimiser's numbers are no finite ones")
        state = State(weights, moments)
        if is_sharded(network):
            _load_sharded(network, optimizer, state)
        else:
            _load(network, optimizer, state)
    except Exception as error:  # safetensors and torch each have their own
        raise _damaged(checkpoint, error) from error


def read_progress(folder: Path) -> Progress:
    """How far the newest checkpoint in ``folder`` is; a fresh :class:`Progress` where there is none.

    Raises:
        BadInput: where the checkpoint is damaged.
    """
    checkpoint = _newest(folder)
    if checkpoint is None:
        return Progress()
    try:
        progress = TypeAdapter(Progress).validate_python(load_json(checkpoint / "progress.json"))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(checkpoint, error) from error
    whole = progress.patches_at_once is None or progress.patches_at_once > 0
    if not whole or not 0 <= progress.best_epoch <= progress.epoch or checkpoint.name != _name(progress):
        raise _damaged(checkpoint, ValueError(progress))
    return progress


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a ``state_dict`` as safetensors, whole or not at all."""
    with atomic_write(path) as partial:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)


def is_sharded(network: nn.Module) -> bool:
    """Whether several devices hold a share of ``network`` each, so that they can only compute and save together."""
    return isinstance(network, FSDPModule)


def _load(network: nn.Module, optimizer: Optimizer, state: State) -> None:
    network.load_state_dict(dict(state.weights))
    places = {name: number for number, name in _names(network, optimizer).items()}
    parameters = dict(network.named_parameters())
    slots: dict[int, dict[str, Tensor]] = {}
    for name, slot, value in _by_parameter(state):
        # laid out in memory as its parameter, as it was before: the optimizer's sums then round as they did
        like = parameters[name] if value.shape == parameters[name].shape else value
        if slot not in _SLOTS or value.shape != (() if slot == "step" else parameters[name].shape):
            raise ValueError(f"{slot} of {name} has shape {tuple(value.shape)}")
        slots.setdefault(places[name], {})[slot] = empty_like(like, dtype=value.dtype).copy_(value)
    if any(len(found) < len(_SLOTS) for found in slots.values()):
        raise ValueError(f"a parameter lacks some of {', '.join(_SLOTS)}")
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _load_sharded(network: nn.Module, optimizer: Optimizer, state: State) -> None:
    options = StateDictOptions(full_state_dict=True)
    set_model_state_dict(network, dict(state.weights), options=options)
    slots: dict[str, Any] = {}
    for name, slot, value in _by_parameter(state):
        slots.setdefault(name, {})[slot] = value
    groups = get_optimizer_state_dict(network, optimizer, options=options)["param_groups"]
    set_optimizer_state_dict(network, optimizer, {"state": slots, "param_groups": groups}, options=options)


def _by_parameter(state: State) -> list[tuple[str, str, Tensor]]:
    return [(*key.rsplit(":", 1), value) for key, value in state.optimizer.items()]  # type: ignore[misc]


def _name(progress: Progress) -> str:
    return f"epoch_{progress.epoch:06d}"


def _newest(folder: Path) -> Path | None:
    return max(_checkpoints(folder), default=None)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch_*"))


def _damaged(checkpoint: Path, error: Exception) -> BadInput:
    return BadInput(
        f"The checkpoint {checkpoint} can't be read ({type(error).__name__}); "
        "delete this folder to start the run again, or give another output folder."
    )


def _put_on_disk(file: Path) -> None:
    """So that a power cut never leaves the name of a checkpoint without what is in it, and the older one gone."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _names(network: nn.Module, optimizer: Optimizer) -> dict[int, str]:
    """The network's name for each number by which the optimizer's state knows a parameter."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    ordered: list[Any] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {number: names[id(parameter)] for number, parameter in enumerate(ordered)}
