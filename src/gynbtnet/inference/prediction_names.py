"""What the folders of several scans' predictions are called."""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.errors import BadInput
from gynbtnet.imaging.volume_files import without_suffix


def prediction_names(scans: Sequence[Path]) -> dict[str, Path]:
    """A name for each scan: its file's or folder's, with as many of the folders above as it takes to tell them apart.

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
        names = ["_".join(path.parts[-parts:]).replace("/", "") for path in whole]
        if len(set(names)) == len(names):
            return dict(zip(names, scans, strict=True))
    raise BadInput("The scans can't be told apart by their folders; predict them one by one.")
