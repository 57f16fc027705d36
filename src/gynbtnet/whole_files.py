"""Files and folders that are whole or absent."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, to be written as a file or made as a folder, and rename it at the end.

    After an error, Ctrl-C included, the temporary is removed and what stood at ``path`` before stays as it was. After a
    kill the temporary stays, under a hidden name that no reader of ours looks at; the next call for ``path`` removes it.
    A file is replaced in one step; a folder is moved aside, replaced, then deleted. The temporary keeps the suffixes of
    ``path``, since writers such as SimpleITK choose the format by them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".partial-{path.name}"
    _remove(partial)
    try:
        yield partial
        if partial.is_dir() and path.exists():
            replaced = path.parent / f".replaced-{path.name}"
            _remove(replaced)
            os.replace(path, replaced)
            os.replace(partial, path)
            _remove(replaced)
        else:
            os.replace(partial, path)
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
