"""Synthetic cohorts on disk: unlabelled scans, scans with many organs, and brachytherapy fractions."""

import json
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.phantom.anatomy.patient import Kind
from gynbtnet.phantom.anatomy.population import Realism
from gynbtnet.phantom.case import pelvic_geometry, phantom_case
from gynbtnet.phantom.clinic_export import write_clinic_fraction, write_clinic_scan
from gynbtnet.phantom.limits import check_counts, check_view
from gynbtnet.phantom.nifti_files import write_dataset_json, write_nifti_fraction, write_organ_case, write_synthetic
from gynbtnet.phantom.rendering.scene import NESTED_STRUCTURES, STRUCTURES
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import map_scans
from gynbtnet.runtime.plain_data import PlainDataError, load_json

FileFormat = Literal["dicom", "nifti"]

SPACING = (3.0, 3.0, 3.0)
MATRIX = (64, 96, 128)
"""The default field of view: 192 × 288 × 384 mm (z, y, x) at 3 mm."""

README = """SYNTHETIC PHANTOM

Every file in this folder was computed by gynbtnet's phantom. No patient was scanned and no dose was given:
the images show no real anatomy and are suitable only for trying software.

kind: {kind}
layout: {layout}
The settings are in phantom.json.
"""


def fraction_count(patient: int, fractions: int | Literal["4-5"]) -> int:
    """Return the number of fractions of patient number ``patient``, from 0.

    It is ``fractions``, or with "4-5" 4 for every sixth patient and 5 for the others. Thirty patients then have 145
    fractions, the size of the paper's cohort.

    Args:
        patient: number of the patient, from 0.
        fractions: number of fractions of every patient, or "4-5".

    Returns:
        The number of fractions.
    """
    if fractions == "4-5":
        return 4 if patient % 6 == 5 else 5
    return fractions


def write_brachytherapy(
    out: Path,
    *,
    patients: int = 30,
    fractions: int | Literal["4-5"] = "4-5",
    spacing: tuple[float, float, float] = SPACING,
    matrix: tuple[int, int, int] = MATRIX,
    seed: int = 0,
    realism: Realism = "simple",
    file_format: FileFormat = "dicom",
    nested: bool = False,
    jobs: int = 1,
) -> int:
    """Write post-implant scans with structures and dose, ``PHANTOM-001/fraction-1/…``.

    Args:
        out: Output folder. Existing cases are kept, so that an interrupted run continues.
        patients: Number of patients.
        fractions: Fractions per patient, or "4-5".
        spacing: mm along (z, y, x).
        matrix: Voxels along (z, y, x).
        seed: Random seed; equal seeds give equal cohorts.
        realism: Population of the patients: "simple" for demonstrations, "clinical" for comparisons of models.
        file_format: "dicom" as a clinic exports it (CT series, RTSTRUCT, RTDOSE), or "nifti", which is also an nnU-Net
            raw dataset unless structures overlap.
        nested: Contour also GTV-res and IR-CTV, and the whole uterus, so that structures overlap.
        jobs: Number of parallel processes; the voxels don't depend on it.

    Returns:
        The number of cases.

    Raises:
        BadInput: If a setting is out of range, or the folder has a phantom with other settings, or other files.
        ScansFailed: At the end, if a case can't be written.

    Example:
        >>> write_brachytherapy(
        ...     folder / "phantoms", patients=1, fractions=1, spacing=(12.0, 10.0, 10.0), matrix=(16, 32, 40)
        ... )
        1
        >>> sorted(path.name for path in (folder / "phantoms" / "PHANTOM-001" / "fraction-1").iterdir())
        ['CT', 'RD.dcm', 'RS.dcm']
    """
    check_counts(patients, fractions)
    layout = _fraction_layout(file_format, nested=nested)
    _start_cohort(out, "brachytherapy", layout, spacing, matrix, seed, realism, nested=nested)
    geometry = pelvic_geometry(spacing, matrix)
    cases = [(p, f) for p in range(patients) for f in range(fraction_count(p, fractions))]
    write = partial(
        _write_fraction,
        out=Path(out),
        geometry=geometry,
        seed=seed,
        realism=realism,
        file_format=file_format,
        nested=nested,
    )
    map_scans(write, cases, name=_fraction_folder, title="Phantom: brachytherapy", jobs=jobs)
    if file_format == "nifti" and not nested:
        write_dataset_json(Path(out), STRUCTURES)
    return len(cases)


