"""From what an adapter found to a cohort on disk; the same for every kind of source."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.cohort import MANIFEST, Cohort
from gynbtnet.datasets.ingestion_notes import notes_on_cases
from gynbtnet.datasets.json_files import read_json, sha256_of, write_json
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.errors import BadInput
from gynbtnet.imaging.label_map import Overlap
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.volume_files import write_volume
from gynbtnet.progress import track

_INGESTION_VERSION = 2
_RECORDS = "cases"


@dataclass(frozen=True)
class FoundScan:
    """A scan in a source, not read yet.

    Attributes:
        patient: as the source identifies him or her: a PatientID, the name of a folder or of an image file.
        when: orders a patient's scans in time.
        folder: the folder of the CT; named where something is wrong with it.
        files: the scan's files: DICOM slices, or one image file.
        contours: the files of its contours: a structure set, masks, or none.
        series_uid: of a DICOM series, empty where an anonymiser emptied it; None for image files.
        rtstruct: the structure set, where the contours are one.
        synthetic: whether the source says that no real patient was scanned.
        notes: why this scan was chosen.
    """

    patient: str
    when: tuple[str | int, ...]
    folder: Path
    files: tuple[Path, ...]
    contours: tuple[Path, ...] = ()
    series_uid: str | None = None
    rtstruct: Path | None = None
    synthetic: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScanContents:
    """What an adapter reads of one scan; the notes are as in :class:`~gynbtnet.datasets.case.Case`."""

    image: Volume
    segmentation: Segmentation | None = None
    missing: tuple[str, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ingest_found(
    found: Sequence[FoundScan],
    read: Callable[[FoundScan], ScanContents],
    out: Path,
    *,
    structures: tuple[str, ...] = (),
    depends_on: str = "",
    key: PatientKey | None = None,
    name: str | None = None,
    notes: tuple[str, ...] = (),
) -> Cohort:
    """Write every scan found as a case, and then the manifest.

    Until the manifest stands, ``out`` is no cohort; a second call goes on where the first one was interrupted. A case
    is written again where its source, its place in the cohort or what reading depends on has changed.

    Args:
        found: what the adapter found, in any order.
        read: reads one scan.
        out: folder for the cohort: absent, empty, or one that an earlier call wrote.
        structures: as the segmentations have them.
        depends_on: what else decides what ``read`` returns, as text: names of ROIs, for instance.
        key: gives patients their study IDs: those of DICOM scans, or all where it is kept apart. Left out, the key is
            ``patients.csv`` in ``out``.
        name: of the cohort; left out, that of ``out``.
        notes: what readers of results have to know, beside what the contours tell.

    Raises:
        BadInput: where ``out`` holds something else, a scan can't be read (its folder is named), or no case has one of
            the structures.
    """
    out = Path(out).absolute()
    if out.is_dir() and not (out / _RECORDS).is_dir() and any(out.iterdir()):
        raise BadInput(f"{out} holds files and is no cohort; name a folder that is empty or absent.")
    key = key or PatientKey.load(out / KEY)
    if key.apart and key.path.is_relative_to(out):
        raise BadInput(f"The key {key.path} would lie in the cohort {out}; name a file apart, where only you can look.")
    (out / _RECORDS).mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    numbered = _numbered(_under_study_ids(found, key))
    _remove_others(out, {case_id for case_id, _, _ in numbered})
    cases = tuple(
        _ingest_case(scan, case_id, fraction, read, out, (structures, depends_on), keeps_source=not key.apart)
        for case_id, fraction, scan in track(numbered, "Ingesting")
    )
    _check_structures(cases, structures, out)
    cohort = Cohort(name or out.name, structures, cases, out, (*notes, *notes_on_cases(cases, structures)))
    cohort.save()
    return cohort


def natural_order(path: Path) -> tuple[str | int, ...]:
    """A key that sorts ``fraction_10`` after ``fraction_9``."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path)))


def source_folders(source: Path | Sequence[Path], out: Path) -> tuple[Path, ...]:
    """The folders to ingest, absolute.

    Raises:
        BadInput: where one is absent, or ``out`` lies in it, so that the cohort would become its own source.
    """
    folders = tuple(Path(folder).absolute() for folder in ([source] if isinstance(source, str | Path) else source))
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(f"There is no folder {folder}; expected one with scans to ingest.")
        if Path(out).resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"The cohort {out} would lie inside its source {folder}; name a folder outside it.")
    return folders


def _under_study_ids(found: Sequence[FoundScan], key: PatientKey) -> list[FoundScan]:
    """The scans with study IDs for patients; names of image files stay, unless the key is kept apart."""
    replaced = [scan for scan in found if key.apart or scan.series_uid is not None]
    key.add(scan.patient for scan in replaced)
    kept = [scan for scan in found if not (key.apart or scan.series_uid is not None)]
    return [*kept, *(replace(scan, patient=key.study_id(scan.patient)) for scan in replaced)]


