"""Three small prepared scans with a bright ball each, stored on disk as by preparation."""

import numpy as np
import pytest

from gynbtnet.imaging import Geometry
from gynbtnet.preparation import Plan, PreparedCase, PreparedCohort, write_prepared_case

SHAPE = (20, 36, 40)


def ball_plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "structures": ("ball",),
        "spacing": (2.0, 2.0, 2.0),
        "normalisation": "zscore",
        "intensities": None,
        "patch_size": (16, 32, 32),
        "batch_size": 2,
        "preset": "XXS",
        "strides": ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    }
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    folder = tmp_path_factory.mktemp("prepared")
    cases = []
    for number in range(3):
        random = np.random.default_rng([7, number])
        centre = np.array([10, 18, 20]) + random.integers(-4, 5, 3)
        distance = np.sqrt(((np.indices(SHAPE).T - centre) ** 2).sum(-1)).T
        labels = (distance < 6).astype(np.uint8)
        image = (2 * labels + random.normal(0, 0.5, SHAPE)).astype(np.float32)
        case = PreparedCase(
            id=f"ball_{number}",
            patient=f"p{number}",
            geometry=Geometry(SHAPE, (2.0, 2.0, 2.0)),
            pad_values=(float(image.min()),),
            labelled=True,
            foreground_labels=(1,),
            key=f"digest {number}",
            folder=folder,
            units=(250.0,),
            body_known=True,
        )
        voxels = np.argwhere(labels == 1).astype(np.int32)
        write_prepared_case(case, image[np.newaxis], labels, {1: voxels}, (16, 32, 32), voxels[::50])
        cases.append(case)
    cohort = PreparedCohort("balls", tuple(cases), ball_plan(), folder, synthetic=True)
    cohort.save()
    return cohort
