"""Every file below a folder, links followed."""

import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """The files below ``folder``, sorted. Links to folders are followed, as archives are linked together on clusters; a
    folder that is reached twice is searched once, so that links in a circle end.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        found += [path for name in names if (path := Path(place, name)).is_file()]
    return sorted(found)
