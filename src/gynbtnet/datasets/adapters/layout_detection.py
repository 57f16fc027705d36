"""Layout of a folder with scans and contours, by the files in it."""

from pathlib import Path

from gynbtnet.datasets.adapters.dataset_json import NAME as DATASET_JSON
from gynbtnet.datasets.cohort import MANIFEST


def detect_layout(folder: Path) -> str:
    """Return the layout of a folder: that of nnU-Net, also for a cohort of GynBTNet, of the Decathlon, or DICOM RT.

    Args:
        folder: an existing folder.

    Returns:
        "nnunet", "decathlon" or "dicom-rt", a key of :data:`~gynbtnet.datasets.adapters.registry.ADAPTERS`.
    """
    folder = Path(folder)
    if (folder / MANIFEST).is_file():
        return "nnunet"
    if not (folder / DATASET_JSON).is_file():
        return "dicom-rt"
    images = [path.name.split(".")[0] for path in (folder / "imagesTr").glob("[!.]*")]
    return "nnunet" if any(name.endswith("_0000") for name in images) or not images else "decathlon"
