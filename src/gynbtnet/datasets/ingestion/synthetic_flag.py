"""How a source says that no real patient was scanned."""

from pathlib import Path

from pydicom.dataset import Dataset

from gynbtnet.imaging.files.volume_files import read_header
from gynbtnet.runtime.errors import BadInput

_LOOKED_AT = 2**20  # characters of a README
_WORD = "synthetic"
_DESCRIPTIONS = ("descrip", "ITK_FileNotes", "Comment")


def dicom_is_synthetic(header: Dataset) -> bool:
    """Whether the description of study or series holds the word "synthetic"."""
    return any(_WORD in str(header.get(keyword, "")).lower() for keyword in ("StudyDescription", "SeriesDescription"))


def image_is_synthetic(path: Path, root: Path) -> bool:
    """Whether an image file's own description says so, or a ``README.txt`` beside it or above, up to ``root``."""
    try:
        description = read_header(path).description
    except BadInput:
        return False  # reading the voxels will say what is wrong with it
    if _WORD in description.lower():
        return True
    folders = [folder for folder in path.parents if folder == root or root in folder.parents]
    readmes = [folder / "README.txt" for folder in folders]
    return any(_says_so(readme) for readme in readmes if readme.is_file())


def _says_so(readme: Path) -> bool:
    with readme.open(errors="replace") as file:
        return _WORD in file.read(_LOOKED_AT).lower()
