"""Locks between processes of one machine, held on a file until they are released or the process ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock inside the block; the system releases it if the process is killed.

    The lock file stays. Deleting it would let two processes hold locks of the same name.

    Args:
        path: lock file; it is made, with its parents.
        wait: wait until no other process holds the lock.

    Yields:
        True if this process holds the lock; False if another one does and ``wait`` is False.

    Example:
        >>> with file_lock(folder / "lock") as held:
        ...     held
        True
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _acquire(descriptor, wait=wait)
    finally:
        os.close(descriptor)  # releases the lock


def _acquire(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file; return False if another process holds the lock."""
    try:
        if sys.platform == "win32":
            while True:
                try:
                    msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                    return True
                except OSError:  # LK_LOCK gives up after ten seconds
                    if not wait:
                        return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