def write_organs(
    out: Path,
    *,
    scans: int,
    spacing: tuple[float, float, float] = SPACING,
    matrix: tuple[int, int, int] = MATRIX,
    seed: int = 0,
    realism: Realism = "simple",
    jobs: int = 1,
) -> int:
    """Write scans without implant in the layout of TotalSegmentator v1, ``s0000/ct.nii.gz`` and ``segmentations/``.

    Each scan shows a different woman, and none of them is in the other cohorts.

    Args:
        out: as for :func:`write_brachytherapy`.
        scans: number of scans.
        spacing: voxel spacing (z, y, x) in mm.
        matrix: voxels (z, y, x).
        seed: the same seed gives the same voxels.
        realism: as for :func:`write_brachytherapy`.
        jobs: as for :func:`write_brachytherapy`.

    Returns:
        The number of scans.

    Raises:
        BadInput: If a setting is out of range, or the folder has a phantom with other settings, or other files.
        ScansFailed: At the end, if a scan can't be written.
    """
    layout = "TotalSegmentator v1, sXXXX/ct.nii.gz and sXXXX/segmentations/<class>.nii.gz"
    check_counts(scans)
    _start_cohort(out, "organs", layout, spacing, matrix, seed, realism)
    write = partial(_write_organs, out=Path(out), spacing=spacing, matrix=matrix, seed=seed, realism=realism)
    map_scans(write, range(scans), name=_organs_folder, title="Phantom: organs", jobs=jobs)
    return scans


def write_unlabelled(
    out: Path,
    *,
    scans: int,
    spacing: tuple[float, float, float] = SPACING,
    matrix: tuple[int, int, int] = MATRIX,
    seed: int = 0,
    realism: Realism = "simple",
    file_format: FileFormat | Literal["mixed"] = "mixed",
    jobs: int = 1,
) -> int:
    """Write scans without labels, about half of them with an implant, in different fields of view.

    Args:
        out: Output folder. Existing scans are kept, so that an interrupted run continues.
        scans: Number of scans.
        spacing: mm along (z, y, x).
        matrix: Voxels along (z, y, x).
        seed: Random seed; equal seeds give equal cohorts.
        realism: Population of the patients: "simple" for demonstrations, "clinical" for comparisons of models.
        file_format: "mixed" alternates between DICOM series (``scan-0001/``) and NIfTI (``scan-0002.nii.gz``).
        jobs: Number of parallel processes; the voxels don't depend on it.

    Returns:
        The number of scans.

    Raises:
        BadInput: If a setting is out of range, or the folder has a phantom with other settings, or other files.
        ScansFailed: At the end, if a scan can't be written.
    """
    check_counts(scans)
    _start_cohort(out, "unlabelled", "scan-XXXX/*.dcm (CT series) or scan-XXXX.nii.gz", spacing, matrix, seed, realism)
    write = partial(
        _write_unlabelled,
        out=Path(out),
        spacing=spacing,
        matrix=matrix,
        seed=seed,
        realism=realism,
        file_format=file_format,
    )
    map_scans(write, range(scans), name=_unlabelled_name, title="Phantom: unlabelled", jobs=jobs)
    return scans


def _fraction_folder(case: tuple[int, int]) -> str:
    """Return the folder of a fraction in its cohort; ``case`` has the numbers of patient and fraction, from 0."""
    patient, fraction = case
    return f"PHANTOM-{patient + 1:03d}/fraction-{fraction + 1}"


def _patient_id(seed: int, number: str) -> str:
    """Return the PatientID of a synthetic woman, who is another one with another seed: PHANTOM-001, PHANTOM-S7-001."""
    return f"PHANTOM-S{seed}-{number}" if seed else f"PHANTOM-{number}"


def _write_fraction(
    case: tuple[int, int],
    *,
    out: Path,
    geometry: Geometry,
    seed: int,
    realism: Realism,
    file_format: FileFormat,
    nested: bool,
) -> None:
    """Write one fraction, unless it exists."""
    folder = out / _fraction_folder(case)
    if folder.exists():
        return
    patient, fraction = case
    phantom = phantom_case(seed, patient, fraction, geometry, "brachytherapy", realism, nested=nested)
    with atomic_write(folder) as partial_folder:
        partial_folder.mkdir()
        if file_format == "dicom":
            patient_id = _patient_id(seed, f"{patient + 1:03d}")
            write_clinic_fraction(phantom, partial_folder, patient_id=patient_id, fraction=fraction + 1, seed=seed)
        else:
            write_nifti_fraction(phantom, partial_folder)


def _organs_folder(number: int) -> str:
    return f"s{number:04d}"


def _write_organs(
    number: int,
    *,
    out: Path,
    spacing: tuple[float, float, float],
    matrix: tuple[int, int, int],
    seed: int,
    realism: Realism,
) -> None:
    """Write one scan with many organs, unless it exists."""
    folder = out / _organs_folder(number)
    if not folder.exists():
        case = phantom_case(seed, number, 0, _vary_view(spacing, matrix, (seed, 1, number)), "organs", realism)
        with atomic_write(folder) as partial_folder:
            write_organ_case(case, partial_folder)


