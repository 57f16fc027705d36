"""What the folders of several scans' predictions are called."""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.runtime.errors import BadInput


def output_names(scans: Sequence[Path], least: Sequence[int] = ()) -> dict[str, Path]:
    """A name for each scan: its file's or folder's, with as many of the folders above as it takes to tell them apart.

    Args:
        scans: their places.
        least: of each, how many parts of its place its name has at least: those below the folder in which it was
            found, so that its name stays when other scans come into that folder.

    Raises:
        BadInput: where a scan is named twice.
    """
    whole = [scan.resolve() for scan in scans]
    if len(set(whole)) < len(whole):
        raise BadInput("A scan is named twice; name each scan once.")
    shortened = [path.with_name(without_suffix(path.name)) for path in whole]
    if len(set(shortened)) == len(shortened):
        whole = shortened
    for parts in range(1, max((len(path.parts) for path in whole), default=0) + 1):
        lengths = [max(parts, own) for own in least] or [parts] * len(whole)
        names = ["_".join(path.parts[-length:]).replace("/", "") for path, length in zip(whole, lengths, strict=True)]
        if len(set(names)) == len(names):
            return dict(zip(names, scans, strict=True))
    raise BadInput("The scans can't be told apart by their folders; predict them one by one.")
