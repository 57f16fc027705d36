import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume

PUBLIC_DATA = Path(__file__).parents[3] / "shared" / "data"

# The 48 ways to lay three index axes along three patient axes: as direction cosines, row by row.
AXIS_DIRECTIONS = [
    tuple((np.eye(3)[list(axes)].T * signs).ravel())
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


@pytest.fixture(scope="session")
def public_data() -> Path:
    if not (PUBLIC_DATA / "sts").is_dir():
        pytest.skip(f"the public scans are not at {PUBLIC_DATA.name}/ beside the repository")
    return PUBLIC_DATA


@pytest.fixture
def names() -> StructureNames:
    return StructureNames.load()


@pytest.fixture
def volume() -> Volume:
    array = np.random.default_rng(0).integers(-1024, 2000, (5, 6, 7)).astype(np.int16)
    return Volume(array, Geometry(array.shape, (3.0, 0.9, 0.8), (-10.5, 20.25, -30.0)))


@pytest.fixture
def write_series() -> Callable[..., CTSeries]:
    words: dict[str, Any] = {"patient_id": "P1", "study_description": "test", "series_description": "SYNTHETIC test"}
    return partial(write_ct_series, seed=1, **words)


@pytest.fixture
def ct(volume: Volume, tmp_path: Path, write_series: Callable[..., CTSeries]) -> CTSeries:
    return write_series(volume, tmp_path / "ct")


@pytest.fixture(params=AXIS_DIRECTIONS)
def axis_direction(request: pytest.FixtureRequest) -> tuple[float, ...]:
    return request.param
