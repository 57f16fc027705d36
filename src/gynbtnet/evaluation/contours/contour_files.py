"""Search for contours in a folder: predictions, label maps, folders of masks and RTSTRUCTs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gynbtnet.imaging.dicom.rt.referenced_images import referenced_series
from gynbtnet.imaging.dicom.rt.rtstruct_origin import is_unreviewed_prediction
from gynbtnet.imaging.dicom.series import search_series
from gynbtnet.imaging.files.volume_files import is_image_file, without_suffix
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json

Form = Literal["prediction", "labels", "masks", "rtstruct"]

_MANIFEST = "prediction.json"
_LABELS = "labels.nii.gz"
_MASK_FOLDERS = ("masks", "segmentations")


@dataclass(frozen=True)
class ContourFiles:
    """Contours of one scan, before they are read.

    Attributes:
        names: names of the folder or file; one of them may be the id of a case.
        form: "prediction": a folder of ``gynbtnet predict``, or one with ``labels.nii.gz``. "labels": a label map, with
            a ``dataset.json`` in its folder, as nnU-Net writes it. "masks": a folder with one image per structure.
            "rtstruct": a DICOM RTSTRUCT.
        path: the folder or file.
        series_uids: SeriesInstanceUIDs of the scan, if the files name it.
        scan_sha256: SHA-256 of the scan, if a ``prediction.json`` names it; otherwise empty.
        automatic: True if GynBTNet made the contours, and nobody has approved them.
    """

    names: tuple[str, ...]
    form: Form
    path: Path
    series_uids: frozenset[str] = frozenset()
    scan_sha256: str = ""
    automatic: bool = False


def find_contours(folder: Path) -> tuple[ContourFiles, ...]:
    """Find the contours in a folder, in any form.

    Args:
        folder: folder of one prediction, or folder with one folder or file per scan. RTSTRUCTs may be at any depth.

    Returns:
        The contours, sorted by path.

    Raises:
        BadInput: If there is no such folder, it contains no contours, or an RTSTRUCT can't be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; expected one with contours of each case.")
    own = _in_folder(folder)
    if own is not None and own.form == "prediction":
        return (own,)
    children = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    found = [files for child in children if child.is_dir() and (files := _in_folder(child))]
    found += [
        ContourFiles((without_suffix(path.name),), "labels", path)
        for path in children
        if path.is_file() and is_image_file(path)
    ]
    known = {files.path for files in found}
    if any(path.is_dir() and not known.intersection((path, *path.iterdir())) for path in children) or any(
        path.is_file() and path not in known and path.suffix != ".json" for path in children
    ):
        found += _rtstructs(folder, known)
    if not found:
        raise BadInput(
            f"{folder} contains no contours; expected predictions, RTSTRUCTs, label maps CASE.nii.gz with a "
            "dataset.json, or folders CASE with one mask per structure."
        )
    return tuple(sorted(found, key=lambda files: files.path))


def _in_folder(folder: Path) -> ContourFiles | None:
    """Return the contours in a folder, except RTSTRUCTs; None if there are none."""
    masks = next((folder / name for name in _MASK_FOLDERS if (folder / name).is_dir()), None)
    is_predicted = (folder / _MANIFEST).is_file()
    if (folder / _LABELS).is_file() or (is_predicted and masks is not None):
        series_uid, sha256 = _predicted_scan(folder / _MANIFEST) if is_predicted else ("", "")
        series_uids = frozenset({series_uid} - {""})
        return ContourFiles((folder.name,), "prediction", folder, series_uids, sha256, automatic=is_predicted)
    if masks is not None:
        return ContourFiles((folder.name,), "masks", masks)
    has_images = any(path.is_file() and is_image_file(path) for path in folder.iterdir())
    return ContourFiles((folder.name,), "masks", folder) if has_images else None


def _predicted_scan(manifest: Path) -> tuple[str, str]:
    """Return SeriesInstanceUID and SHA-256 of the scan of a prediction; empty if unknown."""
    try:
        scan = load_json(manifest).get("input", {})
        return str(scan.get("series_uid") or ""), str(scan.get("sha256") or "")
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(f"{manifest} is damaged; predict this scan again with `gynbtnet predict`.") from error


def _rtstructs(folder: Path, known: set[Path]) -> list[ContourFiles]:
    """Return the RTSTRUCTs below a folder that are not next to contours that were found already."""
    paths = [path for series in search_series(folder).series if series.modality == "RTSTRUCT" for path in series.files]
    return [
        ContourFiles(
            (path.stem, *((path.parent.name,) if path.parent != folder else ())),
            "rtstruct",
            path,
            frozenset(series.series_uid for series in referenced_series(path)) - {""},
            automatic=is_unreviewed_prediction(path),
        )
        for path in paths
        if not known.intersection((path, *path.parents))
    ]
