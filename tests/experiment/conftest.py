"""Fixtures of the tests of experiments."""

import numpy as np
import pytest

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry, Volume, write_volume

GRID = Geometry((20, 36, 40), (6.0, 5.0, 5.0))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Five patients with a ball in noise, one scan each."""
    folder = tmp_path_factory.mktemp("cohort")
    cases = []
    for number in range(5):
        random = np.random.default_rng(number)
        distance = np.sqrt(((np.indices(GRID.shape).T - (10, 18, 16 + 2 * number)) ** 2).sum(-1)).T
        labels = (distance < 6).astype(np.uint8)
        image = (100 * labels + random.normal(0, 20, GRID.shape)).astype(np.float32)
        name = f"p{number}_f1"
        paths = folder / "imagesTr" / f"{name}_0000.nii.gz", folder / "labelsTr" / f"{name}.nii.gz"
        for path, array in zip(paths, (image, labels), strict=True):
            path.parent.mkdir(exist_ok=True)
            write_volume(Volume(array, GRID), path)
        volumes = {"ball": float(labels.sum()) * GRID.voxel_volume / 1000}
        cases.append(
            Case(f"p{number}", 1, name, paths[:1], paths[1], Source(synthetic=True), GRID, volumes_cm3=volumes)
        )
    whole = Cohort("balls", ("ball",), tuple(cases), folder)
    whole.save()
    return whole
