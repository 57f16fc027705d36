"""Weights in safetensors files, checked before and after they are read."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_FLOATING = ("F64", "F32", "F16", "BF16")
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file on the CPU.

    Args:
        path: The file. Nothing in it is executed.

    Returns:
        Tensors by name; floating-point ones hold finite numbers.

    Raises:
        BadInput: If the file is damaged, or a tensor holds NaN or an infinity.
    """
    try:
        weights: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise BadInput(f"{path} is damaged or not a file of weights (safetensors); copy it again.") from error
    other = [name for name, values in weights.items() if values.dtype not in _DTYPES and _is_unexpected(name, values)]
    if other:
        raise BadInput(
            f"{path} holds {weights[other[0]].dtype} under {other[0]}, expected floating-point weights; copy it again."
        )
    check_finite(weights, path)
    return weights


def _is_unexpected(name: str, values: Tensor) -> bool:
    """Return whether a tensor of integers, booleans or other types should hold weights, and is not a counter."""
    return name.endswith((".weight", ".bias")) or values.is_floating_point() or values.is_complex()


def check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Check that weights are numbers.

    Args:
        weights: Tensors by name.
        path: The file that they were read from, for the message.

    Raises:
        BadInput: If a floating-point tensor holds NaN or an infinity.
    """
    broken = [name for name, values in weights.items() if not bool(torch.isfinite(values).all())]
    if broken:
        raise BadInput(
            f"{path} holds NaN or infinite weights in {len(broken)} of {counted(len(weights), 'tensor')}, first in "
            f"{broken[0]}. The training diverged or the file is damaged: use the weights of another run."
        )


def load_weights(network: nn.Module, path: Path, owner: str = "this network") -> None:
    """Load a file of weights into a network that has exactly these.

    Names and shapes are compared by the file's header, before any tensor is read. So weights of another network are
    refused at once, however large they are.

    Args:
        network: The network, on any device; on ``meta`` only the header is compared.
        path: A safetensors file with one tensor for each entry of the network's ``state_dict``.
        owner: Name of the network, for the message.

    Raises:
        BadInput: If the file is damaged, its names, shapes or number types differ, or a weight is not finite.
    """
    problem = _difference(network.state_dict(), path)
    if problem is not None:
        raise BadInput(f"{path} does not hold the weights of {owner}: {problem}; copy the model's folder again.")
    if next(iter(network.state_dict().values())).is_meta:
        return
    network.load_state_dict(read_weights(path))


def _difference(expected: Mapping[str, Tensor], path: Path) -> str | None:
    """Describe how the header of a file differs from what a network expects; None if it doesn't."""
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            types = {name: str(part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise BadInput(f"{path} is damaged or not a file of weights (safetensors); copy it again.") from error
    absent, extra = sorted(expected.keys() - shapes.keys()), sorted(shapes.keys() - expected.keys())
    if absent or extra:
        lacking = f"it lacks {len(absent)} of {counted(len(expected), 'tensor')}"
        return f"{lacking} and has {counted(len(extra), 'other')} ({(absent + extra)[0]})"
    for name, values in expected.items():
        if shapes[name] != tuple(values.shape):
            return f"{name} has shape {shapes[name]}, expected {tuple(values.shape)}"
        if values.is_floating_point() != (types[name] in _FLOATING):
            return f"{name} holds numbers of type {types[name]}, expected {values.dtype}"
    return None
