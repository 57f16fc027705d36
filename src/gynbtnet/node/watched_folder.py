"""The simplest door: a folder into which DICOM files are copied."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gynbtnet.node.configuration import Watch
from gynbtnet.node.folders import hashed
from gynbtnet.node.inbox import Full, Unusable
from gynbtnet.node.queue import Queue

CALLER = "watch"

_PREAMBLE = 128


def take_in(watch: Watch, queue: Queue, store: Callable[[bytes, str], object], note: Callable[..., None]) -> None:
    """Store the new files of the watched folder, and leave them in it.

    A file that changed after it was taken in is taken in again. Files that aren't DICOM are ignored. A full disk ends
    the round; the next one continues.

    Args:
        watch: folder, and how long a file must be unchanged.
        queue: queue, which knows the files that were taken in.
        store: stores an instance durably; called with a DICOM file and :data:`CALLER`.
        note: writes an event to the audit log.
    """
    for path, mark in _settled(watch):
        name = str(path.relative_to(watch.folder))
        if queue.watched(name) == mark:
            continue
        try:
            content = path.read_bytes()
            if content[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
                store(content, CALLER)
        except Full:
            note("refused", ae=CALLER, reason="the disk is nearly full")
            return
        except Unusable as problem:
            note("refused", ae=CALLER, file=hashed(name), reason=str(problem))
        except OSError as error:
            note("refused", ae=CALLER, file=hashed(name), reason=f"it can't be read ({error.strerror})")
            continue
        queue.note_watched(name, mark)


def _settled(watch: Watch) -> Iterator[tuple[Path, str]]:
    """Yield the files that don't change any more, each with a mark of its size and time."""
    latest = time.time() - watch.quiet_seconds
    for path in sorted(watch.folder.rglob("*")):
        try:
            state = path.stat()
        except OSError:
            continue  # it was taken away meanwhile
        if path.is_file() and not path.name.startswith(".") and state.st_mtime <= latest:
            yield path, f"{state.st_size} {state.st_mtime_ns}"
