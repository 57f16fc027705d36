"""nnU-Net's datasets with regions: read as masks, ordered as nnU-Net numbers them, written and read again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.baselines import write_raw_dataset
from gynbtnet.datasets import Cohort, ingest, read_contours
from gynbtnet.imaging import Geometry, Regions, Volume, write_volume
from gynbtnet.runtime import BadInput

GRID = Geometry((6, 8, 10), (3.0, 2.0, 2.0))
LABELS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
RANDOM = np.random.default_rng(0)


def write_dataset(folder: Path, labels: dict[str, Any] = LABELS, **more: Any) -> np.ndarray:
    """Write two cases whose labels are nested boxes, as BraTS has them, and return the first label map."""
    array = np.zeros(GRID.shape, np.uint8)
    array[1:5, 1:7, 1:8], array[2:5, 2:6, 2:6], array[2:4, 3:5, 3:5] = 1, 2, 3
    for number in range(2):
        scan = RANDOM.integers(-100, 100, GRID.shape).astype(np.int16)
        write_volume(Volume(scan, GRID), folder / "imagesTr" / f"BRATS_{number}_0000.nii.gz")
        write_volume(Volume(np.roll(array, number, axis=2), GRID), folder / "labelsTr" / f"BRATS_{number}.nii.gz")
    description = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description | more))
    return array


def test_regions_become_masks_and_nothing_is_lost_or_refused(tmp_path: Path) -> None:
    array = write_dataset(tmp_path / "raw", regions_class_order=[1, 2, 3])
    cohort = ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet").cohort
    assert cohort.structures == ("whole", "core", "enhancing")
    contours = read_contours(cohort.cases[0], cohort.structures)
    for structure, numbers in (("whole", [1, 2, 3]), ("core", [2, 3]), ("enhancing", [3])):
        assert np.array_equal(contours.mask(structure), np.isin(array, numbers)), structure
    assert cohort.cases[0].volumes_cm3 == pytest.approx({"whole": 2.016, "core": 0.576, "enhancing": 0.096})
    assert Cohort.load(cohort.folder) == cohort


def test_structures_have_the_order_of_the_numbers_that_nnunet_writes(tmp_path: Path) -> None:
    write_dataset(tmp_path / "raw", regions_class_order=[3, 1, 2])
    cohort = ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet").cohort
    assert cohort.structures == ("core", "enhancing", "whole")
    one = ingest(tmp_path / "raw", tmp_path / "one", "nnunet", structures=("whole",)).cohort
    assert one.structures == ("whole",) and one.cases[0].masks is None
    assert one.cases[0].unmapped == ("core", "enhancing")
    assert one.cases[0].volumes_cm3 == {"whole": 2.016}


def test_a_cohort_with_overlaps_comes_back_from_its_combinations(tmp_path: Path) -> None:
    write_dataset(tmp_path / "raw", regions_class_order=[1, 2, 3])
    cohort = ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet").cohort
    regions = Regions.of(cohort.structures, [("whole", "core"), ("whole", "core", "enhancing")])
    write_raw_dataset(cohort, tmp_path / "written", regions)
    again = ingest(tmp_path / "written", tmp_path / "again", "nnunet").cohort
    assert set(again.structures) == set(cohort.structures)
    for before, after in zip(cohort.cases, again.cases, strict=True):
        first, second = read_contours(before, cohort.structures), read_contours(after, again.structures)
        for structure in cohort.structures:
            assert np.array_equal(first.mask(structure), second.mask(structure))


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        (LABELS, {"regions_class_order": [1, 2]}, "expected one number per region"),
        (LABELS | {"copy": [3, 2]}, {}, "regions with different labels"),
        (LABELS | {"wrong": [0, 2]}, {}, "expected whole numbers from 1"),
        (LABELS | {"wrong": ["2"]}, {}, "has the label wrong, which is to be ignored or no number"),
        (LABELS | {"ignore": 4}, {}, "has the label ignore"),
    ],
)
def test_unusable_regions_are_refused(
    tmp_path: Path, labels: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    write_dataset(tmp_path / "raw", labels, **more)
    with pytest.raises(BadInput, match=message):
        ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet")
