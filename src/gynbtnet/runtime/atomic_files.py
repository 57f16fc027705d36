"""Atomic writes: a file or folder is complete or absent."""

import errno
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

FULL = os.strerror(errno.ENOSPC)
_NOTHING_LEFT = 4096  # bytes: a disk with less than a page free is full


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, to write as a file or make as a folder, and rename it at the end.

    After an error, Ctrl-C included, the temporary is removed and ``path`` stays as it was. After a kill the temporary
    stays under a hidden name, which none of our readers uses, until the next call for ``path``. A file is replaced in
    one step. A folder is moved aside, replaced, then deleted. The temporary keeps the suffixes of ``path``, because
    writers such as SimpleITK choose the format by them.

    Args:
        path: file or folder to write; its parents are made.

    Yields:
        The temporary path.

    Raises:
        OSError: With ENOSPC if the disk is full, even if the library that wrote reports it differently or not at all.
            Also if nothing can be written next to ``path``; libraries such as SimpleITK would raise a RuntimeError.

    Example:
        >>> with atomic_write(folder / "notes.txt") as partial:
        ...     _ = partial.write_text("complete")
        >>> (folder / "notes.txt").read_text()
        'complete'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".partial-{path.name}"
    with _naming(path, partial):
        _remove(partial)
        _check_writable(partial)
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
            has_errno = isinstance(error, OSError) and error.errno is not None
            if full and isinstance(error, Exception) and not has_errno:
                raise OSError(errno.ENOSPC, FULL, str(path)) from error
            raise


def remove_folder(folder: Path) -> None:
    """Remove a folder: after a kill it is complete or absent, since it gets a hidden name first.

    What a kill leaves under the hidden name is removed by the next call for ``folder``.

    Args:
        folder: folder that exists.
    """
    removed = folder.parent / f".removed-{folder.name}"
    _remove(removed)
    folder.replace(removed)
    _remove(removed)


def ensure_replaceable(
    folder: Path, ours: Collection[str], mark: str, *, folders: Mapping[str, str] | None = None
) -> None:
    """Check that replacing ``folder`` deletes nothing but what we wrote there before.

    Args:
        folder: the folder to be replaced; it may be absent.
        ours: names of the files that we write there.
        mark: one of ``ours``, which no other program writes.
        folders: names of folders that we write there, with the ending of all files in them, such as ``.html``.

    Raises:
        BadInput: If the folder holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; expected a folder to write to, give another one.")
    entries = sorted(folder.glob("[!.]*"))
    marked = (folder / mark).is_file()
    endings = folders or {}
    own = {path.name for path in entries if path.name in endings and _has_only(path, endings[path.name])}
    others = [
        path.name
        for path in entries
        if not marked or (path.name not in own and (path.name not in ours or path.is_dir()))
    ]
    if others:
        raise BadInput(
            f"{folder} would be replaced, but contains {counted(len(others), 'entry', 'entries')} other than an "
            f"earlier result (for example {others[0]!r}); give a new or an empty folder."
        )


def _has_only(folder: Path, ending: str) -> bool:
    return folder.is_dir() and all(path.is_file() and path.name.endswith(ending) for path in folder.iterdir())


@contextmanager
def _naming(path: Path, partial: Path) -> Iterator[None]:
    """Let errors name ``path`` instead of the temporary, which the user doesn't know."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and error.filename.startswith(str(partial)):
            error.filename = str(path) + error.filename.removeprefix(str(partial))
        raise


def _is_full(folder: Path) -> bool:
    disk = shutil.disk_usage(folder)
    return disk.total > 0 and disk.free < _NOTHING_LEFT  # the kernel's own mounts have no size


def _check_writable(partial: Path) -> None:
    """Raise the error of the operating system if a file can't be made."""
    partial.touch()
    partial.unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