def _unlabelled_name(number: int) -> str:
    return f"scan-{number + 1:04d}"


def _write_unlabelled(
    number: int,
    *,
    out: Path,
    spacing: tuple[float, float, float],
    matrix: tuple[int, int, int],
    seed: int,
    realism: Realism,
    file_format: FileFormat | Literal["mixed"],
) -> None:
    """Write one scan without labels, unless it exists."""
    dicom = file_format == "dicom" or (file_format == "mixed" and number % 2 == 0)
    path = out / f"{_unlabelled_name(number)}{'' if dicom else '.nii.gz'}"
    if not path.exists():
        case = phantom_case(seed, number, 0, _vary_view(spacing, matrix, (seed, 0, number)), "unlabelled", realism)
        if dicom:
            write_clinic_scan(case.scan, path, patient_id=_patient_id(seed, f"U{number + 1:04d}"), seed=seed)
        else:
            write_synthetic(case.scan, path)


def _fraction_layout(file_format: FileFormat, *, nested: bool) -> str:
    """Return the description of the files of a fraction."""
    if file_format == "dicom":
        return "<patient>/<fraction>/CT/*.dcm, RS.dcm (structures), RD.dcm (dose)"
    if nested:
        names = ", ".join(NESTED_STRUCTURES)
        return f"<patient>/<fraction>/ct.nii.gz, masks/<structure>.nii.gz, dose.nii.gz (Gy); structures: {names}"
    labels = ", ".join(f"{label} {name}" for label, name in enumerate(STRUCTURES, start=1))
    return f"<patient>/<fraction>/ct.nii.gz, labels.nii.gz, dose.nii.gz (Gy); labels: {labels}"


def _vary_view(
    spacing: tuple[float, float, float], matrix: tuple[int, int, int], identity: tuple[int, ...]
) -> Geometry:
    """Return a different field of view: up to a quarter smaller, shifted, with slices up to a third thicker."""
    rng = np.random.default_rng((*identity, 901))
    sizes = tuple(max(2, round(n * f)) for n, f in zip(matrix, rng.uniform([0.75, 0.85, 0.85], 1.0), strict=True))
    thickness = spacing[0] * rng.uniform(1.0, 1.35)
    offset_mm = (rng.uniform(-12, 12), rng.uniform(-8, 8), rng.uniform(-25, 35))
    return pelvic_geometry((round(thickness, 2), *spacing[1:]), sizes, offset_mm)


def _start_cohort(
    out: Path,
    kind: Kind,
    layout: str,
    spacing: tuple[float, float, float],
    matrix: tuple[int, int, int],
    seed: int,
    realism: Realism,
    *,
    nested: bool = False,
) -> None:
    """Write README.txt and phantom.json, unless the folder already has them with the same settings.

    Raises:
        BadInput: If a setting is out of range, or the folder has a phantom with other settings or other files.
    """
    check_view(spacing, matrix)
    if seed < 0:
        raise BadInput(f"The seed of a phantom is {seed}; expected at least 0.")
    settings = {
        "synthetic": True,
        "kind": kind,
        "spacing": list(spacing),
        "matrix": list(matrix),
        "seed": seed,
        "realism": realism,
        "layout": layout,
        **({"nested": True} if nested else {}),
    }
    record, readme = Path(out) / "phantom.json", Path(out) / "README.txt"
    if record.is_file():
        if _read_record(record) != settings:
            raise BadInput(
                f"{out} has a phantom with other settings, see {record.name}; choose another folder or delete it."
            )
    else:
        _refuse_other_files(Path(out))
        with atomic_write(record) as partial:
            partial.write_text(json.dumps(settings, indent=2) + "\n")
    if not readme.exists():
        with atomic_write(readme) as partial:
            partial.write_text(README.format(kind=kind, layout=layout))


def _read_record(record: Path) -> dict[str, Any]:
    """Return the settings of a phantom that was begun earlier."""
    try:
        settings = load_json(record)
    except (PlainDataError, OSError) as error:
        raise BadInput(
            f"{record} is damaged or was edited ({error}); choose another folder, or delete {record.parent}."
        ) from error
    return {"realism": "simple", **settings} if isinstance(settings, dict) else {}


def _refuse_other_files(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; expected a folder for the phantom: give another one.")
    if any(out.glob("[!.]*")):
        raise BadInput(
            f"{out} has other files and no phantom, and synthetic scans must not be mixed with others; give a new or "
            "an empty folder."
        )
