"""Image files of the channels after the first, such as an MRI that is registered to a CT."""

import re
from collections.abc import Sequence
from pathlib import Path

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_FIRST = re.compile(r"_0000(?=\.)")


def find_further_channels(scan: Path, given: Sequence[Path], channels: Sequence[str]) -> tuple[Path, ...]:
    """Return the image files of a scan's channels after the first, in the order of the model's channels.

    If the user gives no files and the scan is named ``NAME_0000.nii.gz``, as in nnU-Net, the files ``NAME_0001.nii.gz``
    and so on in the same folder are used.

    Args:
        scan: first channel, an image file or the folder of a DICOM series.
        given: files that the user gave.
        channels: channels of the model.

    Raises:
        BadInput: If there isn't one file for each channel.
    """
    expected = len(channels) - 1
    files = tuple(given)
    if not files and _FIRST.search(scan.name):
        numbered = (scan.with_name(_FIRST.sub(f"_{i:04d}", scan.name)) for i in range(1, expected + 1))
        files = tuple(path for path in numbered if path.is_file())
    if len(files) != expected:
        raise BadInput(
            f"The model reads {counted(len(channels), 'channel')} ({', '.join(channels)}), but {scan} has "
            f"{len(files) + 1}. Give an image file for each further channel with --channel, in this order, or name "
            "the files NAME_0000.nii.gz, NAME_0001.nii.gz and so on."
        )
    absent = [path for path in files if not path.is_file()]
    if absent:
        raise BadInput(f"There is no file {absent[0]}; expected an image on the grid of {scan}.")
    return files
