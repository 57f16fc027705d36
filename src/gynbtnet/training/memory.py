"""How many patches of a batch fit into memory together, and what to change where none does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import finalize

import psutil
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gynbtnet.preparation.planning.memory_estimate import training_bytes
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.runtime.available_memory import available_bytes, check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.objective import Objective

_COPIES = 3  # of the weights, beside the gradients, that a step takes: AdamW's two moments, and DDP's buckets
_SPARE = 0.05  # of a GPU's memory: free pieces are not always of the size that is asked for
_SHARE_OF_FREE = 0.8  # of a CPU's memory


def micro_batch_size(fabric: Fabric, objective: Objective, batch: Batch, memory_gb: float | None) -> int:
    """The most patches, of the divisors of ``batch``'s, whose gradients a device has memory for.

    A GPU computes the gradients of the whole batch, of a half, and so on until one goes through, with the optimiser's
    memory set aside. On a CPU, where asking for too much ends the process, what one patch takes is measured and
    multiplied. The answer is the least of all processes'; the network is left as it was.

    Args:
        fabric: the devices.
        objective: its network not yet wrapped for them.
        batch: what a device is given for one step.
        memory_gb: on a CPU, what a process may use; None for 80 % of what is free, shared among the processes.

    Raises:
        BadInput: where not even one patch fits.
    """
    patches = len(batch["image"])
    sizes = [size for size in range(patches, 0, -1) if patches % size == 0]
    network, batch = fabric.to_device(objective.network), fabric.to_device(batch)
    buffers = [buffer.clone() for buffer in network.buffers()]
    if fabric.device.type == "cuda":
        found = next((size for size in sizes if _goes_through(fabric, objective, _first(batch, size))), 0)
    else:
        weights = sum(parameter.nbytes for parameter in network.parameters())
        one = peak_bytes(fabric, objective, _first(batch, 1))
        left = _bytes_left(fabric, memory_gb) - _COPIES * weights
        found = next((size for size in sizes if size * one <= left), 0)
    with torch.no_grad():
        for buffer, before in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(before)
    fewest = int(cast(Tensor, fabric.all_gather(torch.tensor(found))).min())
    if fewest == 0:
        raise BadInput(f"Not even one patch of {_voxels(batch)} voxels fits into memory; {REMEDY}.")
    return fewest


def check_training_memory(fabric: Fabric, plan: Plan, *, patches: int, least_share: float) -> None:
    """Refuse a plan whose steps can't fit into a CPU's memory, before the network is made.

    A GPU says by itself that its memory ran out; a CPU's system ends the process.

    Args:
        fabric: the devices.
        plan: what is trained.
        patches: that are computed together at least.
        least_share: of :func:`~gynbtnet.preparation.planning.memory_estimate.training_bytes`, an upper bound, that a
            step surely takes.

    Raises:
        BadInput: If a step surely takes more than is available.
    """
    if fabric.device.type != "cpu" or plan.network != "gynbtnet":
        return
    taken = training_bytes(
        plan.preset,
        plan.strides,
        in_channels=len(plan.channels),
        outputs=len(plan.structures) + 1,
        patch_size=plan.patch_size,
        batch_size=patches,
    )
    size = "×".join(map(str, plan.patch_size))
    check_memory(
        least_share * taken,
        f"A training step with preset {plan.preset} and {patches} patch(es) of {size} voxels",
        REMEDY + (", or a smaller batch_size" if patches > 1 else ""),
    )


def peak_bytes(fabric: Fabric, objective: Objective, batch: Batch) -> int:
    """The most that tensors take at one time while the gradients of ``batch`` are computed on a CPU.

    Gradients of the weights are among them, the weights themselves are not.
    """
    with _LiveBytes() as live:
        _compute_gradients(fabric, objective, batch)
    return int(live.highest)


def split_batch(batch: Batch, size: int | None) -> Iterator[Batch]:
    """``batch`` in parts of ``size`` patches; None for the whole."""
    step = size or len(batch["image"])
    for first in range(0, len(batch["image"]), step):
        yield cast(Batch, {name: values[first : first + step] for name, values in batch.items()})  # type: ignore[index]


REMEDY = (
    "take a smaller patch_size or preset in the plan, in stage 1 activation_checkpointing: true, or on a GPU "
    "precision: bf16-mixed"
)


@contextmanager
def explain_out_of_memory(batch_size: int, patch_size: tuple[int, int, int]) -> Iterator[None]:
    """Turn what PyTorch raises where memory runs out, on any device, into what to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        size = "×".join(map(str, patch_size))
        raise BadInput(
            f"Memory ran out in training with batch_size {batch_size} and patch_size {size}; set auto_micro_batch: "
            f"true, which computes a batch in parts, or take a smaller batch_size, or {REMEDY}."
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    allocator_of_cpu = "DefaultCPUAllocator" in str(error) or "not enough memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or allocator_of_cpu


def _goes_through(fabric: Fabric, objective: Objective, batch: Batch) -> bool:
    """Whether a GPU has memory for the gradients of ``batch`` and what a step takes besides."""
    try:
        total = torch.cuda.get_device_properties(fabric.device).total_memory
        aside = [torch.empty(int(_SPARE * total), dtype=torch.uint8, device=fabric.device)]
        aside += [torch.empty_like(p) for p in objective.network.parameters() for _ in range(_COPIES)]
        _compute_gradients(fabric, objective, batch)
    except torch.OutOfMemoryError:
        return False
    finally:
        aside = []
        torch.cuda.empty_cache()
    return True


def _bytes_left(fabric: Fabric, memory_gb: float | None) -> float:
    """What this process may take of a CPU's memory beyond what it has."""
    if memory_gb is None:
        return _SHARE_OF_FREE * available_bytes() / fabric.world_size
    return memory_gb * 1e9 - float(psutil.Process().memory_info().rss)


def _compute_gradients(fabric: Fabric, objective: Objective, batch: Batch) -> None:
    network: nn.Module = objective.network
    try:
        with fabric.autocast():
            loss = objective.loss(network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
    finally:
        network.zero_grad(set_to_none=True)


def _first(batch: Batch, size: int) -> Batch:
    return next(split_batch(batch, size))


def _voxels(batch: Batch) -> str:
    return "×".join(map(str, batch["image"].shape[2:]))


@dataclass(eq=False)
class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors from when an operation makes them to when nobody holds them."""

    now: int = 0
    highest: int = 0
    _watched: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*arguments, **(options or {}))
        before = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((arguments, options)) if _is_plain(leaf)}
        for made in tree_leaves(result):
            if _is_plain(made) and made.untyped_storage().data_ptr() not in before:
                self._watch(made.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if size and place not in self._watched:
            self._watched.add(place)
            self.now += size
            self.highest = max(self.highest, self.now)
            finalize(storage, self._forget, place, size)

    def _forget(self, place: int, size: int) -> None:
        self._watched.discard(place)
        self.now -= size


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided
