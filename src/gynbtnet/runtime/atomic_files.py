"""Files and folders that are whole or absent."""

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from gynbtnet.runtime.errors import BadInput

FULL = os.strerror(errno.ENOSPC)
_NOTHING_LEFT = 4096  # bytes: a disk with less than a page free is full


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, to be written as a file or made as a folder, and rename it at the end.

    After an error, Ctrl-C included, the temporary is removed and what stood at ``path`` before stays as it was. After a
    kill the temporary stays, under a hidden name that no reader of ours looks at, until the next call for ``path``.
    A file is replaced in one step; a folder is moved aside, replaced, then deleted. The temporary keeps the suffixes of
    ``path``, since writers such as SimpleITK choose the format by them.

    Raises:
        OSError: with ENOSPC where the disk is full, also where the library that wrote says it otherwise or not at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".partial-{path.name}"
    _remove(partial)
    try:
        yield partial
        if _is_full(path.parent):
            raise OSError(errno.ENOSPC, FULL, str(path))
        if partial.is_dir() and path.exists():
            replaced = path.parent / f".replaced-{path.name}"
            _remove(replaced)
            path.replace(replaced)
            partial.replace(path)
            _remove(replaced)
        else:
            partial.replace(path)
    except BaseException as error:
        full = _is_full(path.parent) or FULL in str(error)
        _remove(partial)
        speaks_for_itself = isinstance(error, OSError) and error.errno is not None
        if full and isinstance(error, Exception) and not speaks_for_itself:
            raise OSError(errno.ENOSPC, FULL, str(path)) from error
        raise


def ensure_replaceable(folder: Path, ours: Collection[str], mark: str) -> None:
    """See that writing ``folder`` whole deletes nothing but what we wrote there before.

    That is: files with the names ``ours``, and among them ``mark``, which nobody else writes.

    Raises:
        BadInput: where something else stands there.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; expected a folder to write to, give another one.")
    standing = sorted(folder.glob("[!.]*"))
    marked = (folder / mark).is_file()
    others = [path.name for path in standing if not marked or path.name not in ours or path.is_dir()]
    if others:
        raise BadInput(
            f"{folder} would be replaced, and it holds {len(others)} entries that are no earlier result "
            f"({others[0]!r} for one); give a new or an empty folder."
        )


def _is_full(folder: Path) -> bool:
    disk = shutil.disk_usage(folder)
    return disk.total > 0 and disk.free < _NOTHING_LEFT  # the kernel's own mounts have no size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
