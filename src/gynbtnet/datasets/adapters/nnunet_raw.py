"""nnU-Net's raw datasets: ``imagesTr/CASE_0000.nii.gz``, ``labelsTr/CASE.nii.gz`` and ``dataset.json``.

Further channels are ``CASE_0001.nii.gz`` and so on, named in ``dataset.json``. It may also list the files of each case
under ``dataset``. Each case is a separate patient, unless its entry has ``patient`` (and ``fraction``), or patient
identifiers come from elsewhere. If the folder is a cohort of GynBTNet, its manifest defines the patients. Patients of
different datasets are different people. ``imagesTs`` is ignored. Cases keep their ids.

The format is described in nnU-Net's documentation, dataset_format.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.dataset_json import DatasetJson, LabelledDatasets
from gynbtnet.datasets.adapters.labelled_files import read_labelled
from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import MANIFEST, Cohort
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, NamedStructures, ScanContents, natural_order
from gynbtnet.datasets.ingestion.integrity import Problem
from gynbtnet.datasets.ingestion.synthetic_flag import image_is_synthetic
from gynbtnet.imaging.files.mask_bits import read_mask_bits
from gynbtnet.imaging.files.volume_files import SUFFIXES, read_volume
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted


def find(sources: Sequence[Path], options: AdapterOptions) -> FoundScans:
    """Return the cases of one or several datasets with the same labels and channels.

    Raises:
        BadInput: If a folder doesn't contain a dataset, or there is no case.
    """
    datasets = LabelledDatasets.load(sources, options)
    structures = datasets.structures
    cases: list[FoundScan | Problem] = []
    cohort_cases: dict[Path, Case] = {}  # by image
    for description in datasets.descriptions:
        known = _cohort_cases(description.folder)
        prefix = f"{description.folder.name}-" if len(datasets.descriptions) > 1 else ""
        for name, case in _cases(description, known, labelled=bool(structures)):
            if isinstance(case, FoundScan):
                cases.append(replace(case, patient=f"{prefix}{case.patient}", case_id=f"{prefix}{name}"))
                if name in known:
                    cohort_cases[case.files[0]] = known[name]
            else:
                cases.append(case)

    def named_structures(scan: FoundScan) -> NamedStructures:
        case = cohort_cases.get(scan.files[0])
        return NamedStructures(tuple(name for name in case.missing if name in structures) if case else ())

    def read(scan: FoundScan) -> ScanContents:
        image = read_volume(scan.files[0])
        if not scan.contours:
            return ScanContents(image)
        case = cohort_cases.get(scan.files[0])
        masks = read_mask_bits(case.masks, case.masked) if case and case.masks else None
        contents = read_labelled(
            scan, image, datasets.labels, structures, resample_labels=datasets.resample_labels, masks=masks
        )
        notes = (*scan.notes, *contents.notes)
        return replace(contents, missing=named_structures(scan).missing, notes=notes)

    return datasets.found_scans(
        cases,
        read,
        "imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz",
        named_structures=named_structures,
    )


@dataclass(frozen=True)
class _CaseFiles:
    """Images and label map of a case; patient and fraction if ``dataset.json`` lists them."""

    images: tuple[Path, ...]
    labels: Path
    patient: str | None = None
    fraction: int | None = None


def _cohort_cases(folder: Path) -> dict[str, Case]:
    """Return the cases of a GynBTNet cohort by their ids; empty for any other dataset."""
    return {case.id: case for case in Cohort.load(folder).cases} if (folder / MANIFEST).is_file() else {}


def _cases(
    description: DatasetJson, known: Mapping[str, Case], *, labelled: bool
) -> Iterator[tuple[str, FoundScan | Problem]]:
    """Yield the name of each case with its scan, or with the reason why it can't be taken."""
    folder = description.folder
    ending = str(description.content.get("file_ending", ".nii.gz"))
    if ending not in SUFFIXES:
        raise BadInput(f"{description.path} has the file_ending {ending}; expected one of {', '.join(SUFFIXES)}.")
    is_listed = "dataset" in description.content
    cases: Mapping[str, _CaseFiles | None] = _listed_cases(description) if is_listed else _by_name(description, ending)
    for name, files in sorted(cases.items()):
        if files is None:
            reason = f"{description.path} lists {name} without a label and one image per channel; expected all of them."
            yield name, Problem("missing", str(description.path), reason)
            continue
        required = (*files.images, files.labels) if labelled else files.images
        absent = [path for path in required if not path.is_file()]
        if absent:
            yield name, Problem("missing", str(absent[0]), f"The case {name} of {folder} has no {absent[0]}.")
        else:
            yield name, _scan(name, files, folder, known.get(name), labelled=labelled)
    expected = description.content.get("numTraining")
    if isinstance(expected, int) and expected != len(cases):
        reason = f"{description.path} announces {counted(expected, 'case')}, but the folder has {len(cases)}."
        yield "", Problem("missing", str(description.path), reason)


