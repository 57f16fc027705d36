"""Work of a GPU for one step of stage 1, counted without a GPU.

The step runs on PyTorch's meta device, whose tensors have a shape and no memory, with the rules for CUDA. Mixed
precision is simulated: convolutions and linear layers compute in bfloat16. Counted are

- operators dispatched, each some microseconds of a CPU, and those of them that launch work on the device,
- waits, in which the CPU reads a value or a length from the device, or copies without overlap,
- bytes saved between forward and backward pass,
- floating-point operations of convolutions and matrix products.

The counts are compared with limits and with those in docs/benchmarks.md. Seconds are not among them.

Examples::

    python benchmarks/gpu_readiness.py                                        # preset L, 24 patches, 60 % masked
    python benchmarks/gpu_readiness.py --preset B --batch 2 --patch 64 64 64
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.nn.utils import clip_grad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from gynbtnet.sparse import MaskedAutoencoder, cuda_rules, values_per_chunk
from gynbtnet.training import MaskedModellingObjective

DEVICE = torch.device("meta")
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
aten = torch.ops.aten

READS_LENGTH = {aten.nonzero.default, aten.masked_select.default, aten._unique2.default, aten.unique_dim.default}
ALLOCATES = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias", "lift_fresh"}
CASTS = {torch.conv3d, torch.conv_transpose3d, linear}
"""Functions that autocast computes in bfloat16."""


@dataclass
class Counts:
    """Counts of one step.

    Attributes:
        operators: dispatched operators, by name.
        launches: those that start work on the device, by name.
        waits: those that wait for the device, by name.
        saved_bytes: memory of the tensors saved for the backward pass, without the parameters.
        flops: floating-point operations of convolutions and matrix products; a transposed convolution is counted by its
            input, as PyTorch counts it.
    """

    operators: Counter[str] = field(default_factory=Counter)
    launches: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    saved_bytes: int = 0
    flops: int = 0


class CountedOperators(TorchDispatchMode):
    """Counts each operator; a value that the CPU reads from the device is zero."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = operator.name().split("::")[1]
        self.counts.operators[name] += 1
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        on_device = [tensor for tensor in tensors if tensor.device == DEVICE]
        if waits(operator, args, kwargs, tensors, on_device):
            self.counts.waits[name] += 1
        if operator is aten._local_scalar_dense.default and on_device:
            return 0.0
        result = operator(*args, **kwargs)
        if operator in (aten.convolution.default, aten.convolution_backward.default):
            result = channels_last(args, result)
        results = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        involved = on_device or [tensor for tensor in results if tensor.device == DEVICE]
        if involved and not operator.is_view and operator._schema.name.split("::")[1] not in ALLOCATES:
            self.counts.launches[name] += 1
        return result


def channels_last(args: Any, result: Any) -> Any:
    """Return a convolution's results in the memory format of cuDNN; the meta device has another one for five axes."""
    if not any(value.is_contiguous(memory_format=torch.channels_last_3d) for value in args[:2]):
        return result
    if isinstance(result, Tensor):
        return torch.empty_like(result, memory_format=torch.channels_last_3d)
    return tuple(
        torch.empty_like(value, memory_format=torch.channels_last_3d)
        if value is not None and value.ndim == 5
        else value
        for value in result
    )


def waits(operator: Any, args: Any, kwargs: Any, tensors: list[Tensor], on_device: list[Tensor]) -> bool:
    """Return whether the CPU waits for the device in this operator."""
    if operator is aten._to_copy.default:
        target = torch.device(kwargs.get("device") or args[0].device)
        return (target == DEVICE) != bool(on_device) and not kwargs.get("non_blocking", False)
    if operator is aten.copy_.default:
        return 0 < len(on_device) < len(tensors) and not (kwargs.get("non_blocking", False) or args[2:3] == (True,))
    if operator is aten.index.Tensor or operator is aten.index_put_.default:
        return any(tensor.dtype == torch.bool for tensor in on_device)
    return bool(on_device) and (operator in READS_LENGTH or operator is aten._local_scalar_dense.default)


class SimulatedAutocast(TorchFunctionMode):
    """Casts as autocast does on a GPU; a list of integers that the code reads from the device is 0, 1, 2, …"""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.tolist and args[0].device == DEVICE:
            self.counts.waits["tolist"] += 1
            return list(range(len(args[0])))
        if function in CASTS:
            args = tuple(half(value) for value in args)
            kwargs = {name: half(value) for name, value in kwargs.items()}
        return function(*args, **kwargs)


def half(value: Any) -> Any:
    return value.to(torch.bfloat16) if isinstance(value, Tensor) and value.dtype == torch.float32 else value


def count_product(total: Any, a: torch.Size, b: torch.Size, **_: Any) -> int:
    """Return the operations of a product that is added in place, which PyTorch's counter leaves out."""
    return 2 * a[0] * a[1] * b[1]


