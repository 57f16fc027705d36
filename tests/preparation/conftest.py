"""A small cohort on disk with known voxels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry, Volume, write_volume

WriteCohort = Callable[..., Cohort]


@pytest.fixture
def write_cohort(tmp_path: Path) -> WriteCohort:
    """Return a function that writes scans of random HU with two boxes each: structures 1 (100 HU) and 2 (200 HU).

    Each further channel is the scan plus 1000 per channel index.
    """

    def write(geometries: list[Geometry], labelled: bool = True, channels: tuple[str, ...] = ("CT",)) -> Cohort:
        folder = tmp_path / "cohort"
        cases = []
        for i, geometry in enumerate(geometries):
            hu = np.random.default_rng(i).integers(-1000, 50, geometry.shape).astype(np.int16)
            labels = np.zeros(geometry.shape, np.uint8)
            depth, rows, columns = geometry.shape
            labels[depth // 4 : depth // 2, rows // 4 : rows // 2, columns // 4 : columns // 2] = 1
            labels[depth // 4 : depth // 2, rows // 4 : rows // 2, columns // 2 : 3 * columns // 4] = 2
            hu[labels > 0] = labels[labels > 0].astype(np.int16) * 100
            images = tuple(folder / "imagesTr" / f"p{i}_f1_{channel:04d}.nii.gz" for channel in range(len(channels)))
            labels_path = folder / "labelsTr" / f"p{i}_f1.nii.gz"
            for channel, image_path in enumerate(images):
                write_volume(Volume(hu + np.int16(1000 * channel), geometry), image_path)
            if labelled:
                write_volume(Volume(labels, geometry), labels_path)
            source = Source(synthetic=True)
            cases.append(Case(f"p{i}", 1, f"p{i}_f1", images, labels_path if labelled else None, source, geometry))
        cohort = Cohort("known", ("one", "two") if labelled else (), tuple(cases), folder, (), channels)
        cohort.save()
        return cohort

    return write
