"""Number of patches of a batch that fit into memory together, and advice if none does."""

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
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.data.batches import Batch, move_batch
from gynbtnet.training.objectives.objective import Objective

_COPIES = 3  # copies of the weights per step in addition to the gradients: AdamW's two moments, and DDP's buckets
_SPARE = 0.05  # share of a GPU's memory: free blocks don't always have the requested size
_SHARE_OF_FREE = 0.8  # of the free CPU memory


def micro_batch_size(fabric: Fabric, objective: Objective, batch: Batch, memory_gb: float | None) -> int:
    """Return the largest divisor of the batch size for which a device has the memory to compute gradients.

    A GPU tries the whole batch, half of it and so on until one fits, with the optimiser's memory reserved. On a CPU,
    the operating system ends a process that allocates too much: there the memory of one patch is measured and
    multiplied. All processes use the smallest result. The network is not changed.

    Args:
        fabric: processes and devices.
        objective: objective whose network is not wrapped yet.
        batch: batch of one device for one step.
        memory_gb: memory that a process may use on a CPU; None for 80 % of the free memory, shared by the processes.

    Raises:
        BadInput: If not even one patch fits.
    """
    patches = len(batch["image"])
    sizes = [size for size in range(patches, 0, -1) if patches % size == 0]
    network, batch = fabric.to_device(objective.network), move_batch(batch, fabric.to_device)
    buffers = [buffer.clone() for buffer in network.buffers()]
    if fabric.device.type == "cuda":
        largest = next((size for size in sizes if _fits_on_gpu(fabric, objective, _first(batch, size))), 0)
    else:
        weights = sum(parameter.nbytes for parameter in network.parameters())
        patch_bytes = peak_bytes(fabric, objective, _first(batch, 1))
        available = _available_bytes(fabric, memory_gb) - _COPIES * weights
        largest = next((size for size in sizes if size * patch_bytes <= available), 0)
    with torch.no_grad():
        for buffer, before in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(before)
    patches_at_once = int(cast(Tensor, fabric.all_gather(torch.tensor(largest))).min())
    if patches_at_once == 0:
        raise BadInput(f"Not even one patch of {_voxels(batch)} voxels fits into memory; {REMEDY}.")
    return patches_at_once


def check_training_memory(fabric: Fabric, plan: Plan, *, patches: int, least_share: float) -> None:
    """Refuse a plan whose steps can't fit into CPU memory, before the network is created.

    If memory runs out, a GPU raises an error, but on a CPU the operating system ends the process.

    Args:
        fabric: processes and devices.
        plan: plan of the network to train.
        patches: smallest number of patches that are computed together.
        least_share: share of the upper bound ``training_bytes`` that a step needs at least; see
            :func:`~gynbtnet.preparation.planning.memory_estimate.training_bytes`.

    Raises:
        BadInput: If a step needs more memory than is available.
    """
    if fabric.device.type != "cpu" or plan.network != "gynbtnet":
        return
    upper_bound = training_bytes(
        plan.preset,
        plan.strides,
        in_channels=len(plan.channels),
        outputs=plan.outputs,
        patch_size=plan.patch_size,
        batch_size=patches,
    )
    size = "×".join(map(str, plan.patch_size))
    check_memory(
        least_share * upper_bound,
        f"A training step with preset {plan.preset} and {counted(patches, 'patch', 'patches')} of {size} voxels",
        REMEDY + (", or a smaller batch_size" if patches > 1 else ""),
    )


def peak_bytes(fabric: Fabric, objective: Objective, batch: Batch) -> int:
    """Return the largest memory of all tensors at one time while the gradients of a batch are computed on a CPU.

    This includes the gradients of the weights, but not the weights.

    Args:
        fabric: processes and devices.
        objective: objective whose network is not wrapped yet.
        batch: batch whose gradients are computed.
    """
    with _LiveBytes() as live:
        _compute_gradients(fabric, objective, batch)
    return int(live.highest)


def split_batch(batch: Batch, size: int | None) -> Iterator[Batch]:
    """Yield the batch in parts of ``size`` patches; None for the whole batch."""
    step = size or len(batch["image"])
    for first in range(0, len(batch["image"]), step):
        yield cast(Batch, {name: values[first : first + step] for name, values in batch.items()})  # type: ignore[index]


REMEDY = (
    "take a smaller patch_size or preset in the plan, in stage 1 activation_checkpointing: true, or on a GPU "
    "precision: bf16-mixed"
)


@contextmanager
def explain_out_of_memory(batch_size: int, patch_size: tuple[int, int, int]) -> Iterator[None]:
    """Replace PyTorch's error by advice if memory runs out on any device."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        size = "×".join(map(str, patch_size))
        raise BadInput(
            f"Memory ran out in training with batch_size {batch_size} and patch_size {size}. Set auto_micro_batch: "
            f"true to compute a batch in parts, or take a smaller batch_size, or {REMEDY}."
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    allocator_of_cpu = "DefaultCPUAllocator" in str(error) or "not enough memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or allocator_of_cpu


def _fits_on_gpu(fabric: Fabric, objective: Objective, batch: Batch) -> bool:
    """Return whether a GPU has the memory for the gradients of a batch and the rest of a step."""
    try:
        total = torch.cuda.get_device_properties(fabric.device).total_memory
        reserved = [torch.empty(int(_SPARE * total), dtype=torch.uint8, device=fabric.device)]
        reserved += [torch.empty_like(p) for p in objective.network.parameters() for _ in range(_COPIES)]
        _compute_gradients(fabric, objective, batch)
    except torch.OutOfMemoryError:
        return False
    finally:
        reserved = []
        torch.cuda.empty_cache()
    return True


def _available_bytes(fabric: Fabric, memory_gb: float | None) -> float:
    """Return the CPU memory that this process may allocate in addition to its current memory."""
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
    """Counter of the bytes of tensors, from their creation by an operation until they are freed."""

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
        for leaf in tree_leaves(result):
            if _is_plain(leaf) and leaf.untyped_storage().data_ptr() not in before:
                self._watch(leaf.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if size and address not in self._watched:
            self._watched.add(address)
            self.now += size
            self.highest = max(self.highest, self.now)
            finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self._watched.discard(address)
        self.now -= size


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided
