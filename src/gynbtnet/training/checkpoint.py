"""Checkpoints: everything that an interrupted run needs to resume, written atomically."""

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
from gynbtnet.training.cost.cost_meter import UsedTime
from gynbtnet.training.optimisation.averaged_weights import AveragedWeights
from gynbtnet.training.optimisation.optimiser import SLOTS


@dataclass(frozen=True)
class Progress:
    """Progress of a run. Everything random in the run follows from it and the seed.

    Attributes:
        epoch: number of finished epochs.
        smoothed: exponential average of the validation score, higher is better; None before the first score.
        best: highest smoothed score, that of ``weights_best.safetensors``.
        best_epoch: epoch of that score.
        ended: True if the run has ended, at its last epoch or because patience ran out.
        patches_at_once: patches of a batch that a device computes together; None for all.
        loss_scale: state of the loss scaling in float16; its counts stay integers, as PyTorch requires.
        used: time that the run has used; unknown in checkpoints of earlier versions.
        network_form: form of the network that was the fastest; None if none has been chosen.
    """

    epoch: int = 0
    smoothed: float | None = None
    best: float | None = None
    best_epoch: int = 0
    ended: bool = False
    patches_at_once: int | None = None
    loss_scale: Mapping[str, int | float] = field(default_factory=dict)
    used: UsedTime = field(default_factory=UsedTime)
    network_form: str | None = None


@dataclass(frozen=True)
class State:
    """Weights and optimiser state of a run, gathered from all devices.

    Attributes:
        weights: ``state_dict`` of the network.
        optimizer: tensors of the optimiser as ``<parameter>:<slot>``.
        averaged: ``state_dict`` with the averaged weights; None if the run averages none.
    """

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    averaged: Mapping[str, Tensor] | None = None


def whole_weights(network: nn.Module) -> Mapping[str, Tensor]:
    """Return the network's ``state_dict``.

    If the network is sharded, all processes must call this together, and only the first gets the tensors.
    """
    if is_sharded(network):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return cast(dict[str, Tensor], get_model_state_dict(network, options=options))
    return cast(dict[str, Tensor], network.state_dict())


def averaged_weights(network: nn.Module, averaged: AveragedWeights) -> Mapping[str, Tensor]:
    """Return a copy of the ``state_dict`` with the averaged weights; of a sharded network as :func:`whole_weights`."""
    with averaged.in_use():
        return {name: value.clone() for name, value in whole_weights(network).items()}


def whole_state(network: nn.Module, optimizer: Optimizer, averaged: AveragedWeights | None = None) -> State:
    """Return weights, averages and optimiser state; of a sharded network as :func:`whole_weights`."""
    if is_sharded(network):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        slots: Any = get_optimizer_state_dict(network, optimizer, options=options).get("state", {})
    else:
        names = _names(network, optimizer)
        slots = {names[number]: values for number, values in optimizer.state_dict()["state"].items()}
    tensors = {f"{name}:{slot}": value for name, values in slots.items() for slot, value in values.items()}
    averages = None if averaged is None else averaged_weights(network, averaged)
    return State(whole_weights(network), tensors, averages)


def save_checkpoint(folder: Path, state: State, progress: Progress) -> None:
    """Write ``folder/epoch_<n>`` with weights, optimiser and progress, then remove older checkpoints.

    If the disk is full, the process is killed or the power fails, the older checkpoint remains.
    """
    checkpoint = folder / _name(progress)
    with atomic_write(checkpoint) as partial:
        partial.mkdir()
        save_weights(state.weights, partial / "weights.safetensors")
        if state.averaged is not None:
            save_weights(state.averaged, partial / "averaged.safetensors")
        slots = {name: value.contiguous() for name, value in state.optimizer.items()}
        save_file(slots, partial / "optimizer.safetensors")
        (partial / "progress.json").write_text(json.dumps(asdict(progress), indent=2))
        for file in partial.iterdir():
            _put_on_disk(file)
    for older in _checkpoints(folder):
        if older != checkpoint:
            shutil.rmtree(older)


