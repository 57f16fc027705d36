from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import psutil
import pytest
import torch

from gynbtnet.imaging import Geometry
from gynbtnet.preparation import PreparedCase, PreparedCohort, foreground_voxels, write_prepared_case
from gynbtnet.runtime import BadInput
from gynbtnet.training.data.augmentation import Augmentation
from gynbtnet.training.data.batches import Batch, Batches, load_batches

PATCH, SHAPE = (16, 32, 32), (20, 36, 40)
Kind = Literal["full", "light", "none"]


def batches_of(
    prepared: PreparedCohort, kind: Kind = "full", foreground_oversampling: float = 1 / 3, **others: Any
) -> Batches:
    values = {"batch_size": 2, "seed": 5, **others}
    return Batches(prepared.cases, Augmentation(kind, PATCH), foreground_oversampling=foreground_oversampling, **values)


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)  # type: ignore[literal-required]


def test_a_batch_is_a_function_of_seed_and_step(prepared: PreparedCohort) -> None:
    batches = batches_of(prepared)
    forwards = [batches[step] for step in range(6)]
    np.random.seed(1)  # noqa: NPY002 - what others do to the global generators must not matter
    torch.manual_seed(1)
    backwards = [batches_of(prepared)[step] for step in reversed(range(6))]
    assert all(same(one, other) for one, other in zip(forwards, reversed(backwards), strict=True))
    assert not same(batches[0], batches_of(prepared, seed=6)[0])
    assert forwards[0]["image"].shape == (2, 1, *PATCH)
    assert forwards[0]["image"].dtype == torch.float32
    assert forwards[0]["labels"].shape == (2, *PATCH)
    assert forwards[0]["labels"].dtype == torch.uint8


def test_the_number_of_workers_changes_nothing(prepared: PreparedCohort) -> None:
    batches = batches_of(prepared)
    alone = list(load_batches(batches, range(3, 11), workers=0))
    helped = list(load_batches(batches, range(3, 11), workers=2))
    assert len(helped) == 8
    assert all(same(one, other) for one, other in zip(alone, helped, strict=True))


def test_devices_share_the_batches_of_one(prepared: PreparedCohort) -> None:
    whole = batches_of(prepared, batch_size=4)[3]
    shares = [batches_of(prepared, batch_size=2, rank=rank, devices=2)[3] for rank in (0, 1)]
    assert torch.equal(whole["image"], torch.cat([share["image"] for share in shares]))


def test_augmentation_leaves_the_global_generators_alone(prepared: PreparedCohort) -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    threads = torch.get_num_threads()
    batches_of(prepared)[0]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])  # noqa: NPY002


def test_every_scan_is_shown_once_per_round(prepared: PreparedCohort) -> None:
    whole = Augmentation("none", prepared.cases[0].shape)
    batches = Batches(prepared.cases, whole, batch_size=1, seed=0)
    scans = [case.crop((0, 0, 0), case.shape)[0].tobytes() for case in prepared.cases]
    shown = [scans.index(batches[step]["image"].numpy().tobytes()) for step in range(12)]
    assert all(Counter(shown[first : first + 3]) == Counter(range(3)) for first in range(0, 12, 3))
    assert len({tuple(shown[first : first + 3]) for first in range(0, 12, 3)}) > 1


def test_foreground_patches_hold_a_structure(prepared: PreparedCohort) -> None:
    small = Augmentation("none", (4, 4, 4))
    share = {
        oversampling: np.mean(
            [bool(Batches(prepared.cases, small, 1, 0, oversampling)[step]["labels"].any()) for step in range(300)]
        )
        for oversampling in (0.0, 1 / 3, 1.0)
    }
    assert share[1.0] == 1
    assert share[1 / 3] - share[0.0] == pytest.approx((1 - share[0.0]) / 3, abs=0.1)


def test_a_patch_larger_than_the_scan_is_centred_and_padded(prepared: PreparedCohort) -> None:
    case = prepared.cases[0]
    batch = Batches([case], Augmentation("none", (28, 36, 40)), 1, 0)[0]
    image, labels = case.crop((0, 0, 0), case.shape)
    assert torch.equal(batch["image"][0, :, 4:24], torch.from_numpy(image))
    assert (batch["image"][0, :, :4] == float(np.float32(case.pad_values[0]))).all()
    assert labels is not None
    assert int(batch["labels"].sum()) == int(labels.sum())


def test_labels_follow_the_image(prepared: PreparedCohort) -> None:
    """The balls are brighter than the noise by four standard deviations, also after augmentation."""
    batches = batches_of(prepared, foreground_oversampling=1.0)
    for step in range(20):
        batch = batches[step]
        inside = batch["labels"] == 1
        image = batch["image"][:, 0]
        assert image[inside].mean() > image[~inside].mean() + 0.8


