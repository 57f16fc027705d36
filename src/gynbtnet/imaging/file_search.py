"""Search for files below a folder."""

import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder, sorted, with links whose file is absent and folders that can't be read.

    Reading reports these, so that no scan silently lacks the slices that they hold. Links to folders are
    followed, because archives on clusters are often assembled from links. A folder that is reached twice is searched
    once, so that circular links end.

    Args:
        folder: the folder to search, with all its subfolders.
    """
    files: list[Path] = []
    visited: set[str] = set()

    def add_unreadable(error: OSError) -> None:
        files.append(Path(error.filename))

    for path, folders, names in os.walk(folder, followlinks=True, onerror=add_unreadable):
        real = os.path.realpath(path)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        files += [file for name in names if (file := Path(path, name)).is_file() or is_broken_link(file)]
    return sorted(files)


def is_broken_link(path: Path) -> bool:
    """Return whether a path is a link to something that doesn't exist."""
    return path.is_symlink() and not path.exists()


def files_beside(folder: Path, *, most: int = 10) -> list[Path]:
    """Return the files next to a folder, sorted: those of the folder around it, and those of its small neighbours.

    Exports have plan, dose and contours there, in files or in folders of few files. Neighbours with many files are
    other scans.

    Args:
        folder: a folder; its own files aren't returned.
        most: largest number of files in a neighbour. Its subfolders aren't searched.
    """
    own = folder.resolve()
    path, neighbours, names = next(os.walk(own.parent), ("", [], []))  # ignores what can't be read, as files_below does
    files = [Path(path, name) for name in names]
    for neighbour in (Path(path, name) for name in neighbours):
        inside = [neighbour / name for name in next(os.walk(neighbour), ("", [], []))[2]]
        if neighbour != own and len(inside) <= most:
            files += inside
    return sorted(file for file in files if file.is_file())


def first_files_beside(folder: Path) -> list[Path]:
    """Return the first file of each neighbour of a folder, sorted: enough to see which scans are there.

    Args:
        folder: a folder; neither its own files nor subfolders of its neighbours are searched.
    """
    own = folder.resolve()
    path, neighbours, _ = next(os.walk(own.parent), ("", [], []))
    inside = (
        sorted(neighbour / name for name in next(os.walk(neighbour), ("", [], []))[2])
        for neighbour in (Path(path, name) for name in neighbours)
        if neighbour != own
    )
    return sorted(file for files in inside for file in files[:1] if file.is_file())
