"""Whole slices, as a GPU resamples them, compared with the small tiles of a CPU."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from gynbtnet.imaging import Geometry, Nesting
from gynbtnet.inference.engine import slab_resampling
from gynbtnet.inference.engine.logits_to_labels import _HighestOutput, logits_to_labels
from gynbtnet.inference.engine.logits_to_masks import _LikelyStructures, logits_to_masks
from gynbtnet.inference.engine.sliding_window import Slab

SEEN = Geometry((14, 15, 11), (3.0, 2.0, 2.5), (4.0, -3.0, 8.0))
TARGETS = {
    "finer": SEEN.with_spacing((1.7, 0.9, 1.0)),
    "equal": SEEN,
    "larger": Geometry((40, 30, 60), (2.0, 1.5, 1.0), (-5.0, -9.0, 3.0)),
    "upside down": replace(SEEN.with_spacing((1.7, 2.0, 1.0)), direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0)),
}
NAMES = ("hr_ctv", "bladder", "gtv_res", "uterus")
NESTED = Nesting.parse(["gtv_res < hr_ctv < uterus"])


def slabs() -> list[Slab]:
    noise = np.random.default_rng(0).normal(size=(5, *SEEN.shape))
    logits = torch.from_numpy(20 * gaussian_filter(noise, (0, 1.5, 1.5, 1.5))).half()
    logits -= logits.amax(0)
    return [Slab(0, logits[:, :5]), Slab(4, logits[:, 4:11]), Slab(10, logits[:, 10:])]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("slices", [1, 3, 1000])
def test_whole_slices_have_the_values_of_tiles(name: str, slices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    target = TARGETS[name]
    labels = logits_to_labels(target, slabs(), SEEN)
    masks = logits_to_masks(target, slabs(), SEEN, NAMES, NESTED)
    assert len(np.unique(labels)) == 5
    monkeypatch.setattr(slab_resampling, "computes_whole_slices", lambda device: True)
    monkeypatch.setattr(slab_resampling, "_VALUES_AT_ONCE", slices * 5 * prod(target.shape[1:]))
    np.testing.assert_array_equal(logits_to_labels(target, slabs(), SEEN), labels)
    whole = logits_to_masks(target, slabs(), SEEN, NAMES, NESTED)
    assert whole.bits.array.dtype == masks.bits.array.dtype
    np.testing.assert_array_equal(whole.bits.array, masks.bits.array)


def test_values_are_computed_without_reading_any() -> None:
    """On PyTorch's meta device, whose tensors have no values."""
    meta = torch.device("meta")
    axis = slab_resampling.AxisSampling.along(0, TARGETS["finer"], SEEN).part(0, 4)
    tile = slab_resampling.Tile(axis, axis, axis).on(meta)
    near = torch.zeros(5, *[int(axis.upper[-1]) + 1] * 3, device=meta)
    for rule in (_HighestOutput(), _LikelyStructures(NAMES, NESTED)):
        values = rule.on_device(near, tile)
        assert values.shape == (4, 4, 4)
        assert values.device == meta
    assert slab_resampling.computes_whole_slices(meta)
    assert not slab_resampling.computes_whole_slices(torch.device("cpu"))


def test_memory_limits_the_slices() -> None:
    assert slab_resampling._slices_at_once(6, (120, 512, 512)) == (170, 512, 512)
    assert slab_resampling._slices_at_once(10**6, (120, 512, 512)) == (1, 512, 512)
