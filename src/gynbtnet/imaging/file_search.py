"""Search for files below a folder."""

import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder, sorted.

    Links to folders are followed, because archives on clusters are often assembled from links. A folder that is reached
    twice is searched once, so that circular links end.

    Args:
        folder: the folder to search, with all its subfolders.
    """
    files: list[Path] = []
    visited: set[str] = set()
    for path, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        files += [file for name in names if (file := Path(path, name)).is_file()]
    return sorted(files)
