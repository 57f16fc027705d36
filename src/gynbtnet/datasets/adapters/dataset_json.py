"""``dataset.json``, which names labels and channels in datasets of nnU-Net and the Medical Segmentation Decathlon."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gynbtnet.datasets.adapters.adapter import AdapterOptions
from gynbtnet.datasets.adapters.labelled_files import Labels, select_structures
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, NamedStructures, ScanContents
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json

NAME = "dataset.json"
_BACKGROUND = "background"
_MAX_LABEL = 65535  # largest label in a label map of any archive


@dataclass(frozen=True)
class DatasetJson:
    """Content of a ``dataset.json``.

    Attributes:
        path: path of the file.
        channels: names of the channels of a case, in their order.
        labels: label by structure name, without background, in the order of the labels. If the dataset has regions, all
            labels of each structure, in the order of ``regions_class_order``.
        content: everything in the file.
    """

    path: Path
    channels: tuple[str, ...]
    labels: Labels
    content: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "DatasetJson":
        """Read either form: names to numbers as in nnU-Net 2, or numbers to names as in older datasets.

        Raises:
            BadInput: If the file is absent or damaged, or has labels that a cohort can't have, such as voxels to be
                ignored.
        """
        path = folder / NAME
        if not path.is_file():
            raise BadInput(f"There is no {NAME} in {folder}; expected the folder of one dataset.")
        try:
            content = load_json(path)
            channels = content.get("channel_names", content.get("modality"))
            names = tuple(str(channels[str(i)]) for i in range(len(channels)))
            entries = [_parse_label(key, value) for key, value in content["labels"].items()]
            if not names:
                raise ValueError("no channel")
        except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            raise BadInput(
                f"{path} can't be read; expected JSON with channel_names (or modality) and labels, numbered from 0."
            ) from error
        unsupported = [name for name, numbers in entries if not numbers or name == "ignore"]
        if unsupported:
            raise BadInput(
                f"{path} has the label {unsupported[0]}, which is to be ignored or no number; expected a number, or "
                "a list of numbers for a region."
            )
        regions = {name: numbers for name, numbers in entries if numbers != (0,) and name != _BACKGROUND}
        _check_numbers(regions.values(), path)
        if all(len(numbers) == 1 for numbers in regions.values()):
            single = {name: numbers[0] for name, numbers in regions.items()}
            return cls(path, names, dict(sorted(single.items(), key=lambda item: item[1])), content)
        return cls(path, names, _ordered_regions(regions, content, path), content)

    @property
    def has_regions(self) -> bool:
        """True if structures are regions, which may overlap."""
        return any(isinstance(label, tuple) for label in self.labels.values())

    @property
    def folder(self) -> Path:
        """Folder of the dataset."""
        return self.path.parent


@dataclass(frozen=True)
class LabelledDatasets:
    """One or several datasets with the same labels and channels, ingested together.

    Attributes:
        descriptions: ``dataset.json`` of each dataset.
        structures: structures to take, in label order.
        resample_labels: resample labels that are not on the grid of their scan.
    """

    descriptions: tuple[DatasetJson, ...]
    structures: tuple[str, ...]
    resample_labels: bool

    @classmethod
    def load(cls, sources: Sequence[Path], options: AdapterOptions) -> "LabelledDatasets":
        """Read the ``dataset.json`` of every source.

        Raises:
            BadInput: If a file can't be used, the datasets differ in labels or channels, or a structure is unknown.
        """
        first, *others = descriptions = tuple(DatasetJson.load(source) for source in sources)
        for other in others:
            if (other.channels, other.labels) != (first.channels, first.labels):
                raise BadInput(
                    f"{other.path} has other labels or channels than {first.path}; ingest each dataset separately."
                )
        if options.structures is not None:
            labels = _by_requested_names(first.labels, options.structures, options.names, first.path)
            descriptions = tuple(replace(description, labels=labels) for description in descriptions)
        requested = tuple(first.labels) if options.structures is None else options.structures
        structures = select_structures(descriptions[0].labels, requested, str(first.path))
        return cls(descriptions, structures, options.resample_labels)

    @property
    def labels(self) -> Labels:
        """Label or labels by structure name, without background."""
        return self.descriptions[0].labels

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a case."""
        return self.descriptions[0].channels

    def found_scans(
        self,
        cases: Iterable[FoundScan | Problem],
        read: Callable[[FoundScan], ScanContents],
        expected: str,
        *,
        archive: Archive | None = None,
        named_structures: Callable[[FoundScan], NamedStructures] | None = None,
    ) -> FoundScans:
        """Return the scans and the problems of all datasets.

        Args:
            cases: every case, as a scan or as the reason why it can't be taken.
            read: reads one scan.
            expected: description of a case, for the message if there is none.
            archive: public archive of the datasets, if they are from one.
            named_structures: see :class:`FoundScans`.

        Raises:
            BadInput: If no case can be taken.
        """
        cases = list(cases)
        scans = tuple(case for case in cases if isinstance(case, FoundScan))
        if not scans:
            raise BadInput(f"There is no case in {self.descriptions[0].folder}; expected {expected}.")
        return FoundScans(
            scans,
            read,
            structures=self.structures,
            channels=self.channels,
            depends_on=str((sorted(self.labels.items()), self.resample_labels)),
            problems=tuple(case for case in cases if isinstance(case, Problem)),
            archive=archive,
            resamples_labels=self.resample_labels,
            has_regions=self.descriptions[0].has_regions,
            named_structures=named_structures,
        )


