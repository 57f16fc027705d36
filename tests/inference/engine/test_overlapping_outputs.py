"""Prediction of structures that overlap: interpolation, decision, agreement of the passes."""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from gynbtnet.imaging import NO_NESTING, Geometry, Nesting, reorientation_between
from gynbtnet.inference.engine.logits_to_masks import logits_to_masks
from gynbtnet.inference.engine.sliding_window import Slab
from gynbtnet.inference.engine.test_time_augmentation import AveragedForward

NAMES = ("hr_ctv", "bladder", "gtv_res", "uterus")
NESTED = Nesting.parse(["gtv_res < hr_ctv < uterus"])
SEEN = Geometry((14, 15, 11), (3.0, 2.0, 2.5), (4.0, -3.0, 8.0))
UPSIDE_DOWN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def in_slabs(logits: torch.Tensor, slices: int) -> Sequence[Slab]:
    ends = [*range(slices, logits.shape[1], slices), logits.shape[1]]
    firsts = [0, *(end - 1 for end in ends[:-1])]
    return [Slab(first, logits[:, first:end]) for first, end in zip(firsts, ends, strict=True)]


@pytest.mark.parametrize("slices", [1, 3, 99])
@pytest.mark.parametrize("direction", [SEEN.direction, UPSIDE_DOWN])
@pytest.mark.parametrize("smooth", [0.0, 2.0])
@pytest.mark.parametrize("nesting", [NO_NESTING, NESTED])
def test_masks_are_those_of_logits_at_full_resolution(
    slices: int, direction: tuple[float, ...], smooth: float, nesting: Nesting
) -> None:
    target = SEEN.with_spacing((1.7, 0.9, 1.0))
    noise = np.random.default_rng(0).normal(size=(4, *SEEN.shape))
    logits = torch.from_numpy(20 * gaussian_filter(noise, (0, smooth, smooth, smooth))).half()
    fine = interpolate(logits[None].float(), target.shape, mode="trilinear", align_corners=False)[0]
    expected = nesting.most_likely(fine, NAMES).numpy()
    reorientation = reorientation_between(target, replace(target, direction=direction))
    with_background = torch.cat([torch.zeros_like(logits[:1]), logits])
    with_background -= with_background.amax(0)  # as the sliding window leaves them
    masks = logits_to_masks(reorientation.geometry(target), in_slabs(with_background, slices), SEEN, NAMES, nesting)
    for name, mask in zip(NAMES, expected, strict=True):
        assert (masks.mask(name) == reorientation.array(mask)).mean() > 0.997  # rounding to half precision
    assert nesting.broken_voxels(masks) == 0


def test_nothing_is_predicted_outside_the_roi() -> None:
    target = Geometry((20, 12, 12))
    part = Geometry((4, 6, 6), (2.0, 1.0, 1.0), tuple(target.to_world((6.5, 0, 3)).tolist()))
    logits = torch.full((3, 4, 6, 6), 1.0).half()
    logits[0] = 0
    masks = logits_to_masks(target, in_slabs(logits, 2), part, ("a", "b"))
    expected = np.zeros(target.shape, bool)
    expected[6:14, 0:6, 3:9] = True
    np.testing.assert_array_equal(masks.mask("a") & masks.mask("b"), expected)


def test_voxels_without_a_window_belong_to_nothing() -> None:
    masks = logits_to_masks(SEEN, in_slabs(torch.zeros(3, *SEEN.shape).half(), 3), SEEN, ("a", "b"))
    assert not masks.bits.array.any()


def test_agreement_of_the_passes_counts_every_structure_by_itself() -> None:
    shape = (1, 4, 4, 4)
    random = torch.Generator().manual_seed(0)
    outputs = [torch.randn(1, 3, 4, 4, 4, generator=random) for _ in range(2)]
    outputs[0][:, 2] = outputs[1][:, 2] = -1
    forward = AveragedForward([lambda _, own=own: own for own in outputs], overlapping=True)  # type: ignore[misc]
    everything = (slice(0, 4),) * 3
    mean = forward(torch.zeros(1, *shape), everything)
    assert mean.shape == (1, 4, 4, 4, 4)
    torch.testing.assert_close(mean[:, 1:], (outputs[0] + outputs[1]) / 2)
    agreement = forward.agreement(("a", "b", "c"))
    for index, name in enumerate("ab"):
        of_mean = mean[0, index + 1] > 0
        dice = [
            2 * ((own[0, index] > 0) & of_mean).sum() / ((own[0, index] > 0).sum() + of_mean.sum()) for own in outputs
        ]
        assert agreement[name] == pytest.approx(float(sum(dice) / 2))
    assert isnan(agreement["c"])


def test_a_mirrored_pass_returns_the_other_side() -> None:
    def bright_half(window: torch.Tensor) -> torch.Tensor:
        """Logits of femur_left and femur_right: the bright voxels are the left one."""
        return torch.cat([window, -window], dim=1)

    window = torch.ones(1, 1, 2, 2, 4)
    window[..., :2] = -1  # x runs to the patient's left
    forward = AveragedForward([bright_half], [2], (0, 2, 1), overlapping=True)
    mean = forward(window, (slice(0, 2), slice(0, 2), slice(0, 4)))
    assert mean[:, 1:].abs().max() == 0  # the network only knows brightness, and the two passes cancel
