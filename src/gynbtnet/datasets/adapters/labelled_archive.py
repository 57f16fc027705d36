"""Public archives in which every scan is an image file with a label map of the same case."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.labelled_files import read_labelled, select_structures
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.public_archive import Archive
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.file_search import files_below
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted


@dataclass(frozen=True)
class LabelledArchive:
    """Layout of an archive of scans with label maps.

    Attributes:
        layout: name of the layout.
        archive: source and licence.
        labels: label of each structure.
        image: pattern of the path of a scan, with ``/`` between folders; its first group is the patient.
        label_map: returns the path of the label map of a scan.
        example: path of a scan and of its label map, for a message.
        is_left_out: returns True for the patient of a scan that isn't taken, such as an MR among CTs.
        left_out: what is left out, as in "an MR".
    """

    layout: str
    archive: Archive
    labels: Mapping[str, int]
    image: re.Pattern[str]
    label_map: Callable[[Path], Path]
    example: str
    is_left_out: Callable[[str], bool] = lambda patient: False
    left_out: str = ""

    @property
    def adapter(self) -> Adapter:
        """The adapter of the layout."""
        return Adapter(self.layout, self.archive.title, self.find, takes=("structures", "resample_labels"))

    def find(self, sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
        """Return the scans below the sources that have a label map.

        Raises:
            BadInput: If there is none, or a structure is requested that the archive doesn't have.
        """
        structures = select_structures(self.labels, options.structures, self.archive.title)
        scans: list[FoundScan] = []
        problems: list[Problem] = []
        excluded = 0
        for folder, path in ((source, path) for source in sources for path in files_below(source)):
            match = self.image.search(path.as_posix())
            if match is None:
                continue
            if self.is_left_out(match[1]):
                excluded += 1
                continue
            labels = self.label_map(path)
            if not labels.is_file():
                problems.append(Problem("missing", str(path), f"{path} has no label map {labels}."))
                continue
            synthetic = image_is_synthetic(path, folder)
            scans.append(FoundScan(match[1], natural_order(path), path.parent, (path,), (labels,), synthetic=synthetic))
        if not scans and not problems:
            raise BadInput(
                f"There is no scan of {self.archive.title} below {sources[0]}; expected files such as {self.example}."
            )

        def read(scan: FoundScan) -> ScanContents:
            image = read_volume(scan.files[0])
            return read_labelled(scan, image, self.labels, structures, resample_labels=options.resample_labels)

        return FoundScans(
            tuple(scans),
            read,
            structures=structures,
            depends_on=str((tuple(self.labels.items()), options.resample_labels)),
            problems=tuple(problems),
            resamples_labels=options.resample_labels,
            notes=(f"Left out: {counted(excluded, 'scan')}, {self.left_out}.",) if excluded else (),
            archive=self.archive,
        )
