"""Patients whose structures overlap: a residual GTV inside of an HR-CTV, half of which a uterus contour has too."""

from pathlib import Path

import numpy as np

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry, OverlappingSegmentation, Volume, paint_label_map, write_volume

STRUCTURES = ("hr_ctv", "uterus", "bladder", "gtv_res")
GRID = Geometry((20, 36, 40), (6.0, 5.0, 5.0))
HU = {"hr_ctv": 100, "uterus": 60, "bladder": -120, "gtv_res": 150}
"""Added to the background of 0 HU; shared voxels have the sum."""


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    return (radius**2 > ((np.indices(GRID.shape).T - centre) ** 2).sum(-1).T).astype(bool)


def masks_of(number: int) -> dict[str, np.ndarray]:
    x = 17.0 + number
    return {
        "hr_ctv": ball((8, 18, x), 5),
        "uterus": ball((13, 18, x), 5.5),
        "bladder": ball((9, 8, x), 4),
        "gtv_res": ball((7, 18, x), 2.5),
    }


def write_overlapping_cohort(folder: Path, patients: int = 4) -> Cohort:
    """Write one scan per patient, as ingestion does."""
    cases = []
    for number in range(patients):
        masks = masks_of(number)
        hu = np.random.default_rng(number).normal(0, 15, GRID.shape)
        hu += sum(HU[name] * mask for name, mask in masks.items())
        hu[:, [0, 1, -2, -1]] = hu[:, :, [0, 1, -2, -1]] = -1000  # air around the patient
        segmentation, overlaps = paint_label_map(masks, STRUCTURES, GRID)
        assert isinstance(segmentation, OverlappingSegmentation)
        name = f"p{number}_f1"
        image, labels, own = (
            folder / kind / file
            for kind, file in (
                ("imagesTr", f"{name}_0000.nii.gz"),
                ("labelsTr", f"{name}.nii.gz"),
                ("masksTr", f"{name}.nii.gz"),
            )
        )
        write_volume(Volume(hu.astype(np.float32), GRID), image)
        write_volume(segmentation.labels, labels)
        write_volume(segmentation.own.bits, own)
        cases.append(
            Case(
                *(f"p{number}", 1, name, (image,), labels, Source(synthetic=True), GRID, segmentation.volumes_cm3()),
                overlaps=overlaps,
                masks=own,
                masked=segmentation.own.structures,
            )
        )
    cohort = Cohort("overlapping", STRUCTURES, tuple(cases), folder)
    cohort.save()
    return cohort
