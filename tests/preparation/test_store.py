import pickle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gynbtnet.imaging import Geometry
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.store import PreparedCase, PreparedCohort, write_prepared_case
from gynbtnet.runtime import BadInput

SHAPE = (20, 33, 41)
IMAGE = np.random.default_rng(0).normal(size=SHAPE).astype(np.float16).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, SHAPE).astype(np.uint8)
PADDING = 75
PADDED, PADDED_LABELS = np.pad(IMAGE, PADDING, constant_values=IMAGE.min()), np.pad(LABELS, PADDING)
PADDED_PLAIN = np.pad(IMAGE, PADDING, constant_values=-2.5)
PLAN = Plan(("a", "b"), (1.5, 1.5, 1.5), "zscore", None, (16, 16, 16), 1, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    labelled = PreparedCase("a_f1", "a", Geometry(SHAPE), (float(IMAGE.min()),), True, (1, 2), "key", folder)
    foreground = {label: np.argwhere(label == LABELS).astype(np.int32) for label in (1, 2)}
    write_prepared_case(labelled, IMAGE[np.newaxis], LABELS, foreground, PLAN.patch_size)
    plain = PreparedCase("b_f1", "b", Geometry(SHAPE), (-2.5,), False, (), "key", folder)
    write_prepared_case(plain, IMAGE[np.newaxis], None, {}, PLAN.patch_size)
    PreparedCohort("cohort", (labelled, plain), PLAN, folder, synthetic=True).save()
    return folder


def test_a_saved_cohort_is_opened(folder: Path) -> None:
    prepared = PreparedCohort.open(folder)
    assert [case.id for case in prepared.cases] == ["a_f1", "b_f1"]
    assert prepared.patients == ("a", "b")
    assert prepared.plan == PLAN
    assert prepared.structures == ("a", "b")
    assert prepared.synthetic
    assert prepared.cases[0].shape == SHAPE


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lower=st.tuples(*[st.integers(-30, 50)] * 3), size=st.tuples(*[st.integers(1, 40)] * 3))
def test_a_crop_is_the_padded_array(folder: Path, lower: tuple[int, int, int], size: tuple[int, int, int]) -> None:
    window = tuple(slice(low + PADDING, low + PADDING + n) for low, n in zip(lower, size, strict=True))
    labelled, plain = PreparedCohort.open(folder).cases
    image, labels = labelled.crop(lower, size)
    assert labels is not None
    np.testing.assert_array_equal(image[0], PADDED[window])
    np.testing.assert_array_equal(labels, PADDED_LABELS[window])
    assert (image.dtype, labels.dtype) == (np.float32, np.uint8)
    image, no_labels = plain.crop(lower, size)
    assert no_labels is None
    np.testing.assert_array_equal(image[0], PADDED_PLAIN[window])


def test_foreground_voxels_have_labels(folder: Path) -> None:
    labelled, plain = PreparedCohort.open(folder).cases
    assert sorted(labelled.foreground) == [1, 2]
    for label, voxels in labelled.foreground.items():
        assert voxels.shape[1] == 3
        assert (LABELS[tuple(voxels.T)] == label).all()
    assert dict(plain.foreground) == {}
    with pytest.raises(KeyError):
        labelled.foreground[3]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_other_processes_read_what_this_one_has_read(folder: Path, method: str) -> None:
    case = PreparedCohort.open(folder).cases[0]
    expected = case.crop((1, 2, 3), (16, 16, 16))[0]
    with get_context(method).Pool(2) as pool:
        for image, _ in pool.starmap(case.crop, [((1, 2, 3), (16, 16, 16))] * 4):
            np.testing.assert_array_equal(image, expected)
    assert pickle.loads(pickle.dumps(case)) == case


def test_an_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"prepared.json.*gynbtnet prepare"):
        PreparedCohort.open(tmp_path)


def test_absent_and_damaged_files_are_reported(tmp_path: Path) -> None:
    case = PreparedCase("a_f1", "a", Geometry(SHAPE), (0.0,), True, (1,), "key", tmp_path)
    write_prepared_case(case, IMAGE[np.newaxis], LABELS, {1: np.zeros((1, 3), np.int32)}, PLAN.patch_size)
    content = case.image_file.read_bytes()
    for damaged in (content[: len(content) // 2], content[:40], b""):
        case.image_file.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"a_f1.b2nd is absent or damaged"):
            case.crop((0, 0, 0), (20, 33, 41))
    case.image_file.unlink()
    with pytest.raises(BadInput, match=r"a_f1.b2nd is absent or damaged"):
        case.crop((0, 0, 0), (4, 4, 4))
    case.foreground_file.write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"a_f1.npz is absent or damaged"):
        case.foreground[1]


VOXELS = np.array([[0, 0, 0], [19, 32, 40]], np.int32)


@pytest.mark.parametrize(
    "voxels",
    [
        VOXELS.astype(float),
        VOXELS[0],
        VOXELS[:, :2],
        VOXELS - 1,
        VOXELS + 1,
        np.array([{}], dtype=object),
    ],
)
def test_voxels_outside_the_scan_are_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    case = PreparedCase("a", "a", Geometry(SHAPE), (0.0,), True, (1,), "key", tmp_path, body_known=True)
    write_prepared_case(case, IMAGE[np.newaxis], LABELS, {1: VOXELS}, PLAN.patch_size, VOXELS)
    assert (case.foreground[1] == case.body).all()
    foreground: dict[str, Any] = {"1": voxels}
    np.savez(case.foreground_file, **foreground)
    np.save(case.body_file, voxels)
    with pytest.raises(BadInput, match=r"a\.npz is absent or damaged"):
        case.foreground[1]
    with pytest.raises(BadInput, match=r"a_body\.npy is absent or damaged"):
        _ = case.body


def test_files_truncated_or_changed_anywhere_are_read_or_refused(tmp_path: Path) -> None:
    case = PreparedCase("a", "a", Geometry(SHAPE), (0.0,), True, (1,), "key", tmp_path, body_known=True)
    write_prepared_case(case, IMAGE[np.newaxis], LABELS, {1: VOXELS}, PLAN.patch_size, VOXELS)
    random = np.random.default_rng(0)
    for file in (case.foreground_file, case.body_file, case.image_file, case.labels_file):
        original = file.read_bytes()
        for _ in range(25):
            changed = bytearray(original)
            changed[int(random.integers(len(original)))] ^= int(random.integers(1, 256))
            for content in (bytes(changed), original[: int(random.integers(len(original)))]):
                file.write_bytes(content)
                try:
                    _ = case.foreground[1], case.body, case.crop((0, 0, 0), SHAPE)
                except BadInput as error:
                    assert "absent or damaged" in str(error)
        file.write_bytes(original)


def test_voxels_of_another_scan_are_refused(tmp_path: Path) -> None:
    case = PreparedCase("a", "a", Geometry(SHAPE), (0.0,), True, (1,), "key", tmp_path)
    write_prepared_case(case, IMAGE[np.newaxis], LABELS, {1: VOXELS}, PLAN.patch_size)
    other = PreparedCase("b", "b", Geometry((20, 33, 42)), (0.0,), False, (), "key", tmp_path)
    write_prepared_case(other, np.zeros((1, 20, 33, 42), np.float32), None, {}, PLAN.patch_size)
    case.image_file.write_bytes(other.image_file.read_bytes())
    with pytest.raises(BadInput, match=r"a\.b2nd is absent or damaged"):
        case.crop((0, 0, 0), (8, 8, 8))
