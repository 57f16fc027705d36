"""Locks between processes of one machine, held on a file until they are released or the process ends."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOG = logging.getLogger(__name__)
_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_OPEN: set[int] = set()
"""Descriptors of the locks that this process holds or waits for."""


def _close_all() -> None:
    while _OPEN:
        os.close(_OPEN.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock inside the block; the system releases it if the process is killed.

    Processes that are forked from this one don't hold the lock, so that they can't keep it after this one is killed.
    On a file system without locks, such as some of clusters, a warning is logged and nothing is locked.
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
    _OPEN.add(descriptor)
    try:
        yield _acquire(descriptor, wait=wait)
    finally:
        if descriptor in _OPEN:  # not in a process that was forked in between
            _OPEN.remove(descriptor)
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
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _LOG.warning("The file system has no locks (%s); let no two programs write to one folder.", error.strerror)
    return True
