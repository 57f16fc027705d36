"""Synthetic DICOM exports in miniature, and the folder of the real scans."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging import CTSeries, Geometry, Segmentation, StructureNames, Volume, write_ct_series, write_rtstruct
from gynbtnet.phantom import PhantomCase, pelvic_geometry, phantom_case

GRID = Geometry((8, 24, 20), (3.0, 2.0, 2.0), (-20.0, -30.0, 5.0))
SPHERES = {"bladder": ((4, 9, 6), 4.0), "rectum": ((4, 9, 14), 4.0)}

WriteExport = Callable[..., CTSeries]


@pytest.fixture
def data() -> Path:
    folder = Path(__file__).parents[2] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real scans of ../shared/data are not here")
    return folder.resolve()


def scan(seed: int = 0) -> Volume:
    return Volume(np.random.default_rng(seed).integers(-200, 300, GRID.shape).astype(np.int16), GRID)


def sphere(name: str) -> np.ndarray:
    centre, radius = SPHERES[name]
    distance = np.linalg.norm(np.indices(GRID.shape).T - centre, axis=-1).T
    return distance <= radius


@pytest.fixture
def write_export() -> WriteExport:
    """Write ``CT/`` and, with ``rois``, ``RS.dcm``: ROI names by the sphere that they hold."""

    def write(
        folder: Path,
        patient: str,
        rois: Mapping[str, str] | None = None,
        seed: int = 0,
        mark: str = "",
        *,
        automatic: bool = False,
    ) -> CTSeries:
        ct = write_ct_series(
            scan(seed),
            folder / "CT",
            patient_id=patient,
            study_description=f"test {mark}",
            series_description="",
            seed=seed,
        )
        if rois:
            labels = np.zeros(GRID.shape, np.uint8)
            for label, name in enumerate(rois.values(), start=1):
                labels[sphere(name)] = label
            write_rtstruct(
                Segmentation(Volume(labels, ct.volume.geometry), tuple(rois)),
                ct,
                folder / "RS.dcm",
                names=StructureNames({}, {}),
                label="test",
                description="test",
                software_version="0",
                automatic=automatic,
            )
        return ct

    return write


@pytest.fixture(scope="session")
def phantoms() -> tuple[PhantomCase, ...]:
    """Four synthetic pelves of 16 slices, from which archives are built in miniature."""
    geometry = pelvic_geometry((12.0, 12.0, 12.0), (16, 24, 32))
    return tuple(phantom_case(7, patient, 0, geometry) for patient in range(4))
