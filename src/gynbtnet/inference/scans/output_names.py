"""Names of the output folders of several scans."""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.runtime.errors import BadInput


def output_names(scans: Sequence[Path], least: Sequence[int] = ()) -> dict[str, Path]:
    """Return a unique name for each scan: the name of its file or folder, with parent folders if necessary.

    Args:
        scans: paths of the scans.
        least: smallest number of path components in each name: those below the folder that was searched. Names then
            stay the same if other scans are added to that folder.

    Returns:
        The paths by name.

    Raises:
        BadInput: If a scan is given twice.
    """
    paths = [scan.resolve() for scan in scans]
    if len(set(paths)) < len(paths):
        raise BadInput("A scan is given twice; give each scan once.")
    shortened = [path.with_name(without_suffix(path.name)) for path in paths]
    if len(set(shortened)) == len(shortened):
        paths = shortened
    for parts in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        lengths = [max(parts, own) for own in least] or [parts] * len(paths)
        names = ["_".join(path.parts[-length:]).replace("/", "") for path, length in zip(paths, lengths, strict=True)]
        if len(set(names)) == len(names):
            return dict(zip(names, scans, strict=True))
    raise BadInput("The scans can't be distinguished by their folders; predict them one by one.")
