import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import gynbtnet.preparation.prepare_cohort as module
from gynbtnet.datasets import Cohort
from gynbtnet.imaging import Geometry, Volume, read_volume, voxel_digest, write_volume
from gynbtnet.preparation.body_voxels import body_voxels
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import save_plan
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.preparation.preprocess import preprocess_volume, target_geometry
from gynbtnet.preparation.store import VOXELS, PreparedCohort, write_prepared_case
from gynbtnet.runtime import BadInput, ScansFailed

from .conftest import WriteCohort

PLAN = Plan(("one", "two"), (1.5, 1.5, 1.5), "zscore", None, (16, 16, 16), 1, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))
UPRIGHT = (1, 0, 0, 0, 1, 0, 0, 0, 1)
GRIDS = [
    Geometry((8, 20, 20), (3.0, 1.0, 1.0)),
    Geometry((10, 12, 14), (2.0, 2.0, 2.0)),
    Geometry((9, 9, 9), (1.5,) * 3),
]


@pytest.fixture
def scans_read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the list of scans that are read, and not kept from an earlier call."""
    paths: list[Path] = []

    def record(path: Path) -> object:
        if path.name.endswith("_0000.nii.gz"):
            paths.append(path)
        return read_volume(path)

    monkeypatch.setattr(module, "read_volume", record)
    return paths


def test_prepared_scans_are_as_prediction_preprocesses_them(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort(GRIDS)
    prepared = prepare(cohort, PLAN, tmp_path / "prepared")
    assert PreparedCohort.open(tmp_path / "prepared") == prepared
    assert prepared.synthetic
    for case, prepared_case in zip(cohort.cases, prepared.cases, strict=True):
        expected, geometry = preprocess_volume([read_volume(case.image)], PLAN)
        assert (prepared_case.id, prepared_case.patient, prepared_case.geometry) == (case.id, case.patient, geometry)
        image, labels = prepared_case.crop((0, 0, 0), prepared_case.shape)
        np.testing.assert_allclose(image, expected, rtol=2**-11, atol=1e-7)
        assert labels is not None
        assert case.labels
        reference = read_volume(case.labels)
        for label in (1, 2):
            volume = (reference.array == label).sum() * reference.geometry.voxel_volume
            assert (labels == label).sum() * geometry.voxel_volume == pytest.approx(volume, rel=0.5)
            voxels = prepared_case.foreground[label]
            assert len(np.unique(voxels, axis=0)) == len(voxels) == (labels == label).sum()
            assert (labels[tuple(voxels.T)] == label).all()


def test_units_bring_a_z_scored_scan_back_to_hu(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort([Geometry((16, 16, 16), (1.5,) * 3), Geometry((16, 20, 18), (1.5,) * 3)])
    units: list[Any] = []
    for case, prepared_case in zip(cohort.cases, prepare(cohort, PLAN, tmp_path / "prepared").cases, strict=True):
        hu = read_volume(case.image).array.astype(float)
        assert prepared_case.units == (pytest.approx(hu.std(), rel=1e-6),)
        image, _ = prepared_case.crop((0, 0, 0), prepared_case.shape)
        np.testing.assert_allclose(image[0] * prepared_case.units[0] + hu.mean(), hu, atol=1)
        units += prepared_case.units
    assert units[0] != units[1]


def test_scans_that_an_earlier_version_prepared_are_made_again_with_units_and_body(
    write_cohort: WriteCohort, tmp_path: Path, scans_read: list[Path]
) -> None:
    cohort = write_cohort(GRIDS[:2])
    first = prepare(cohort, PLAN, tmp_path / "out")
    record = json.loads(first.cases[0].record_file.read_text())
    del record["units"], record["body_known"]
    first.cases[0].record_file.write_text(json.dumps(record))
    first.cases[0].body_file.unlink()
    opened = PreparedCohort.open(tmp_path / "out").cases[0]
    assert (opened.units, opened.body_known, len(opened.body)) == ((), False, 0)
    scans_read.clear()
    second = prepare(cohort, PLAN, tmp_path / "out")
    assert scans_read == [cohort.cases[0].image]
    assert second.cases == first.cases
    assert second.cases[0].body_file.is_file()


@pytest.mark.parametrize("flipped", [False, True])
def test_voxels_of_the_body_are_in_the_body_and_not_in_the_table(tmp_path: Path, flipped: bool) -> None:
    """The scan is a trunk of water with a lung, on a table of 12 mm in air, in both directions of z."""
    grid = Geometry((20, 80, 90), (5.0, 4.0, 4.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, -1) if flipped else UPRIGHT)
    hu = np.full(grid.shape, -1000, np.int16)
    z, y, x = np.ogrid[:20, :80, :90]
    trunk = np.broadcast_to(((y - 30) / 18) ** 2 + ((x - 45) / 26) ** 2 < 1, grid.shape) & (z > 4)
    hu[trunk] = 20
    hu[np.broadcast_to(((y - 30) / 8) ** 2 + ((x - 36) / 8) ** 2 < 1, grid.shape) & (z > 12)] = -850
    hu[:, 58:61, 5:85] = 100
    plan = replace(PLAN, structures=(), spacing=(4.0, 3.0, 3.0))
    prepared_grid = target_geometry(grid, plan)
    voxels = body_voxels(Volume(hu, grid), prepared_grid)
    assert len(voxels) == 1000
    assert len(np.unique(voxels, axis=0)) > 900
    near = ndimage.binary_dilation(trunk, iterations=1)  # one voxel wider
    source_voxels = np.rint(grid.to_index(prepared_grid.to_world(voxels))).astype(int)
    assert near[tuple(source_voxels.T)].all()
    assert (hu[tuple(source_voxels.T)] == -850).any()  # the lung belongs to the body
    assert np.array_equal(voxels, body_voxels(Volume(hu, grid), prepared_grid))
    assert body_voxels(Volume(np.full_like(hu, -1000), grid), prepared_grid).shape == (0, 3)


def test_missing_structures_of_a_case_are_kept(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort(GRIDS[:1])
    partial_cohort = replace(cohort, cases=(replace(cohort.cases[0], missing=("two",)),))
    complete, partial = (prepare(source, PLAN, tmp_path / "out").cases[0] for source in (cohort, partial_cohort))
    assert (complete.missing, partial.missing) == ((), ("two",))
    assert complete.key != partial.key


def test_scans_without_labels(write_cohort: WriteCohort, tmp_path: Path) -> None:
    prepared = prepare(write_cohort(GRIDS[:1], labelled=False), replace(PLAN, structures=()), tmp_path / "prepared")
    assert prepared.cases[0].crop((0, 0, 0), (4, 4, 4))[1] is None


def test_two_jobs_give_the_same_result(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort(GRIDS)
    serial, parallel = (prepare(cohort, PLAN, tmp_path / f"{jobs}", jobs) for jobs in (1, 2))
    assert [case.key for case in serial.cases] == [case.key for case in parallel.cases]
    for a, b in zip(serial.cases, parallel.cases, strict=True):
        np.testing.assert_array_equal(a.crop((0, 0, 0), a.shape)[0], b.crop((0, 0, 0), b.shape)[0])


def test_unchanged_cases_are_kept(
    write_cohort: WriteCohort, tmp_path: Path, scans_read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, out = write_cohort(GRIDS), tmp_path / "prepared"

    def prepare_again(cohort: Cohort = cohort, plan: Plan = PLAN) -> list[str]:
        scans_read.clear()
        prepare(cohort, plan, out)
        return [path.name[:2] for path in scans_read]

    assert prepare_again() == ["p0", "p1", "p2"]
    assert prepare_again() == []
    volume = read_volume(cohort.cases[1].image)
    write_volume(replace(volume, array=volume.array + np.int16(1)), cohort.cases[1].image)
    assert prepare_again() == ["p1"]
    labels = cohort.cases[2].labels
    assert labels
    write_volume(replace(volume := read_volume(labels), array=np.minimum(volume.array, 1)), labels)
    assert prepare_again() == ["p2"]
    assert PreparedCohort.open(out).cases[2].foreground_labels == (1,)
    assert prepare_again(plan=replace(PLAN, batch_size=7)) == []
    assert prepare_again(plan=replace(PLAN, spacing=(2.0, 2.0, 2.0))) == ["p0", "p1", "p2"]
    (out / VOXELS / "p0_f1.b2nd").unlink()
    assert prepare_again(plan=replace(PLAN, spacing=(2.0, 2.0, 2.0))) == ["p0"]
    monkeypatch.setattr("gynbtnet.preparation.prepare_cohort.PREPARATION_VERSION", -1)
    assert prepare_again(plan=replace(PLAN, spacing=(2.0, 2.0, 2.0))) == ["p0", "p1", "p2"]


def test_an_interrupted_preparation_is_incomplete_and_continues(
    write_cohort: WriteCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scans_read: list[Path]
) -> None:
    cohort, out = write_cohort(GRIDS), tmp_path / "prepared"
    prepare(cohort, replace(PLAN, spacing=(2.0, 2.0, 2.0)), out)
    calls: list[Any] = []

    def interrupt_at_second_case(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write_prepared_case(*arguments)

    monkeypatch.setattr(module, "write_prepared_case", interrupt_at_second_case)
    with pytest.raises(KeyboardInterrupt):
        prepare(cohort, PLAN, out)
    with pytest.raises(BadInput, match="interrupted"):
        PreparedCohort.open(out)
    scans_read.clear()
    prepare(cohort, PLAN, out)
    assert [path.name[:2] for path in scans_read] == ["p1", "p2"]


@pytest.mark.slow
def test_a_killed_preparation_continues(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort, out = write_cohort(GRIDS), tmp_path / "prepared"
    save_plan(PLAN, tmp_path / "plan")
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "import gynbtnet.preparation.store as store, gynbtnet.preparation.prepare_cohort as module\n"
        "from gynbtnet.datasets.cohort import Cohort; from gynbtnet.preparation.planning.plan_files import load_plan\n"
        "write = store._write_array\n"
        "def write_and_kill(array, path, patch):\n"
        "    write(array, path, patch)\n"
        "    if path.name == 'p1_f1_seg.b2nd': os.kill(os.getpid(), signal.SIGKILL)\n"
        "store._write_array = write_and_kill\n"
        "module.prepare(Cohort.load(Path(sys.argv[1])), load_plan(Path(sys.argv[2])), Path(sys.argv[3]))\n"
    )
    arguments = [sys.executable, "-c", program, str(cohort.folder), str(tmp_path / "plan"), str(out)]
    source = str(Path(module.__file__).parents[2])
    process = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": source}, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    with pytest.raises(BadInput):
        PreparedCohort.open(out)
    resumed, fresh = prepare(cohort, PLAN, out), prepare(cohort, PLAN, tmp_path / "fresh")
    for a, b in zip(resumed.cases, fresh.cases, strict=True):
        np.testing.assert_array_equal(a.crop((0, 0, 0), a.shape)[0], b.crop((0, 0, 0), b.shape)[0])


def test_a_plan_of_another_cohort_is_refused(write_cohort: WriteCohort, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has structures .*bladder"):
        prepare(write_cohort(GRIDS[:1]), replace(PLAN, structures=("bladder",)), tmp_path / "prepared")


def test_labels_on_another_grid_are_refused(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort(GRIDS[:1])
    labels = cohort.cases[0].labels
    assert labels
    volume = read_volume(labels)
    moved = Geometry(volume.geometry.shape, volume.geometry.spacing, (1.0, 0.0, 0.0))
    write_volume(replace(volume, geometry=moved), labels)
    with pytest.raises(ScansFailed, match="another grid"):
        prepare(cohort, PLAN, tmp_path / "prepared")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda labels: np.where(labels == 2, 257, labels.astype(np.int16)), "expected labels 1 to 2"),
        (lambda labels: np.where(labels == 2, 9, labels), "expected labels 1 to 2"),
        (lambda labels: np.where(labels == 2, 3, labels), "expected labels 1 to 2"),
        (lambda labels: np.where(labels == 2, -1, labels.astype(np.int16)), "expected labels 1 to 2"),
        (lambda labels: np.where(labels == 2, np.float32(1.99), labels), "not whole numbers"),
        (lambda labels: np.where(labels == 2, np.float32(1.9995), labels), ""),
        (lambda labels: labels.astype(np.int16), ""),
    ],
)
def test_labels_that_the_cohort_does_not_have_are_refused(
    write_cohort: WriteCohort, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], match: str
) -> None:
    cohort = write_cohort([GRIDS[2]])
    labels = cohort.cases[0].labels
    assert labels
    volume = read_volume(labels)
    write_volume(replace(volume, array=change(volume.array)), labels)
    if match:
        with pytest.raises(ScansFailed, match=match):
            prepare(cohort, PLAN, tmp_path / "prepared")
    else:
        (case,) = prepare(cohort, PLAN, tmp_path / "prepared").cases
        np.testing.assert_array_equal(case.crop((0, 0, 0), case.shape)[1], volume.array)


def test_a_structure_that_the_grid_loses_is_reported(
    write_cohort: WriteCohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = write_cohort([Geometry((9, 9, 9))])
    labels = cohort.cases[0].labels
    assert labels
    array = np.zeros((9, 9, 9), np.uint8)
    array[2:8, 2:8, 2:8], array[3:6, 3:6, 5:6] = 1, 2
    write_volume(Volume(array, Geometry((9, 9, 9))), labels)
    (case,) = prepare(cohort, replace(PLAN, spacing=(3.0, 3.0, 3.0)), tmp_path / "prepared").cases
    assert case.foreground_labels == (1,)
    assert [message.split(":")[:2] for message in caplog.messages] == [
        ["p0_f1", " two is too thin for the grid of the plan"]
    ]


def test_the_folder_of_a_cohort_is_not_replaced(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort(GRIDS[:1])
    with pytest.raises(BadInput, match="is another dataset"):
        prepare(cohort, PLAN, cohort.folder)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "dataset.json").write_text("{}")
    with pytest.raises(BadInput, match="is another dataset"):
        prepare(cohort, PLAN, tmp_path / "theirs")
    assert Cohort.load(cohort.folder) == cohort
    prepare(cohort, PLAN, tmp_path / "prepared")
    prepare(cohort, PLAN, tmp_path / "prepared")


def test_a_scan_beyond_memory_is_refused_and_the_others_are_kept(
    write_cohort: WriteCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scans_read: list[Path]
) -> None:
    cohort = write_cohort(GRIDS)
    wide = replace(cohort.cases[1], geometry=Geometry((500, 512, 512), (5000.0,) * 3))
    cohort = replace(cohort, cases=(cohort.cases[0], wide, cohort.cases[2]))
    with pytest.raises(ScansFailed, match=r"1 of 3 scans failed") as failed:
        prepare(cohort, PLAN, tmp_path / "out", jobs=2)
    assert "500×512×512 voxels (z, y, x), resampled to 1666667×" in str(failed.value)
    assert "GB are available" in str(failed.value)
    assert not scans_read or wide.image not in scans_read


def test_scans_have_digests_and_earlier_records_get_them(write_cohort: WriteCohort, tmp_path: Path) -> None:
    cohort = write_cohort(GRIDS[:2])
    source = replace(cohort.cases[0].source, sha256={"CT": "b", "RS.dcm": "a"})
    cohort = replace(cohort, cases=(replace(cohort.cases[0], source=source), cohort.cases[1]))
    first = prepare(cohort, PLAN, tmp_path / "out")
    assert first.cases[0].scan_digest == voxel_digest(read_volume(cohort.cases[0].image)) != first.cases[1].scan_digest
    assert [case.source_digests for case in first.cases] == [("a", "b"), ()]
    record = json.loads(first.cases[0].record_file.read_text())
    del record["scan_digest"], record["source_digests"]
    first.cases[0].record_file.write_text(json.dumps(record))
    before = first.cases[0].image_file.stat().st_mtime_ns
    assert prepare(cohort, PLAN, tmp_path / "out").cases == first.cases
    assert first.cases[0].image_file.stat().st_mtime_ns == before, "its voxels are kept"
    assert PreparedCohort.open(tmp_path / "out").cases == first.cases