def load_checkpoint(
    folder: Path, network: nn.Module, optimizer: Optimizer, averaged: AveragedWeights | None = None
) -> None:
    """Load the newest checkpoint, if there is one, into ``network`` and ``optimizer``, sharded or not.

    Args:
        folder: folder of the checkpoints.
        network: network that gets the weights.
        optimizer: optimiser of the network's parameters that gets the state.
        averaged: average of the network's parameters that gets the averaged weights.

    Raises:
        BadInput: If the checkpoint is damaged or belongs to another network.
    """
    checkpoint = _newest(folder)
    if checkpoint is None:
        return
    try:
        weights = read_weights(checkpoint / "weights.safetensors")
        moments: dict[str, Tensor] = load_file(checkpoint / "optimizer.safetensors")
        if not all(value.is_floating_point() and value.isfinite().all() for value in moments.values()):
            raise ValueError("the optimiser state has values that are not finite")
        state = State(weights, moments)
        if averaged is not None:  # the network has the averages until it gets its own weights
            _load_weights(network, read_weights(checkpoint / "averaged.safetensors"))
            averaged.restart()
        if is_sharded(network):
            _load_sharded(network, optimizer, state)
        else:
            _load(network, optimizer, state)
    except Exception as error:  # safetensors and torch raise their own classes
        raise _damaged(checkpoint, error) from error


def read_progress(folder: Path) -> Progress:
    """Return the progress of the newest checkpoint in ``folder``; a new :class:`Progress` if there is none.

    Raises:
        BadInput: If the checkpoint is damaged.
    """
    checkpoint = _newest(folder)
    if checkpoint is None:
        return Progress()
    try:
        progress = TypeAdapter(Progress).validate_python(load_json(checkpoint / "progress.json"))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(checkpoint, error) from error
    has_patches = progress.patches_at_once is None or progress.patches_at_once > 0
    if not has_patches or not 0 <= progress.best_epoch <= progress.epoch or checkpoint.name != _name(progress):
        raise _damaged(checkpoint, ValueError(progress))
    return progress


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a ``state_dict`` as safetensors, atomically."""
    with atomic_write(path) as partial:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)


def is_sharded(network: nn.Module) -> bool:
    """Return whether each device holds a share of ``network``, so that devices must compute and save together."""
    return isinstance(network, FSDPModule)


def _load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    if is_sharded(network):
        set_model_state_dict(network, dict(weights), options=StateDictOptions(full_state_dict=True))
    else:
        network.load_state_dict(dict(weights))


def _load(network: nn.Module, optimizer: Optimizer, state: State) -> None:
    _load_weights(network, state.weights)
    numbers = {name: number for number, name in _names(network, optimizer).items()}
    parameters = dict(network.named_parameters())
    slots: dict[int, dict[str, Tensor]] = {}
    expected = SLOTS[type(optimizer)]
    for name, slot, value in _by_parameter(state):
        # with the memory layout of its parameter, as before: then the optimiser's sums are rounded the same way
        layout = parameters[name] if value.shape == parameters[name].shape else value
        if slot not in expected or value.shape != (() if slot == "step" else parameters[name].shape):
            raise ValueError(f"{slot} of {name} has shape {tuple(value.shape)}")
        slots.setdefault(numbers[name], {})[slot] = empty_like(layout, dtype=value.dtype).copy_(value)
    if any(len(tensors) < len(expected) for tensors in slots.values()):
        raise ValueError(f"a parameter lacks some of {', '.join(expected)}")
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _load_sharded(network: nn.Module, optimizer: Optimizer, state: State) -> None:
    options = StateDictOptions(full_state_dict=True)
    _load_weights(network, state.weights)
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
    """Flush a file to disk, so that no power failure leaves an empty checkpoint and the older one removed."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _names(network: nn.Module, optimizer: Optimizer) -> dict[int, str]:
    """Return the parameter name for each parameter number in the optimiser's state."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    ordered: list[Any] = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {number: names[id(parameter)] for number, parameter in enumerate(ordered)}
