"""Shared memory that the workers' batches need, compared with batches that were sent."""

from collections import namedtuple
from pathlib import Path

import pytest
import torch

from gynbtnet.preparation import PreparedCohort
from gynbtnet.runtime import BadInput
from gynbtnet.training import Augmentation, Batches
from gynbtnet.training.data import shared_memory
from gynbtnet.training.data.batches import load_batches, move_batch
from gynbtnet.training.data.shared_memory import batch_bytes, check_shared_memory

Usage = namedtuple("Usage", ["total", "used", "free"])


def paper(structures: tuple[str, ...] = (), *, half: bool = True) -> Batches:
    return Batches((), Augmentation("light", (112, 128, 128)), 24, 0, structures=structures, half=half)


def test_a_batch_of_the_paper_is_88_megabytes() -> None:
    assert batch_bytes(paper(), 1) == 24 * 112 * 128 * 128 * 2 == 88_080_384
    assert batch_bytes(paper(half=False), 1) == 2 * batch_bytes(paper(), 1)
    assert batch_bytes(paper(("ball",), half=False), 2) == 24 * 112 * 128 * 128 * 9


def test_too_little_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker gives 64 MB. Two batches per worker and the one in use: 12 workers need 25."""
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(64_000_000, 0, 64_000_000))
    with pytest.raises(BadInput) as refusal:
        check_shared_memory(paper(), 12, channels=1, folder=tmp_path)
    assert str(refusal.value) == (
        f"12 workers send batches through {tmp_path}, which needs 2.20 GB and has 0.06 GB free. Set workers to 0, or "
        "start the container with --shm-size 4g or --ipc=host."
    )
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(0, 0, 25 * 88_080_384))
    check_shared_memory(paper(), 12, channels=1, folder=tmp_path)
    with pytest.raises(BadInput, match="Set workers to 12,"):
        check_shared_memory(paper(), 13, channels=1, folder=tmp_path)
    with pytest.raises(BadInput, match="Set workers to 5,"):
        check_shared_memory(paper(), 12, channels=1, processes=2, folder=tmp_path)


def test_without_workers_or_without_the_folder_nothing_is_needed(tmp_path: Path) -> None:
    check_shared_memory(paper(), 0, channels=1, folder=tmp_path)
    check_shared_memory(paper(), 10**9, channels=1, folder=tmp_path / "none")
    if shared_memory.SHARED_MEMORY.is_dir():
        with pytest.raises(BadInput):
            check_shared_memory(paper(), 10**9, channels=1)


def test_batches_are_sent_in_half_and_used_in_single_precision(prepared: PreparedCohort) -> None:
    """Rounding changes a value by at most 2⁻¹¹ of it; values beyond float16's range become its largest."""
    augmentation = Augmentation("none", (16, 32, 32))
    batches = [
        next(load_batches(Batches(prepared.cases, augmentation, 2, 0, half=half), range(1), 0))
        for half in (False, True)
    ]
    assert [batch["image"].dtype for batch in batches] == [torch.float32, torch.float16]
    used = move_batch(batches[1], lambda values: values.clone())
    assert used["image"].dtype == torch.float32
    torch.testing.assert_close(used["image"], batches[0]["image"], rtol=2**-11, atol=2**-25)
    assert used["seeds"] is batches[1]["seeds"]
    assert shared_memory.batch_bytes(Batches((), augmentation, 2, 0, half=True), 1) == batches[1]["image"].nbytes
    from gynbtnet.training.data.batches import _as_half

    assert _as_half(torch.tensor([1e6, -1e6])).tolist() == [65504, -65504]
