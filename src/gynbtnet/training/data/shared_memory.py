"""Shared memory through which workers send their batches, and the refusal of runs that need more than there is."""

import shutil
from math import prod
from pathlib import Path

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.data.batches import Batches

SHARED_MEMORY = Path("/dev/shm")
_BATCHES_PER_WORKER = 2  # DataLoader's default


def check_shared_memory(
    batches: Batches, workers: int, *, channels: int, processes: int = 1, folder: Path = SHARED_MEMORY
) -> None:
    """Refuse a run whose workers need more shared memory than is free; they would stop with a bus error.

    Args:
        batches: batches of one process.
        workers: worker processes of each process; 0 needs no shared memory.
        channels: channels of the image.
        processes: processes of the run on this machine.
        folder: folder of the shared memory; systems without it aren't checked.

    Raises:
        BadInput: If more is needed than is free.
    """
    if not workers or not folder.is_dir():
        return
    size = processes * batch_bytes(batches, channels)
    needed, free = (workers * _BATCHES_PER_WORKER + 1) * size, shutil.disk_usage(folder).free
    if needed <= free:
        return
    fitting = max(0, (free // size - 1) // _BATCHES_PER_WORKER)
    raise BadInput(
        f"{counted(workers, 'worker')} send batches through {folder}, which needs {_gb(needed)} and has {_gb(free)} "
        f"free. Set workers to {fitting}, or start the container with --shm-size {1 + -(-needed // 10**9)}g or "
        "--ipc=host."
    )


def batch_bytes(batches: Batches, channels: int) -> int:
    """Return the bytes of the images and labels of a batch as workers send them.

    Args:
        batches: batches of one process.
        channels: channels of the image.
    """
    per_voxel = channels * (2 if batches.half else 4) + bool(batches.structures)
    return batches.batch_size * prod(batches.augmentation.patch_size) * per_voxel


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