def _numbered(found: Iterable[FoundScan]) -> list[tuple[str, int, FoundScan]]:
    """Id, fraction and scan, by patient and then in time."""
    by_patient: dict[str, list[FoundScan]] = {}
    for scan in found:
        by_patient.setdefault(scan.patient, []).append(scan)
    numbered = []
    taken: set[str] = set()
    for patient in sorted(by_patient):
        safe = re.sub(r"[^A-Za-z0-9-]+", "-", patient).strip("-") or "patient"
        while safe.lower() in taken:  # other patients may differ in the letters that file names can't hold
            safe += "-2"
        taken.add(safe.lower())
        scans = sorted(by_patient[patient], key=lambda scan: scan.when)
        numbered += [(f"{safe}_f{i}", i, scan) for i, scan in enumerate(scans, start=1)]
    return numbered


def _ingest_case(
    scan: FoundScan,
    case_id: str,
    fraction: int,
    read: Callable[[FoundScan], ScanContents],
    out: Path,
    depends_on: tuple[object, ...],
    *,
    keeps_source: bool,
) -> Case:
    digests = {str(scan.folder if scan.series_uid is not None else scan.files[0]): sha256_of(*scan.files)}
    digests |= {str(path): sha256_of(path) for path in scan.contours}
    key = _digest(_INGESTION_VERSION, scan.patient, fraction, scan.synthetic, digests, depends_on, keeps_source)
    record = out / _RECORDS / f"{case_id}.json"
    if record.is_file():
        standing = read_json(_Record, record, "delete it and ingest again")
        case = standing.case.below(out)
        if standing.key == key and case.image.is_file() and (case.labels is None or case.labels.is_file()):
            return case
        for path in (record, case.image, case.labels):
            if path is not None:
                path.unlink(missing_ok=True)
    try:
        contents = read(scan)
    except BadInput as error:
        if str(scan.folder) in str(error):
            raise
        raise BadInput(f"In {scan.folder}: {error}") from error
    segmentation = contents.segmentation
    case = Case(
        patient=scan.patient,
        fraction=fraction,
        id=case_id,
        images=(out / "imagesTr" / f"{case_id}_0000.nii.gz",),
        labels=out / "labelsTr" / f"{case_id}.nii.gz" if segmentation else None,
        source=Source(scan.folder, scan.series_uid, scan.rtstruct, digests, scan.synthetic)
        if keeps_source
        else Source(synthetic=scan.synthetic),
        geometry=contents.image.geometry,
        volumes_cm3=_volumes(segmentation, contents.missing) if segmentation else {},
        missing=contents.missing,
        overlaps=contents.overlaps,
        unmapped=contents.unmapped,
        notes=contents.notes,
    )
    write_volume(_compact(contents.image), case.image)
    if segmentation and case.labels:
        write_volume(segmentation.labels, case.labels)
    write_json(_Record(key, case.relative_to(out)), record)
    return case


def _check_structures(cases: Sequence[Case], structures: tuple[str, ...], out: Path) -> None:
    nowhere = [name for name in structures if all(name in case.missing for case in cases)]
    if nowhere:
        others = sorted({roi for case in cases for roi in case.unmapped})
        raise BadInput(
            f"None of the {len(cases)} cases for {out} has {', '.join(nowhere)}; names found that mean none of the "
            f"structures wanted: {', '.join(others) or 'none'}. Map one in an alias file, or leave the structure out."
        )


def _volumes(segmentation: Segmentation, missing: tuple[str, ...]) -> dict[str, float]:
    voxels = np.bincount(segmentation.labels.array.ravel(), minlength=len(segmentation.structures) + 1)[1:]
    cm3 = voxels * segmentation.labels.geometry.voxel_volume / 1000
    pairs = zip(segmentation.structures, cm3, strict=True)
    return {structure: round(float(volume), 4) for structure, volume in pairs if structure not in missing}


def _compact(volume: Volume) -> Volume:
    """HU as int16 where they are whole numbers within its range, otherwise as float32."""
    array = volume.array
    limits = np.iinfo(np.int16)
    fits = limits.min <= array.min() and array.max() <= limits.max
    whole = array.dtype.kind in "iu" or bool((array == np.rint(array)).all())
    return replace(volume, array=array.astype(np.int16 if fits and whole else np.float32, copy=False))


def _digest(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _remove_others(out: Path, ids: set[str]) -> None:
    """Remove what an earlier ingestion wrote of cases that the source doesn't have any more."""
    for folder, ending in ((_RECORDS, ".json"), ("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
        for path in (out / folder).glob(f"[!.]*{ending}"):
            if path.name.removesuffix(ending) not in ids:
                path.unlink()


@dataclass(frozen=True)
class _Record:
    key: str
    case: Case
