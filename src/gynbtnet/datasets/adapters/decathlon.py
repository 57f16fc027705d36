"""The Medical Segmentation Decathlon: ``TaskNN_Name/dataset.json``, ``imagesTr/CASE.nii.gz``, ``labelsTr/CASE.nii.gz``.

``dataset.json`` lists the training cases. A task of several channels has them in one file, along a fourth dimension.
Each case is a separate patient. ``imagesTs`` has no labels and is ignored.

Source and terms: http://medicaldecathlon.com, CC BY-SA 4.0; Antonelli et al. 2022, Nature Communications 13:4128.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.dataset_json import DatasetJson, LabelledDatasets
from gynbtnet.datasets.adapters.labelled_files import read_labelled
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import LabelMismatch, Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.files.volume_files import read_channels, read_header, read_volume, without_suffix
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

ARCHIVE = Archive("Medical Segmentation Decathlon", "http://medicaldecathlon.com", "CC BY-SA 4.0")


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the training cases of one task, or of several tasks with the same labels and channels.

    Raises:
        BadInput: If a folder doesn't contain a task, or there is no case.
    """
    datasets = LabelledDatasets.load(sources, options)

    def read(scan: FoundScan) -> ScanContents:
        image, *further = _read_channels(scan.files[0], len(datasets.channels))
        return read_labelled(
            scan,
            image,
            datasets.labels,
            datasets.structures,
            resample_labels=datasets.resample_labels,
            channels=tuple(further),
        )

    cases = (case for description in datasets.descriptions for case in _cases(description))
    return datasets.found_scans(cases, read, "the training cases that its dataset.json lists", archive=ARCHIVE)


def _cases(description: DatasetJson) -> Iterator[FoundScan | Problem]:
    """Yield each training case as a scan, or the reason why it can't be taken."""
    entries = description.content.get("training")
    pairs = [_image_and_labels(description, entry) for entry in entries] if isinstance(entries, list) else []
    if not any(pairs):
        raise BadInput(
            f"{description.path} lists no training cases; expected image and label of each, as in the Decathlon."
        )
    for number, pair in enumerate(pairs, start=1):
        if pair is None:
            reason = f"Training case {number} in {description.path} has no image and label; expected the paths of both."
            yield Problem("missing", str(description.path), reason)
            continue
        image, labels = pair
        absent = [path for path in (image, labels) if not _is_file(path)]
        if absent:
            reason = f"{description.path} lists {absent[0]}, which doesn't exist."
            yield Problem("missing", str(absent[0]), reason)
        else:
            yield FoundScan(
                patient=without_suffix(image.name),
                time_order=natural_order(image),
                folder=image.parent,
                files=(image,),
                contours=(labels,),
                synthetic=image_is_synthetic(image, description.folder),
            )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for instance a name that is too long for the file system
        return False


def _image_and_labels(description: DatasetJson, entry: object) -> tuple[Path, Path] | None:
    """Return image and label map of a training case; None if the entry doesn't name both."""
    try:
        return description.folder / entry["image"], description.folder / entry["label"]  # type: ignore[index]
    except (KeyError, TypeError):
        return None


def _read_channels(path: Path, number: int) -> list[Volume]:
    """Read the channels of an image of three or four dimensions.

    Raises:
        LabelMismatch: If there are more or fewer than ``number``.
        BadInput: If the file can't be read.
    """
    if number == 1:
        return [read_volume(path)]
    volumes = read_channels(read_header(path))
    if len(volumes) != number:
        raise LabelMismatch(
            f"{path} has {counted(len(volumes), 'channel')}; expected the {number} that dataset.json names."
        )
    return volumes


ADAPTER = Adapter("decathlon", ARCHIVE.title, find, takes=("structures", "resample_labels"))
