"""Detection of synthetic scans, by the descriptions in their files."""

from pathlib import Path

from pydicom.dataset import Dataset

from gynbtnet.imaging.files.volume_files import read_header
from gynbtnet.runtime.errors import BadInput

_MAX_CHARACTERS = 2**20  # of a README
_WORD = "synthetic"


def dicom_is_synthetic(header: Dataset) -> bool:
    """Return True if the description of study or series contains the word "synthetic"."""
    return any(_WORD in str(header.get(keyword, "")).lower() for keyword in ("StudyDescription", "SeriesDescription"))


def image_is_synthetic(path: Path, root: Path) -> bool:
    """Return True if an image file's description contains "synthetic", or a ``README.txt`` in its folders up to root.

    Args:
        path: image file.
        root: topmost folder in which a ``README.txt`` counts.
    """
    try:
        description = read_header(path).description
    except BadInput:
        return False  # reading the voxels reports the problem
    if _WORD in description.lower():
        return True
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    readmes = [folder / "README.txt" for folder in folders]
    return any(_contains_word(readme) for readme in readmes if readme.is_file())


def _contains_word(readme: Path) -> bool:
    with readme.open(errors="replace") as file:
        return _WORD in file.read(_MAX_CHARACTERS).lower()
