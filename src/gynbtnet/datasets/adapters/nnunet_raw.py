"""nnU-Net's raw datasets: ``imagesTr/CASE_0000.nii.gz``, ``labelsTr/CASE.nii.gz`` and ``dataset.json``.

Further channels are ``CASE_0001.nii.gz`` and so on, named in ``dataset.json``, which may also list the files of each
case under ``dataset``. A case is a patient of its own, unless patients are told otherwise or the folder is a cohort of
ours, whose manifest says it; of several datasets those of different ones are different people. ``imagesTs`` is left
alone.

The format is described in nnU-Net's documentation, dataset_format.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.adapters.dataset_json import DatasetJson, one_description
from gynbtnet.datasets.adapters.labelled_files import chosen_structures, read_labelled
from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import MANIFEST, Cohort
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, NamedStructures, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.files.volume_files import SUFFIXES, read_volume
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.runtime.errors import BadInput


def find(
    sources: Sequence[Path], *, structures: Sequence[str] | None = None, resample_labels: bool = False
) -> FoundScans:
    """The cases of one or several datasets with the same labels and channels.

    Raises:
        BadInput: where a folder is no such dataset, or has no case.
    """
    described = one_description(sources)
    labels, channels = described[0].labels, described[0].channels
    wanted = chosen_structures(labels, structures, str(described[0].path))
    scans: list[FoundScan] = []
    problems: list[Problem] = []
    ours: dict[Path, Case] = {}
    for one in described:
        known = _known(one.folder)
        for name, found in _cases(one, known, labelled=bool(wanted)):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                prefix = f"{one.folder.name}-" if len(described) > 1 else ""
                scans.append(replace(found, patient=f"{prefix}{found.patient}"))
                if name in known:
                    ours[found.files[0]] = known[name]
    if not scans:
        raise BadInput(
            f"There is no case in {sources[0]}; expected imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz."
        )

    def named(scan: FoundScan) -> NamedStructures:
        known = ours.get(scan.files[0])
        return NamedStructures(tuple(name for name in known.missing if name in wanted) if known else ())

    def read(scan: FoundScan) -> ScanContents:
        image = read_volume(scan.files[0])
        if not scan.contours:
            return ScanContents(image)
        known = ours.get(scan.files[0])
        own = StructureMasks.read(known.masks, known.masked) if known and known.masks else None
        contents = read_labelled(scan, image, labels, wanted, resample_labels=resample_labels, own=own)
        return replace(contents, missing=named(scan).missing)

    return FoundScans(
        tuple(scans),
        read,
        structures=wanted,
        channels=channels,
        depends_on=str((sorted(labels.items()), resample_labels)),
        problems=tuple(problems),
        resamples_labels=resample_labels,
        named=named,
    )


@dataclass(frozen=True)
class _Files:
    """The files of a case, as the dataset names them."""

    images: tuple[Path, ...]
    labels: Path


def _known(folder: Path) -> dict[str, Case]:
    """The cases of a cohort of ours by their ids; nothing of another dataset."""
    return {case.id: case for case in Cohort.load(folder).cases} if (folder / MANIFEST).is_file() else {}


def _cases(
    described: DatasetJson, known: Mapping[str, Case], *, labelled: bool
) -> Iterator[tuple[str, FoundScan | Problem]]:
    folder = described.folder
    ending = str(described.content.get("file_ending", ".nii.gz"))
    if ending not in SUFFIXES:
        raise BadInput(f"{described.path} says that files end in {ending}; expected one of {', '.join(SUFFIXES)}.")
    by_list = "dataset" in described.content
    listed: Mapping[str, _Files | None] = _listed(described) if by_list else _by_name(described, ending)
    for name, files in sorted(listed.items()):
        if files is None:
            reason = f"{described.path} lists {name} without a label and one image per channel; expected all of them."
            yield name, Problem("missing", str(described.path), reason)
            continue
        needed = (*files.images, files.labels) if labelled else files.images
        absent = [path for path in needed if not path.is_file()]
        if absent:
            yield name, Problem("missing", str(absent[0]), f"The case {name} of {folder} has no {absent[0]}.")
        else:
            yield name, _scan(name, files, folder, known.get(name), labelled=labelled)
    stated = described.content.get("numTraining")
    if isinstance(stated, int) and stated != len(listed):
        reason = f"{described.path} says that there are {stated} cases, and {len(listed)} are there."
        yield "", Problem("missing", str(described.path), reason)


def _scan(name: str, files: _Files, folder: Path, known: Case | None, *, labelled: bool) -> FoundScan:
    image, *channels = files.images
    return FoundScan(
        patient=known.patient if known else name,
        when=natural_order(image),
        folder=image.parent,
        files=(image,),
        contours=(files.labels, *((known.masks,) if known and known.masks else ())) if labelled else (),
        channels=tuple(channels),
        synthetic=known.synthetic if known else image_is_synthetic(image, folder),
        fraction=known.fraction if known else None,
        applicator=known.applicator if known else None,
        applicator_by=known.source.applicator if known else None,
        position=known.position if known else None,
    )


def _by_name(described: DatasetJson, ending: str) -> dict[str, _Files]:
    """Every case that has an image or a label map."""
    images, labels = described.folder / "imagesTr", described.folder / "labelsTr"
    first = {path.name.removesuffix(f"_0000{ending}") for path in images.glob(f"[!.]*_0000{ending}")}
    drawn = {path.name.removesuffix(ending) for path in labels.glob(f"[!.]*{ending}")}
    numbers = range(len(described.channels))
    return {
        name: _Files(tuple(images / f"{name}_{i:04d}{ending}" for i in numbers), labels / f"{name}{ending}")
        for name in first | drawn
    }


def _listed(described: DatasetJson) -> dict[str, _Files | None]:
    """The cases as ``dataset.json`` lists them; None for one that lacks its images or its label."""
    entries = described.content["dataset"]
    listed = {str(name): _files(described, one) for name, one in entries.items()} if isinstance(entries, dict) else {}
    if not any(listed.values()):
        raise BadInput(f"{described.path} lists cases without images and label; expected both for each.")
    return listed


def _files(described: DatasetJson, entry: object) -> _Files | None:
    try:
        images, labels = entry["images"], entry["label"]  # type: ignore[index]
        files = _Files(tuple(described.folder / path for path in images), described.folder / labels)
    except (KeyError, TypeError):
        return None
    return files if len(files.images) == len(described.channels) else None
