"""Memory that this process can still allocate, and a check before work that needs more."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from gynbtnet.runtime.errors import BadInput

CONTROL_GROUPS = Path("/sys/fs/cgroup")
PROCESS_GROUPS = Path("/proc/self/cgroup")
_UNLIMITED = 2**60  # version 1 of control groups writes a number of this order for "no limit"


def available_bytes(control_groups: Path = CONTROL_GROUPS, process_groups: Path = PROCESS_GROUPS) -> int:
    """Return the bytes of memory that this process can still take.

    This is the minimum of the free memory of the machine, of the control groups of a container or a batch job, and of
    ``ulimit -v``.

    Args:
        control_groups: root folder of the control groups.
        process_groups: file that lists the control groups of this process.

    Returns:
        Number of bytes, at least 0.
    """
    left_by_groups = _left_by_groups(control_groups, process_groups)
    return max(0, min((psutil.virtual_memory().available, *left_by_groups, *_left_by_ulimit())))


def check_memory(needed: float, what: str, remedy: str) -> None:
    """Refuse work that can't fit into memory, before anything is allocated.

    Args:
        needed: bytes that the work takes beyond what the process holds already.
        what: the subject of the sentence, with its size, such as "scan.nii.gz with its 512×512×200 voxels".
        remedy: advice to the user, as an imperative.

    Raises:
        BadInput: If less than ``needed`` is available.
    """
    available = available_bytes()
    if needed > available:
        raise BadInput(f"{what} needs about {_gb(needed)} of memory, and {_gb(available)} are available; {remedy}.")


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _left_by_groups(control_groups: Path, process_groups: Path) -> Iterator[int]:
    """Yield the free bytes of every control group that this process is in; see cgroups(7)."""
    try:
        lines = process_groups.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _left(control_groups, group, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(control_groups / "memory", group, *names)


def _left(root: Path, group: str, limit: str, usage: str, cache: str) -> Iterator[int]:
    own = root / group.lstrip("/")
    for folder in (own, *own.parents):
        if folder != root and root not in folder.parents:
            break  # inside a container the path is the host's, and the root folder is the container's own group
        try:
            most = (folder / limit).read_text().strip()
            used = int((folder / usage).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if most.isdecimal() and int(most) < _UNLIMITED:
            yield int(most) - used + int(statistics.get(cache, 0))


def _left_by_ulimit() -> Iterator[int]:
    if sys.platform == "linux":
        process = psutil.Process()
        limit = process.rlimit(psutil.RLIMIT_AS)[0]
        if limit not in (-1, psutil.RLIM_INFINITY):
            yield limit - process.memory_info().vms