def _by_requested_names(labels: Labels, requested: Sequence[str], names: StructureNames | None, path: Path) -> Labels:
    """Return labels under the names of the requested structures that they mean; the others keep their names.

    Raises:
        BadInput: If two labels mean one structure.
    """
    names = names or StructureNames.load()
    renamed: dict[str, Any] = {}
    for name, number in labels.items():
        meaning = names.resolve(name, requested) or name
        structure = meaning if meaning in requested and meaning not in labels else name
        if structure in renamed:
            raise BadInput(f"{path} has two labels for {structure}, the second is “{name}”; rename one of them.")
        renamed[structure] = number
    return renamed


def _parse_label(key: str, value: Any) -> tuple[str, tuple[int, ...]]:
    """Return name and labels of an entry, several for a region; none if a label isn't a whole number."""
    if key.isdecimal():
        return str(value), (int(key),)
    numbers = value if isinstance(value, list) else [value]
    valid = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    return key, tuple(sorted(set(numbers))) if valid else ()


def _check_numbers(regions: Iterable[tuple[int, ...]], path: Path) -> None:
    """Raise BadInput if a label is out of range, or two structures have the same labels."""
    regions = list(regions)
    out_of_range = any(not 0 < number <= _MAX_LABEL for numbers in regions for number in numbers)
    if out_of_range or len(set(regions)) < len(regions):
        listed = ", ".join("+".join(str(number)[:9] for number in numbers[:9]) for numbers in regions[:20])
        raise BadInput(
            f"{path} numbers its labels {listed}; expected whole numbers from 1 to {_MAX_LABEL}, each once, or regions "
            "with different labels."
        )


def _ordered_regions(
    regions: Mapping[str, tuple[int, ...]], content: Mapping[str, Any], path: Path
) -> dict[str, tuple[int, ...]]:
    """Return regions in the order of the numbers that nnU-Net writes for them.

    Raises:
        BadInput: If ``regions_class_order`` doesn't have one number per region.
    """
    order = content.get("regions_class_order", list(range(1, len(regions) + 1)))
    if not isinstance(order, list) or len(order) != len(regions) or not all(type(number) is int for number in order):
        raise BadInput(f"{path} has the regions_class_order {str(order)[:99]}; expected one number per region.")
    ordered = sorted(zip(order, regions.items(), strict=True), key=lambda pair: pair[0])
    return dict(region for _, region in ordered)
