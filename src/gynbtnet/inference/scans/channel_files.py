"""Which files hold the further channels of a scan, such as the MRI that was registered to a CT."""

import re
from collections.abc import Sequence
from pathlib import Path

from gynbtnet.runtime.errors import BadInput

_FIRST = re.compile(r"_0000(?=\.)")


def find_further_channels(scan: Path, given: Sequence[Path], channels: Sequence[str]) -> tuple[Path, ...]:
    """The image files of a scan's channels after the first, in the order of the model's.

    Those that are given; else, where the scan is called ``NAME_0000.nii.gz`` as nnU-Net's first channels are,
    ``NAME_0001.nii.gz`` and so on beside it.

    Args:
        scan: the first channel: an image file, or the folder of a DICOM series.
        given: what the user named.
        channels: what the model reads.

    Raises:
        BadInput: where there isn't one file for each channel.
    """
    wanted = len(channels) - 1
    found = tuple(given)
    if not found and _FIRST.search(scan.name):
        numbered = (scan.with_name(_FIRST.sub(f"_{i:04d}", scan.name)) for i in range(1, wanted + 1))
        found = tuple(path for path in numbered if path.is_file())
    if len(found) != wanted:
        raise BadInput(
            f"The model reads {len(channels)} channels ({', '.join(channels)}), and for {scan} there are "
            f"{len(found) + 1}; give an image file for each one after the first with --channel, in this order, or call "
            "them NAME_0000.nii.gz, NAME_0001.nii.gz and so on."
        )
    absent = [path for path in found if not path.is_file()]
    if absent:
        raise BadInput(f"There is no file {absent[0]}; expected an image that lies on the grid of {scan}.")
    return found
