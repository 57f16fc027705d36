"""The digest of a scan's voxels: the same for every file of a scan, and another for another scan."""

from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging import (
    Geometry,
    Volume,
    read_ct_series,
    read_volume,
    voxel_digest,
    write_ct_series,
    write_volume,
)

GRID = Geometry((4, 6, 5), (3.0, 1.0, 1.5), (-3.0, 2.0, 10.0))


@pytest.fixture(scope="module")
def scan() -> Volume:
    return Volume(np.random.default_rng(3).integers(-1024, 1500, GRID.shape).astype(np.int16), GRID)


def test_another_export_of_a_scan_has_its_digest(scan: Volume, tmp_path: Path) -> None:
    texts = {"study_description": "a", "series_description": "b"}
    for seed in (1, 2):
        write_ct_series(scan, tmp_path / str(seed), patient_id=f"P{seed}", seed=seed, **texts)
    first, second = (read_ct_series(tmp_path / str(seed)) for seed in (1, 2))
    assert first.series_uid != second.series_uid
    write_volume(Volume(scan.array.astype(np.float32), GRID), tmp_path / "scan.nii.gz")
    digests = {voxel_digest(v) for v in (scan, first.volume, second.volume, read_volume(tmp_path / "scan.nii.gz"))}
    assert len(digests) == 1


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_directions_of_axes_do_not_matter(scan: Volume, axes: tuple[int, ...]) -> None:
    signs = [-1 if 2 - column in axes else 1 for column in range(3)]  # columns are x, y, z
    direction = tuple(np.diag(signs).astype(float).ravel())
    first = GRID.to_world([GRID.shape[axis] - 1 if axis in axes else 0 for axis in range(3)])
    turned = Volume(np.flip(scan.array, axes), Geometry(GRID.shape, GRID.spacing, tuple(first), direction))
    assert voxel_digest(turned) == voxel_digest(scan)


def test_another_scan_has_another_digest(scan: Volume) -> None:
    changed = scan.array.copy()
    changed[2, 3, 1] += 1
    others = [
        Volume(changed, GRID),
        Volume(scan.array[:, :, ::-1], GRID),
        scan.cropped((slice(1, 4), slice(0, 6), slice(0, 5))),
        Volume(scan.array.reshape(4, 5, 6), Geometry((4, 5, 6))),
    ]
    digests = [voxel_digest(volume) for volume in (scan, *others)]
    assert len(set(digests)) == len(digests)
    thinner_than_air, air = (Volume(np.full(GRID.shape, value), GRID) for value in (-3000.0, -1024))
    assert voxel_digest(thinner_than_air) == voxel_digest(air)
