"""A cohort of three patients and four cases with two structures, and predictions of growing error."""

from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.imaging.volume_files import write_volume

STRUCTURES = ("bladder", "rectum")
GEOMETRY = Geometry((12, 20, 24), (4.0, 3.0, 3.0), (-36.0, -30.0, 10.0))
SHIFTS = {"p1_f1": 0, "p1_f2": 1, "p2_f1": 2, "p3_f1": 3}


def label_map(shift: int = 0) -> np.ndarray:
    """A bladder in front of a rectum; ``shift`` voxels to the left moves both."""
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[4:8, 4:9, 6 + shift : 14 + shift] = 1
    labels[2:10, 12:15, 8 + shift : 12 + shift] = 2
    return labels


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    cases = []
    for name in SHIFTS:
        image, labels = folder / "imagesTr" / f"{name}_0000.nii.gz", folder / "labelsTr" / f"{name}.nii.gz"
        noise = np.random.default_rng([1, len(cases)]).normal(20, 30, GEOMETRY.shape)
        write_volume(Volume(noise.astype(np.int16), GEOMETRY), image)
        write_volume(Volume(label_map(), GEOMETRY), labels)
        volumes = {s: float((label_map() == i).sum()) * 0.036 for i, s in enumerate(STRUCTURES, start=1)}
        source = Source(synthetic=True)
        cases.append(Case(name[:2], int(name[-1]), name, (image,), labels, source, GEOMETRY, volumes_cm3=volumes))
    return Cohort("mini", STRUCTURES, tuple(cases), folder)


@pytest.fixture(scope="session")
def predicted(scanned: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictions")
    for name, shift in SHIFTS.items():
        write_volume(Volume(label_map(shift), GEOMETRY), folder / name / "labels.nii.gz")
    return folder
