"""STAPLE against our own expectation–maximisation, and against cases worked by hand."""

import numpy as np
import pytest

from gynbtnet.evaluation.readers.staple import staple


def disc(shift: tuple[int, int] = (0, 0)) -> np.ndarray:
    z, y, x = np.indices((5, 24, 24))
    return (np.abs(z - 2) <= 1) & ((y - 11 - shift[0]) ** 2 + (x - 11 - shift[1]) ** 2 <= 36)


def em(masks: list[np.ndarray], iterations: int) -> np.ndarray:
    """Return the probabilities of Warfield 2004, equations 17, 18 and 20, in the box around all masks plus a voxel."""
    votes = np.stack([mask.ravel() for mask in masks]).astype(float)
    prior = votes.mean()
    p = q = np.full(len(masks), 0.99999)
    for _ in range(iterations):
        inside = prior * np.prod(np.where(votes == 1, p[:, None], 1 - p[:, None]), axis=0)
        outside = (1 - prior) * np.prod(np.where(votes == 1, 1 - q[:, None], q[:, None]), axis=0)
        weight = inside / (inside + outside)
        p = (votes * weight).sum(axis=1) / weight.sum()
        q = ((1 - votes) * (1 - weight)).sum(axis=1) / (1 - weight).sum()
    return weight.reshape(masks[0].shape)


def test_it_is_the_expectation_maximisation_of_the_paper():
    masks = [disc(), disc((1, 0)), disc((0, 1)), disc((-1, -1))]
    union = np.logical_or.reduce(masks)
    box = tuple(slice(max(i.min() - 1, 0), i.max() + 2) for i in np.nonzero(union))
    expected = em([mask[box] for mask in masks], 500) > 0.5
    consensus = staple(masks)
    assert consensus.converged
    assert np.array_equal(consensus.mask[box], expected)
    assert consensus.mask.sum() == expected.sum() > 0


def test_a_reader_who_drew_nothing_is_outvoted():
    consensus = staple([disc(), np.zeros_like(disc()), disc()])
    assert np.array_equal(consensus.mask, disc())
    assert consensus.sensitivity == pytest.approx((1, 0, 1), abs=1e-4)


def test_two_readers_who_contradict_each_other_leave_nothing_certain():
    """One drew the structure, the other nothing: no voxel is more probably inside than outside."""
    assert not staple([disc(), np.zeros_like(disc())]).mask.any()


@pytest.mark.parametrize("mask", [disc(), np.zeros((2, 3, 4), bool), np.ones((2, 3, 4), bool)])
def test_equal_masks_are_their_own_consensus(mask):
    assert np.array_equal(staple([mask, mask]).mask, mask)


def test_one_mask_is_no_consensus():
    with pytest.raises(ValueError, match="at least two"):
        staple([disc()])


def test_the_background_far_away_does_not_matter():
    masks = [disc(), disc((1, 0)), disc((0, 2))]
    wide = [np.pad(mask, ((0, 0), (30, 40), (20, 10))) for mask in masks]
    assert np.array_equal(staple(wide).mask[:, 30:-40, 20:-10], staple(masks).mask)


def test_an_estimate_that_still_changes_says_so(monkeypatch):
    monkeypatch.setattr("gynbtnet.evaluation.readers.staple.MAX_ITERATIONS", 2)
    assert not staple([disc(), disc((1, 0)), disc((0, 2))]).converged
