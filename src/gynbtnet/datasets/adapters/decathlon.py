"""The Medical Segmentation Decathlon: ``TaskNN_Name/dataset.json``, ``imagesTr/CASE.nii.gz``, ``labelsTr/CASE.nii.gz``.

``dataset.json`` lists the training cases; a task of several channels has them in one file, along a fourth dimension. A
case is a patient of its own. ``imagesTs`` has no labels and is left alone. Source and terms:
http://medicaldecathlon.com, CC BY-SA 4.0; Antonelli et al. 2022, Nature Communications 13:4128.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gynbtnet.datasets.adapters.dataset_json import DatasetJson, one_description
from gynbtnet.datasets.adapters.labelled_files import chosen_structures, read_labelled
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import LabelMismatch, Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.files.volume_files import read_channels, read_header, read_volume, without_suffix
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput

ARCHIVE = Archive("Medical Segmentation Decathlon", "http://medicaldecathlon.com", "CC BY-SA 4.0")


def find(
    sources: Sequence[Path], *, structures: Sequence[str] | None = None, resample_labels: bool = False
) -> FoundScans:
    """The training cases of one task.

    Raises:
        BadInput: where a folder is no such task, or has no case.
    """
    described = one_description(sources)
    labels, channels = described[0].labels, described[0].channels
    wanted = chosen_structures(labels, structures, str(described[0].path))
    scans: list[FoundScan] = []
    problems: list[Problem] = []
    for one in described:
        for found in _cases(one):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                scans.append(found)
    if not scans:
        raise BadInput(f"There is no training case in {sources[0]}; expected those that its dataset.json lists.")

    def read(scan: FoundScan) -> ScanContents:
        image, *further = _channels(scan.files[0], len(channels))
        return read_labelled(scan, image, labels, wanted, resample_labels=resample_labels, channels=tuple(further))

    return FoundScans(
        tuple(scans),
        read,
        structures=wanted,
        channels=channels,
        depends_on=str((sorted(labels.items()), resample_labels)),
        problems=tuple(problems),
        resamples_labels=resample_labels,
        archive=ARCHIVE,
    )


def _cases(described: DatasetJson) -> Iterator[FoundScan | Problem]:
    entries = described.content.get("training")
    listed = [_listed(described, one) for one in entries] if isinstance(entries, list) else []
    if not any(listed):
        raise BadInput(
            f"{described.path} lists no training cases; expected image and label of each, as the Decathlon has them."
        )
    for number, pair in enumerate(listed, start=1):
        if pair is None:
            reason = f"Training case {number} in {described.path} has no image and label; expected the paths of both."
            yield Problem("missing", str(described.path), reason)
            continue
        image, labels = pair
        absent = [path for path in (image, labels) if not _is_there(path)]
        if absent:
            yield Problem("missing", str(absent[0]), f"{described.path} lists {absent[0]}, and it is not there.")
        else:
            yield FoundScan(
                patient=without_suffix(image.name),
                when=natural_order(image),
                folder=image.parent,
                files=(image,),
                contours=(labels,),
                synthetic=image_is_synthetic(image, described.folder),
            )


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long for the file system
        return False


def _listed(described: DatasetJson, entry: object) -> tuple[Path, Path] | None:
    """Image and label of a training case; None where the entry doesn't name both."""
    try:
        return described.folder / entry["image"], described.folder / entry["label"]  # type: ignore[index]
    except (KeyError, TypeError):
        return None


def _channels(path: Path, number: int) -> list[Volume]:
    """The channels of an image of three dimensions, or of four.

    Raises:
        LabelMismatch: where there are more or fewer than ``number``.
        BadInput: where it can't be read.
    """
    if number == 1:
        return [read_volume(path)]
    volumes = read_channels(read_header(path))
    if len(volumes) != number:
        raise LabelMismatch(f"{path} has {len(volumes)} channels; expected the {number} that dataset.json names.")
    return volumes
