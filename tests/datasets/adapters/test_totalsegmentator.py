from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import ingest
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging import Geometry, Volume, read_volume, write_volume
from gynbtnet.runtime import BadInput

from ..conftest import GRID, scan, sphere


def write_case(folder: Path, masks: dict[str, np.ndarray], grid: Geometry = GRID) -> None:
    write_volume(scan(int(folder.name.removeprefix("s"))), folder / "ct.nii.gz")
    for name, mask in masks.items():
        write_volume(Volume(mask, grid), folder / "segmentations" / f"{name}.nii.gz")


def test_masks_become_labels_by_name(tmp_path: Path) -> None:
    left, right = sphere("bladder"), sphere("rectum")
    write_case(tmp_path / "ts" / "s0001", {"spleen": left, "aorta": right, "colon": np.zeros_like(left)})
    write_case(tmp_path / "ts" / "s0002", {"spleen": right})
    cohort = ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator").cohort
    assert Cohort.load(tmp_path / "cohort") == cohort
    assert cohort.structures == ("aorta", "colon", "spleen")
    first, second = cohort.cases
    assert (first.patient, first.missing, first.volumes_cm3["colon"]) == ("s0001", (), 0)
    assert second.missing == ("aorta", "colon")
    assert any(note.endswith("background there: aorta in 1, colon in 1.") for note in cohort.notes)
    assert first.labels
    np.testing.assert_array_equal(read_volume(first.labels).array, np.where(left, 3, np.where(right, 1, 0)))
    assert not cohort.synthetic


def test_a_choice_of_classes_and_overlaps(tmp_path: Path) -> None:
    mask = sphere("bladder")
    write_case(tmp_path / "ts" / "s0001", {"spleen": mask, "aorta": mask, "liver": mask})
    with pytest.raises(
        BadInput, match=r"spleen would lose .* \(100 %\) to aorta.*name it after the other.*--allow-overlap"
    ):
        ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator", structures=["spleen", "aorta"])
    cohort = ingest(
        tmp_path / "ts", tmp_path / "cohort", "totalsegmentator", structures=["spleen", "aorta"], allow_overlap=True
    ).cohort
    (case,) = cohort.cases
    assert case.unmapped == ("liver",)
    assert case.volumes_cm3 == {name: pytest.approx(mask.sum() * 12 / 1000) for name in ("spleen", "aorta")}
    assert (case.covered, case.masked) == (("spleen",), ("spleen",))
    assert [(o.earlier, o.later, o.volume_cm3) for o in case.overlaps] == [
        ("spleen", "aorta", pytest.approx(mask.sum() * 12 / 1000))
    ]
    with pytest.raises(BadInput, match="None of 1 case for"):
        ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator", structures=["kidney"])


def test_a_mask_on_another_grid_is_reported_with_numbers(tmp_path: Path) -> None:
    moved = Geometry(GRID.shape, GRID.spacing, (-20.0, -30.0, 7.5))
    write_case(tmp_path / "ts" / "s0001", {"spleen": sphere("bladder")}, moved)
    with pytest.raises(
        BadInput, match=r"spleen.nii.gz is on another grid .* up to 2.5 mm off .* \(-20.00, -30.00, 7.50\) instead of"
    ):
        ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator")
    nearly = Geometry(GRID.shape, GRID.spacing, (-20.0, -30.0, 5.001))
    write_case(tmp_path / "ts" / "s0001", {"spleen": sphere("bladder")}, nearly)
    ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator")


def test_more_classes_than_a_label_map_can_hold_are_refused(tmp_path: Path) -> None:
    write_case(tmp_path / "ts" / "s0001", {"spleen": sphere("bladder")})
    with pytest.raises(BadInput, match="300 classes"):
        ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator", structures=[f"class_{i}" for i in range(300)])


def test_another_layout_is_refused(tmp_path: Path) -> None:
    write_volume(scan(), tmp_path / "ts" / "ct.nii.gz")
    with pytest.raises(BadInput, match="sXXXX"):
        ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator")


def test_a_readme_can_mark_scans_as_synthetic(tmp_path: Path) -> None:
    write_case(tmp_path / "ts" / "s0001", {"spleen": sphere("bladder")})
    (tmp_path / "ts" / "README.txt").write_text("SYNTHETIC PHANTOM")
    assert ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator").cohort.synthetic


def test_real_case_equals_the_published_label_map(data: Path, tmp_path: Path) -> None:
    cohort = ingest(data / "totalsegmentator_example", tmp_path / "cohort", "totalsegmentator").cohort
    assert len(cohort.structures) == 104
    (case,) = cohort.cases
    assert case.labels
    ours = read_volume(case.labels)
    theirs = read_volume(data / "totalsegmentator_example" / "labels_v1.nii.gz")
    assert ours.geometry.offset(theirs.geometry) < 0.01
    pairs = np.unique(np.stack([ours.array.ravel(), theirs.array.ravel()]), axis=1).T
    assert len(pairs) == 60  # background and 59 classes: each of our labels is one of theirs, and the other way round
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == 60
    names = {int(label): cohort.structures[ours_label - 1] for ours_label, label in pairs if ours_label}
    published = {1: "spleen", 5: "liver", 7: "aorta", 92: "sacrum", 104: "urinary_bladder"}  # of version 1's class map
    assert {label: names[label] for label in published} == published


def test_a_class_file_that_is_no_mask_is_refused_and_the_other_cases_are_taken(tmp_path: Path) -> None:
    for number in (1, 2):
        write_case(tmp_path / "ts" / f"s000{number}", {"spleen": sphere("bladder")})
    write_volume(scan(1), tmp_path / "ts" / "s0001" / "segmentations" / "spleen.nii.gz")
    ingestion = ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator", leave_out_failing=True)
    assert [case.patient for case in ingestion.cohort.cases] == ["s0002"]
    with pytest.raises(BadInput, match=r"s0001/segmentations/spleen\.nii\.gz holds no mask: it has values from -"):
        ingest(tmp_path / "ts", tmp_path / "cohort2", "totalsegmentator")
