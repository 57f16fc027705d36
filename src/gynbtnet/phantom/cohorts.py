"""Synthetic cohorts on disk: unlabelled scans, many organs, and brachytherapy by patient and fraction."""

import json
from pathlib import Path
from typing import Literal

import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.phantom.anatomy.patient import Kind
from gynbtnet.phantom.case import pelvic_geometry, phantom_case
from gynbtnet.phantom.clinic_export import write_clinic_fraction, write_clinic_scan
from gynbtnet.phantom.nifti_files import write_nifti_fraction, write_organ_case, write_synthetic
from gynbtnet.phantom.rendering.scene import STRUCTURES
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import track

Form = Literal["dicom", "nifti"]

SPACING = (3.0, 3.0, 3.0)
MATRIX = (64, 96, 128)
"""The default field of view: 192 × 288 × 384 mm (z, y, x) at 3 mm."""

README = """SYNTHETIC PHANTOM

Every file below this folder was computed by gynbtnet's phantom. No patient was scanned and no dose was given:
the pictures show no real anatomy and are fit for trying software only.

kind: {kind}
layout: {layout}
The settings that made it stand in phantom.json.
"""


def fractions_of(patient: int, fractions: int | Literal["4-5"]) -> int:
    """How many fractions patient number ``patient`` has: as given, or every sixth 4 and the others 5.

    With "4-5" thirty patients have 145 fractions, the size of the paper's cohort.
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
    form: Form = "dicom",
) -> int:
    """Write post-implant scans with structures and dose, ``PHANTOM-001/fraction-1/…``; returns the number of cases.

    Args:
        out: folder to write; a case that stands there is left as it is, so that a broken run goes on.
        patients: how many.
        fractions: of each patient, or "4-5".
        spacing: mm along (z, y, x).
        matrix: voxels along (z, y, x).
        seed: the same seed writes the same cohort.
        form: "dicom" as a clinic exports it (CT series, RTSTRUCT, RTDOSE), or "nifti".
    """
    if patients < 1 or (fractions != "4-5" and int(fractions) < 1):
        raise BadInput(f"{patients} patients with {fractions} fractions make no cohort; expected at least 1 of both.")
    layout = {
        "dicom": "<patient>/<fraction>/CT/*.dcm, RS.dcm (structures), RD.dcm (dose)",
        "nifti": "<patient>/<fraction>/ct.nii.gz, labels.nii.gz, dose.nii.gz (Gy); labels: "
        + ", ".join(f"{label} {name}" for label, name in enumerate(STRUCTURES, start=1)),
    }[form]
    _begin(out, "brachytherapy", layout, spacing, matrix, seed)
    geometry = pelvic_geometry(spacing, matrix)
    cases = [(p, f) for p in range(patients) for f in range(fractions_of(p, fractions))]
    for patient, fraction in track(cases, "Phantom: brachytherapy"):
        patient_id, number = f"PHANTOM-{patient + 1:03d}", fraction + 1
        folder = Path(out) / patient_id / f"fraction-{number}"
        if folder.exists():
            continue
        case = phantom_case(seed, patient, fraction, geometry)
        with atomic_write(folder) as partial:
            partial.mkdir()
            if form == "dicom":
                write_clinic_fraction(case, partial, patient_id=patient_id, fraction=number, seed=seed)
            else:
                write_nifti_fraction(case, partial)
    return len(cases)


def write_organs(
    out: Path,
    *,
    scans: int,
    spacing: tuple[float, float, float] = SPACING,
    matrix: tuple[int, int, int] = MATRIX,
    seed: int = 0,
) -> int:
    """Write scans without implant in the layout of TotalSegmentator v1, ``s0000/ct.nii.gz`` and ``segmentations/``.

    Each scan is of another woman, none of them in the other cohorts; returns the number of scans.
    """
    layout = "TotalSegmentator v1, sXXXX/ct.nii.gz and sXXXX/segmentations/<class>.nii.gz"
    _begin(out, "organs", layout, spacing, matrix, seed)
    for number in track(range(scans), "Phantom: organs"):
        folder = Path(out) / f"s{number:04d}"
        if not folder.exists():
            case = phantom_case(seed, number, 0, _other_view(spacing, matrix, (seed, 1, number)), "organs")
            with atomic_write(folder) as partial:
                write_organ_case(case, partial)
    return scans


def write_unlabelled(
    out: Path,
    *,
    scans: int,
    spacing: tuple[float, float, float] = SPACING,
    matrix: tuple[int, int, int] = MATRIX,
    seed: int = 0,
    form: Form | Literal["mixed"] = "mixed",
) -> int:
    """Write scans without labels, about half with an implant, in different fields of view; returns their number.

    Args:
        form: "mixed" makes every other one a DICOM series (``scan-0001/``) and the rest NIfTI (``scan-0002.nii.gz``).
    """
    _begin(out, "unlabelled", "scan-XXXX/*.dcm (CT series) or scan-XXXX.nii.gz", spacing, matrix, seed)
    for number in track(range(scans), "Phantom: unlabelled"):
        dicom = form == "dicom" or (form == "mixed" and number % 2 == 0)
        path = Path(out) / f"scan-{number + 1:04d}{'' if dicom else '.nii.gz'}"
        if not path.exists():
            case = phantom_case(seed, number, 0, _other_view(spacing, matrix, (seed, 0, number)), "unlabelled")
            if dicom:
                write_clinic_scan(case.scan, path, patient_id=f"PHANTOM-U{number + 1:04d}", seed=seed)
            else:
                write_synthetic(case.scan, path)
    return scans


def _other_view(
    spacing: tuple[float, float, float], matrix: tuple[int, int, int], identity: tuple[int, ...]
) -> Geometry:
    """Another field of view: up to a quarter smaller, moved along the body, slices up to a third thicker."""
    rng = np.random.default_rng((*identity, 901))
    sizes = tuple(max(2, round(n * f)) for n, f in zip(matrix, rng.uniform([0.75, 0.85, 0.85], 1.0), strict=True))
    thickness = spacing[0] * rng.uniform(1.0, 1.35)
    moved = (rng.uniform(-12, 12), rng.uniform(-8, 8), rng.uniform(-25, 35))
    return pelvic_geometry((round(thickness, 2), *spacing[1:]), sizes, moved)


def _begin(
    out: Path, kind: Kind, layout: str, spacing: tuple[float, float, float], matrix: tuple[int, int, int], seed: int
) -> None:
    """Write README.txt and phantom.json, or find that this folder was begun with the same settings.

    Raises:
        BadInput: where the settings can't be met, or others made what is there.
    """
    if min(matrix) < 8 or min(spacing) <= 0 or seed < 0:
        raise BadInput(
            f"A phantom of {matrix} voxels of {spacing} mm with seed {seed} can't be made; expected at least 8 voxels "
            "and a positive spacing along z, y and x, and a seed of at least 0."
        )
    settings = {
        "synthetic": True,
        "kind": kind,
        "spacing": list(spacing),
        "matrix": list(matrix),
        "seed": seed,
        "layout": layout,
    }
    made = Path(out) / "phantom.json"
    if made.is_file():
        if json.loads(made.read_text()) != settings:
            raise BadInput(
                f"{out} holds a phantom of other settings ({made.name} says which); choose another folder or delete it."
            )
        return
    with atomic_write(Path(out) / "README.txt") as partial:
        partial.write_text(README.format(kind=kind, layout=layout))
    with atomic_write(made) as partial:
        partial.write_text(json.dumps(settings, indent=2) + "\n")