def _scan(name: str, files: _CaseFiles, folder: Path, case: Case | None, *, labelled: bool) -> FoundScan:
    """Return a case as a scan; a cohort's ``case`` adds its patient, fraction, applicator and masks."""
    image, *channels = files.images
    return FoundScan(
        patient=case.patient if case else files.patient or name,
        time_order=natural_order(image),
        folder=image.parent,
        files=(image,),
        contours=(files.labels, *((case.masks,) if case and case.masks else ())) if labelled else (),
        channels=tuple(channels),
        synthetic=case.synthetic if case else image_is_synthetic(image, folder),
        fraction=case.fraction if case else files.fraction,
        applicator=case.applicator if case else None,
        applicator_source=case.source.applicator if case else None,
        position=case.position if case else None,
        notes=case.notes if case else (),
        origin=case.source if case else None,
        automatic=case.source.automatic if case else False,
    )


def _by_name(description: DatasetJson, ending: str) -> dict[str, _CaseFiles]:
    """Return every case that has an image or a label map."""
    images, labels = description.folder / "imagesTr", description.folder / "labelsTr"
    with_image = {path.name.removesuffix(f"_0000{ending}") for path in images.glob(f"[!.]*_0000{ending}")}
    with_labels = {path.name.removesuffix(ending) for path in labels.glob(f"[!.]*{ending}")}
    numbers = range(len(description.channels))
    return {
        name: _CaseFiles(tuple(images / f"{name}_{i:04d}{ending}" for i in numbers), labels / f"{name}{ending}")
        for name in with_image | with_labels
    }


def _listed_cases(description: DatasetJson) -> dict[str, _CaseFiles | None]:
    """Return the cases that ``dataset.json`` lists; None for one that lacks its images or its label."""
    entries = description.content["dataset"]
    cases = (
        {str(name): _listed_files(description, entry) for name, entry in entries.items()}
        if isinstance(entries, dict)
        else {}
    )
    if not any(cases.values()):
        raise BadInput(f"{description.path} lists cases without images and label; expected both for each.")
    return cases


def _listed_files(description: DatasetJson, entry: object) -> _CaseFiles | None:
    """Return the files of an entry; None if it doesn't name a label and one image per channel."""
    try:
        images, labels = entry["images"], entry["label"]  # type: ignore[index]
        patient, fraction = entry.get("patient"), entry.get("fraction")  # type: ignore[attr-defined]
        files = _CaseFiles(
            tuple(description.folder / path for path in images),
            description.folder / labels,
            None if patient is None else str(patient).strip() or None,
            fraction if isinstance(fraction, int) and fraction > 0 else None,
        )
    except (KeyError, TypeError, AttributeError):
        return None
    return files if len(files.images) == len(description.channels) else None


ADAPTER = Adapter("nnunet", "nnU-Net raw dataset", find, takes=("structures", "names", "resample_labels"))