@contextmanager
def counted(network: torch.nn.Module) -> Iterator[Counts]:
    """Count everything that is computed within the context."""
    counts = Counts()
    known = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    saved: dict[int, Tensor] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known and tensor.device == DEVICE:
            saved[storage._cdata] = tensor  # the reference keeps the storage's number its own
        return tensor

    flops = FlopCounterMode(display=False, custom_mapping={aten.addmm_: count_product})
    with ExitStack() as stack:
        stack.enter_context(patch.object(torch, "is_autocast_enabled", lambda device: torch.device(device) == DEVICE))
        stack.enter_context(patch.object(torch, "get_autocast_dtype", lambda device: torch.bfloat16))
        stack.enter_context(patch.object(clip_grad, "_device_has_foreach_support", lambda device: True))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor))
        stack.enter_context(CountedOperators(counts))
        stack.enter_context(flops)
        stack.enter_context(SimulatedAutocast(counts))
        yield counts
    counts.saved_bytes = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    counts.flops = flops.get_total_flops()


def count_step(options: argparse.Namespace) -> Counts:
    """Return the counts of a step as the training loop does it."""
    rules = cuda_rules(values_per_chunk(int(options.memory_gb * 1e9)))
    with DEVICE:
        network = MaskedAutoencoder(options.preset, rules=rules)
        image = torch.empty(options.batch, 1, *options.patch)
        units = torch.empty(options.batch, 1)
    seeds = torch.arange(options.batch)  # they stay on the CPU
    objective = MaskedModellingObjective(network, options.ratio, normalise_target=True, epsilon_hu=20.0)
    optimiser = torch.optim.AdamW(network.parameters(), foreach=True)  # as PyTorch chooses on a GPU
    with counted(network) as counts:
        loss = objective.loss(network, {"image": image, "seeds": seeds, "units": units})
        loss.backward()
        loss.item()
        clip_grad.clip_grad_norm_(network.parameters(), 12.0, foreach=True)
        optimiser.step()
        optimiser.zero_grad()
    return counts


LIMITS = {
    "operators dispatched": 12_000,
    "waits of the CPU for the GPU": 3,
    "saved for the backward pass, GB": 28.5,
    "floating-point operations, TFLOP": 90,
}
"""Limits for preset L with 24 patches of 112×128×128, 60 % masked."""


def figures(counts: Counts) -> dict[str, float]:
    """Return the counts by the names that docs/benchmarks.md has."""
    return {
        "operators dispatched": counts.operators.total(),
        "of these, work launched on the GPU": counts.launches.total(),
        "waits of the CPU for the GPU": counts.waits.total(),
        "saved for the backward pass, GB": counts.saved_bytes / 1e9,
        "floating-point operations, TFLOP": counts.flops / 1e12,
    }


def last_figures(page: str) -> dict[str, float]:
    """Return the figures of the section on this benchmark in docs/benchmarks.md; empty if there is none."""
    section = page.partition("benchmarks/gpu_readiness.py")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|(?:[^|\n]*\|)* ([\d.,]+) \|$", section, re.MULTILINE)
    return {name: float(value.replace(",", "")) for name, value in rows}


def table(now: dict[str, float], last: dict[str, float]) -> str:
    lines = ["| one step of stage 1 | limit | in the docs | now |", "|---|---|---|---|"]
    for name, value in now.items():
        limit = f"{LIMITS[name]:,g}" if name in LIMITS else ""
        before = printed(last[name]) if name in last else ""
        lines.append(f"| {name} | {limit} | {before} | {printed(value)} |")
    return "\n".join(lines)


def printed(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="L")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--patch", type=int, nargs=3, default=(112, 128, 128), metavar=("Z", "Y", "X"))
    parser.add_argument("--ratio", type=float, default=0.6, help="share of the cells that is masked")
    parser.add_argument("--memory-gb", type=float, default=80.0, help="free memory of the GPU, which sets the chunks")
    parser.add_argument("--most", type=int, default=0, help="also list the operators that are dispatched most often")
    options = parser.parse_args()
    counts = count_step(options)
    now = figures(counts)
    print(table(now, last_figures(DOCS.read_text(encoding="utf-8"))))
    print("\nwaits:", ", ".join(f"{name} {times}×" for name, times in counts.waits.items()) or "none")
    for name, times in counts.operators.most_common(options.most):
        print(f"{times:6d}  {name}")
    is_paper = (options.preset, options.batch, tuple(options.patch), options.ratio) == ("L", 24, (112, 128, 128), 0.6)
    exceeded = [name for name, limit in LIMITS.items() if now[name] > limit]
    if is_paper and exceeded:
        sys.exit(f"Above the limit: {', '.join(exceeded)}.")


if __name__ == "__main__":
    main()
