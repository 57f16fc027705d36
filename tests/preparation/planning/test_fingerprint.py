import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.imaging import Geometry
from gynbtnet.preparation.planning.fingerprint import FINGERPRINT, Fingerprint, take_fingerprint
from gynbtnet.runtime import BadInput

from ..conftest import WriteCohort

GRIDS = [Geometry((8, 8, 8)), Geometry((16, 16, 16), (2.0, 1.0, 1.0))]


def test_intensity_inside_the_structures(write_cohort: WriteCohort) -> None:
    """As many voxels of 100 HU as of 200 in each box; a case counts as much as one of eight times its voxels."""
    (intensity,) = take_fingerprint(write_cohort(GRIDS)).intensities or ()
    assert intensity.mean == pytest.approx(150, abs=0.1)
    assert intensity.std == pytest.approx(50, abs=0.1)
    assert (intensity.min, intensity.percentile_00_5) == (100, 100)
    assert (intensity.percentile_99_5, intensity.max) == (200, 200)


def test_every_channel_by_itself(write_cohort: WriteCohort) -> None:
    cohort = write_cohort(GRIDS, channels=("CT", "T2"))
    fingerprint = take_fingerprint(cohort)
    assert fingerprint.channels == ("CT", "T2")
    ct, t2 = fingerprint.intensities or ()
    assert (ct.min, ct.max) == (100, 200)
    assert (t2.min, t2.max) == (1100, 1200)
    assert t2.mean == pytest.approx(ct.mean + 1000)  # the same voxels


@pytest.mark.slow
def test_two_jobs_measure_the_same(write_cohort: WriteCohort) -> None:
    cohort = write_cohort(GRIDS)
    assert take_fingerprint(cohort, jobs=2) == take_fingerprint(cohort)


def test_axes_are_those_of_the_patient(write_cohort: WriteCohort) -> None:
    sagittal = Geometry((12, 10, 8), (0.8, 0.9, 5.0), direction=(0, 0, 1.0, 0, 1.0, 0, -1.0, 0, 0))
    fingerprint = take_fingerprint(write_cohort([sagittal]), intensities=False)
    assert fingerprint.spacings == ((5.0, 0.9, 0.8),)
    assert fingerprint.shapes == ((8, 10, 12),)
    assert fingerprint.intensities is None


def test_scans_without_contours_have_no_intensities(write_cohort: WriteCohort) -> None:
    assert take_fingerprint(write_cohort(GRIDS, labelled=False)).intensities is None


def test_what_is_saved_is_loaded_from_file_and_folder(write_cohort: WriteCohort, tmp_path: Path) -> None:
    for labelled in (True, False):
        fingerprint = take_fingerprint(write_cohort(GRIDS, labelled=labelled))
        fingerprint.save(tmp_path / "kept")
        assert Fingerprint.load(tmp_path / "kept") == fingerprint == Fingerprint.load(tmp_path / "kept" / FINGERPRINT)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content.pop("spacings"),
        lambda content: content["spacings"].pop(),
        lambda content: content.update(spacings=[], shapes_after_crop=[]),
        lambda content: content["shapes_after_crop"][0].pop(),
        lambda content: content["foreground_intensity_properties_per_channel"]["0"].pop("mean"),
        lambda content: content["labels"].update(one=7),
    ],
)
def test_a_damaged_fingerprint_is_reported(write_cohort: WriteCohort, tmp_path: Path, edit: Any) -> None:
    take_fingerprint(write_cohort(GRIDS)).save(tmp_path)
    content = json.loads((tmp_path / FINGERPRINT).read_text())
    edit(content)
    (tmp_path / FINGERPRINT).write_text(json.dumps(content))
    with pytest.raises(BadInput, match="not a fingerprint"):
        Fingerprint.load(tmp_path)
    (tmp_path / FINGERPRINT).write_text("{")
    with pytest.raises(BadInput, match="not a fingerprint"):
        Fingerprint.load(tmp_path)
    with pytest.raises(BadInput, match="gynbtnet plan"):
        Fingerprint.load(tmp_path / "absent")


def test_nothing_of_a_patient_is_in_it(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort(GRIDS)
    take_fingerprint(cohort).save(tmp_path)
    text = (tmp_path / FINGERPRINT).read_text()
    assert not any(word in text for case in cohort.cases for word in (case.id, case.patient, str(cohort.folder)))
    assert np.isfinite(json.loads(text)["foreground_intensity_properties_per_channel"]["0"]["std"])