def test_light_is_a_mirror_image(prepared: PreparedCohort) -> None:
    plain, light = batches_of(prepared, "none"), batches_of(prepared, "light")
    mirrored = 0
    for step in range(4):
        for before, after in zip(plain[step]["image"], light[step]["image"], strict=True):
            axes = [[a for a in (1, 2, 3) if code & 1 << a] for code in range(0, 16, 2)]
            fits = [torch.equal(before.flip(some), after) if some else torch.equal(before, after) for some in axes]
            assert sum(fits) == 1
            mirrored += not fits[0]
    assert mirrored


def test_unlabelled_scans_give_no_labels(prepared: PreparedCohort) -> None:
    cases = [replace(case, labelled=False, foreground_labels=()) for case in prepared.cases]
    batch = Batches(cases, Augmentation("full", PATCH), 2, 0, foreground_oversampling=1.0)[0]
    assert set(batch) == {"image", "seeds"}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_keeps_its_message(prepared: PreparedCohort, workers: int) -> None:
    lost = [replace(case, id="lost") for case in prepared.cases]
    batches = Batches(lost, Augmentation("none", PATCH), 1, 0)
    with pytest.raises(BadInput, match=r"lost\.b2nd is absent or damaged.* again\.$"):
        next(load_batches(batches, range(1), workers))


@pytest.mark.slow
def test_small_structures_are_sampled_as_often_as_large_ones(tmp_path: Path) -> None:
    """Each of five structures with 1 to 10,000 voxels is the centre of a fifth of the foreground patches."""
    shape, labels = (40, 48, 48), np.zeros((40, 48, 48), np.uint8)
    boxes = [(2, 2, 2, 1), (20, 24, 24, 2), (12, 12, 30, 5), (24, 30, 10, 10), (10, 14, 14, 18)]
    for label, (z, y, x, edge) in reversed(list(enumerate(boxes, start=1))):
        labels[z : z + edge, y : y + edge, x : x + edge] = label
    foreground = foreground_voxels(labels)
    sizes = [len(foreground[label]) for label in range(1, 6)]
    assert min(sizes) == 1
    assert max(sizes) > 3000
    case = PreparedCase("a", "a", Geometry(shape), (0.0,), True, (1, 2, 3, 4, 5), "key", tmp_path)
    image = np.zeros((1, *shape), np.float32)
    write_prepared_case(case, image, labels, foreground, (8, 8, 8))
    draws = 300
    centred = Counter(
        int(Batches([case], Augmentation("none", (1, 1, 1)), 1, 3, 1.0)[step]["labels"][0, 0, 0, 0])
        for step in range(draws)
    )
    assert sorted(centred) == [1, 2, 3, 4, 5]
    spread = 4 * np.sqrt(draws * 0.2 * 0.8)
    assert all(abs(count - draws / 5) < spread for count in centred.values())
    # with the share that training uses, a structure of one voxel is in a fifteenth of all patches and more
    third = Batches([case], Augmentation("none", (8, 8, 8)), 1, 3, 1 / 3)
    shown = np.mean([bool((third[step]["labels"] == 1).any()) for step in range(draws)])
    assert shown > 1 / 15 - 4 * np.sqrt(1 / 15 / draws)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes:UserWarning")
def test_workers_give_what_the_main_process_gives_for_every_augmentation(prepared: PreparedCohort) -> None:
    for kind in ("full", "light"):
        batches = batches_of(prepared, kind)
        alone, helped = (list(load_batches(batches, range(4), workers=workers)) for workers in (0, 4))
        assert all(same(one, other) for one, other in zip(alone, helped, strict=True))


def test_several_channels_go_through_together(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    image = random.normal(size=(2, *SHAPE)).astype(np.float32)
    image[1] = image[0] + 10
    case = PreparedCase("a", "a", Geometry(SHAPE), (-5.0, 5.0), False, (), "key", tmp_path)
    write_prepared_case(case, image, None, {}, PATCH)
    light = Batches([case], Augmentation("light", (48, 48, 48)), 1, 0)[0]["image"]
    assert light.shape == (1, 2, 48, 48, 48)
    np.testing.assert_allclose(light[0, 1], light[0, 0] + 10, atol=0.01)  # the padding too
    full = Batches([case], Augmentation("full", PATCH), 2, 0)
    assert all(full[step]["image"].shape == (2, 2, *PATCH) for step in range(3))


def memory_after(batches: Batches, steps: int, workers: int) -> list[float]:
    """Return the memory of this process and its workers in MB, measured ten times during the steps."""
    process, measured = psutil.Process(), []
    for step, _ in enumerate(load_batches(batches, range(steps), workers)):
        if (step + 1) % (steps // 10) == 0:
            everyone = [process, *process.children(recursive=True)]
            measured.append(sum(map(_own_bytes, everyone)) / 1e6)
    return measured


def _own_bytes(process: psutil.Process) -> int:
    """Return the memory of a process that it doesn't share; 0 if it has ended, as workers of earlier tests may have."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.NoSuchProcess:
        return 0


@pytest.mark.parametrize(
    ("steps", "workers"),
    [(60, 0), pytest.param(2000, 0, marks=pytest.mark.slow), pytest.param(2000, 2, marks=pytest.mark.slow)],
)
def test_memory_stays_flat(prepared: PreparedCohort, steps: int, workers: int) -> None:
    measured = memory_after(batches_of(prepared), steps, workers)
    assert max(measured[5:]) < max(measured[2:5]) + 15, measured


@pytest.mark.parametrize(("batch_size", "share"), [(2, 1 / 3), (2, 0.33), (3, 1 / 3), (4, 0.5), (5, 0.33), (1, 0.5)])
def test_the_last_of_a_batch_are_centred_on_a_structure_as_in_nnunet(
    prepared: PreparedCohort, batch_size: int, share: float
) -> None:
    loader = pytest.importorskip("nnunetv2.training.dataloading.data_loader")
    loader_settings = SimpleNamespace(batch_size=batch_size, oversample_foreground_percent=share)
    theirs = [
        bool(loader.nnUNetDataLoader._oversample_last_XX_percent(loader_settings, index)) for index in range(batch_size)
    ]
    small = Augmentation("none", (1, 1, 1))
    batches = Batches(prepared.cases, small, batch_size, 0, share, last_of=batch_size)
    shown = np.array([(batches[step]["labels"] == 1).flatten(1).any(1).numpy() for step in range(40)])
    assert shown[:, theirs].all()
    assert shown[:, ~np.array(theirs)].mean() < 0.3 if not all(theirs) else True


def test_the_last_of_a_batch_are_the_last_on_all_devices_and_in_validation(prepared: PreparedCohort) -> None:
    whole = batches_of(prepared, batch_size=4, last_of=4)
    shares = [batches_of(prepared, batch_size=2, rank=rank, devices=2, last_of=4) for rank in (0, 1)]
    ones = batches_of(prepared, batch_size=1, last_of=4)
    for step in range(3):
        image = whole[step]["image"]
        assert torch.equal(image, torch.cat([share[step]["image"] for share in shares]))
        assert torch.equal(image, torch.cat([ones[4 * step + index]["image"] for index in range(4)]))


def scan_with_a_body(folder: Path) -> PreparedCase:
    """Return a scan that is 1 in a small body and 0 in the surrounding air."""
    shape = (40, 60, 60)
    image = np.zeros(shape, np.float32)
    image[10:30, 8:20, 30:45] = 1
    case = PreparedCase("b", "b", Geometry(shape), (0.0,), False, (), "key", folder, units=(1.0,), body_known=True)
    write_prepared_case(case, image[np.newaxis], None, {}, PATCH, np.argwhere(image > 0)[::20].astype(np.int32))
    return case


def test_crops_around_the_body_all_show_it(tmp_path: Path) -> None:
    case, none = scan_with_a_body(tmp_path), Augmentation("none", (8, 8, 8))
    around, anywhere = (Batches([case], none, 1, 0, around_body=around_body) for around_body in (True, False))
    shown = [[bool(batches[step]["image"].any()) for step in range(60)] for batches in (around, anywhere)]
    assert all(shown[0])
    assert np.mean(shown[1]) < 0.5
    helped = list(load_batches(around, range(6), workers=1))
    assert all(same(one, around[step]) for step, one in enumerate(helped))
    shares = [Batches([case], none, 1, 0, rank=rank, devices=2, around_body=True)[2]["image"] for rank in (0, 1)]
    assert torch.equal(torch.cat(shares), Batches([case], none, 2, 0, around_body=True)[2]["image"])


def test_a_scan_without_a_body_is_cropped_anywhere(tmp_path: Path) -> None:
    case = scan_with_a_body(tmp_path)
    np.save(case.body_file, np.empty((0, 3), np.int32))
    batches = Batches([case], Augmentation("none", (8, 8, 8)), 1, 0, around_body=True)
    assert 0 < np.mean([bool(batches[step]["image"].any()) for step in range(40)]) < 0.7


def test_a_damaged_list_of_body_voxels_is_reported(tmp_path: Path) -> None:
    case = scan_with_a_body(tmp_path)
    case.body_file.write_bytes(b"cut sho")
    with pytest.raises(BadInput, match=r"b_body\.npy is absent or damaged"):
        Batches([case], Augmentation("none", (8, 8, 8)), 1, 0, around_body=True)[0]


def test_a_batch_has_the_units_of_its_scans(prepared: PreparedCohort) -> None:
    cases = [replace(case, units=(100.0 * (i + 1),)) for i, case in enumerate(prepared.cases)]
    batches = Batches(cases, Augmentation("none", SHAPE), 2, 0, with_units=True)
    for step in range(3):
        for image, unit in zip(batches[step]["image"], batches[step]["units"], strict=True):
            (case,) = [one for one in cases if np.array_equal(one.crop((0, 0, 0), SHAPE)[0], image)]
            assert unit.tolist() == list(case.units)
