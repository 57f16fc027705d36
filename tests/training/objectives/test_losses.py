import warnings

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from gynbtnet.training.objectives.losses import deeply_supervised, denormalise_cells, dice_ce, masked_l2, sums_by_label


def random_logits_and_labels(
    channels: int, shape: tuple[int, ...] = (2, 6, 8, 10)
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    batch, *size = shape
    logits = torch.randn(batch, channels, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, max(channels - 1, 2), shape, generator=generator).to(
        torch.uint8
    )  # the last class is absent
    return logits, labels


@pytest.mark.parametrize("slots", [1, 7, 1024])
def test_sums_by_label_are_equal_in_any_number_of_slots(slots: int) -> None:
    """Also for fewer voxels than slots, in values and gradients."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(2, 600, generator=generator, dtype=torch.float64).requires_grad_()
    index = torch.randint(0, 5, (2, 600), generator=generator)
    expected = torch.stack([(values * (index == label)).sum(1) for label in range(6)], 1)
    result = sums_by_label(values, index, 6, slots)
    torch.testing.assert_close(result, expected)
    weights = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((sums * weights).sum(), values)[0] for sums in (result, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("channels", [2, 6, 105])
@pytest.mark.parametrize("batch_dice", [False, True])
def test_dice_ce_is_monai_s(channels: int, batch_dice: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.losses import DiceCELoss
    theirs = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=batch_dice)
    logits, labels = random_logits_and_labels(channels)
    ours = logits.float().requires_grad_()
    reference = logits.float().requires_grad_()
    result = dice_ce(ours, labels, batch_dice=batch_dice)
    expected = theirs(reference, labels[:, None].float())
    assert result.item() == pytest.approx(expected.item(), rel=1e-6)
    result.backward()
    expected.backward()
    assert ours.grad is not None and reference.grad is not None
    torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-4, atol=1e-8)


def test_a_perfect_prediction_costs_nothing() -> None:
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    labels[:, 1:3] = 1
    logits = 100.0 * torch.nn.functional.one_hot(labels.long(), 2).movedim(-1, 1)
    assert dice_ce(logits, labels).item() == pytest.approx(0, abs=1e-5)


def test_levels_weigh_one_half_quarter() -> None:
    logits, labels = random_logits_and_labels(3, (1, 8, 8, 8))
    levels = [logits.float(), interpolate(logits.float(), (4, 4, 4)), interpolate(logits.float(), (2, 4, 4))]
    # the voxel with the nearest centre: the second of each two, the third of each four
    coarser = [labels, labels[:, 1::2, 1::2, 1::2], labels[:, 2::4, 1::2, 1::2]]
    parts = [dice_ce(level, truth).item() for level, truth in zip(levels, coarser, strict=True)]
    assert deeply_supervised(levels, labels).item() == pytest.approx(np.dot(parts, [4 / 7, 2 / 7, 1 / 7]), rel=1e-6)


def test_masked_l2_by_hand() -> None:
    image = torch.arange(16.0).reshape(1, 1, 2, 2, 4)
    reconstruction = torch.zeros_like(image)
    masked = torch.tensor([False, True]).reshape(1, 1, 1, 2)
    hidden = np.array([2, 3, 6, 7, 10, 11, 14, 15.0])
    assert masked_l2(reconstruction, image, masked, normalise=False).item() == pytest.approx((hidden**2).mean())
    target = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-6)
    assert masked_l2(reconstruction, image, masked).item() == pytest.approx((target**2).mean(), rel=1e-6)


def test_the_coarsest_level_is_left_out_as_nnunet_leaves_it_out() -> None:
    logits, labels = random_logits_and_labels(3, (1, 8, 8, 8))
    levels = [logits.float(), interpolate(logits.float(), (4, 4, 4)), interpolate(logits.float(), (2, 4, 4))]
    coarser = [labels, labels[:, 1::2, 1::2, 1::2]]
    parts = [dice_ce(level, truth).item() for level, truth in zip(levels, coarser, strict=False)]
    weights = np.array([1 / 2**i for i in range(3)])  # nnUNetTrainer._build_loss
    weights[-1] = 0
    expected = np.dot(parts, (weights / weights.sum())[:2])
    assert deeply_supervised(levels, labels, coarsest=False).item() == pytest.approx(expected, rel=1e-6)
    only = deeply_supervised(levels[:1], labels, coarsest=False).item()
    assert only == pytest.approx(parts[0], rel=1e-6)


def test_noise_below_epsilon_costs_little_in_any_unit_of_the_scan() -> None:
    """Two cells of air with noise of 10 HU, in scans whose units are 500 and 200 HU, and one of anatomy."""
    noise = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = (noise - noise.mean((2, 3, 4), keepdim=True)) / noise.std((2, 3, 4), correction=0, keepdim=True)
    units = torch.tensor([[500.0], [200.0]])
    everywhere = torch.ones(2, 1, 1, 1, dtype=torch.bool)
    for hu in (10, 300):
        image = (hu * noise / units[:, :, None, None, None]).float()
        zeros, epsilon = torch.zeros_like(image), (20 / units) ** 2
        cost = masked_l2(zeros, image, everywhere, epsilon=epsilon).item()
        assert cost == pytest.approx(hu**2 / (hu**2 + 20**2), rel=1e-4)
        assert masked_l2(zeros, image, everywhere).item() == pytest.approx(1, abs=1e-2)  # SparK's
        normalised = image / (image.var((2, 3, 4), correction=0, keepdim=True) + epsilon[:, :, None, None, None]).sqrt()
        denormalised = denormalise_cells(image, normalised, (1, 1, 1), epsilon)
        torch.testing.assert_close(denormalised, image, rtol=1e-4, atol=1e-5)


def test_every_channel_has_its_own_epsilon() -> None:
    image = torch.randn(1, 2, 4, 4, 8, generator=torch.Generator().manual_seed(2))
    masked = torch.tensor([True, False]).reshape(1, 1, 1, 2)
    epsilon = torch.tensor([[0.5, 3.0]])
    cells = image[0, :, :, :, :4].double().flatten(1)
    variance = cells.var(1, correction=0)
    expected = (variance / (variance + epsilon[0])).mean().item()
    result = masked_l2(torch.zeros_like(image), image, masked, epsilon=epsilon).item()
    assert result == pytest.approx(expected, rel=1e-5)


def test_masked_l2_looks_at_masked_cells_only() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 4, 8, 8, generator=generator)
    masked = torch.rand(2, 2, 4, 4, generator=generator) < 0.5
    reconstruction = torch.randn(image.shape, generator=generator).requires_grad_()
    masked_l2(reconstruction, image, masked).backward()
    assert reconstruction.grad is not None
    touched = reconstruction.grad[:, 0] != 0
    assert torch.equal(touched, masked.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_grid_that_does_not_divide_is_an_error() -> None:
    image = torch.zeros(1, 1, 5, 4, 4)
    with pytest.raises(ValueError, match="does not divide"):
        masked_l2(image, image, torch.ones(1, 2, 2, 2, dtype=torch.bool))


def test_denormalisation_is_the_inverse_of_normalisation() -> None:
    """A reconstruction with zero loss equals the image after denormalisation; a flat cell stays flat."""
    image = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    image[0, 0, :2, :4, :4] = 0.7
    normalised = image.clone()
    for z, y, x in np.ndindex(2, 2, 2):
        cell = (slice(None), slice(None), *(slice(n * i, n * i + n) for n, i in zip((2, 4, 4), (z, y, x), strict=True)))
        values = image[cell].double()
        variance = values.var((1, 2, 3, 4), correction=0, keepdim=True)
        normalised[cell] = ((values - values.mean((1, 2, 3, 4), keepdim=True)) / (variance + 1e-6).sqrt()).float()
    everywhere = torch.ones(2, 2, 2, 2, dtype=torch.bool)
    assert masked_l2(normalised, image, everywhere).item() < 1e-10
    torch.testing.assert_close(denormalise_cells(image, normalised, (2, 2, 2)), image, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_nothing_missing_changes_nothing(batch_dice: bool) -> None:
    logits, labels = random_logits_and_labels(4)
    plain = dice_ce(logits, labels, batch_dice=batch_dice)
    assert torch.equal(plain, dice_ce(logits, labels, torch.zeros(2, 3, dtype=torch.bool), batch_dice=batch_dice))


def test_a_missing_structure_by_hand() -> None:
    """Two patches of two voxels, two structures; the second patch doesn't contour structure 2."""
    first, second = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [[0.2, 0.2, 0.6], [0.3, 0.6, 0.1]]
    logits = torch.tensor([first, second]).log().movedim(-1, 1)[..., None, None].requires_grad_()
    labels = torch.tensor([[0, 2], [0, 1]])[..., None, None]
    missing = torch.tensor([[False, False], [False, True]])
    dice_1 = 0 / 0.5, 2 * 0.6 / (1 + 0.8)  # of structure 1 in each patch
    dice_2 = 2 * 0.7 / (1 + 0.9)
    of_patches = (1 - dice_1[0] + 1 - dice_2) / 2, 1 - dice_1[1]
    cross_entropy = -np.log([0.5, 0.7, 0.2 + 0.6, 0.6]).mean()
    result = dice_ce(logits, labels, missing)
    assert result.item() == pytest.approx(np.mean(of_patches) + cross_entropy, abs=1e-4)
    pooled = 1 - 2 * 0.6 / (1 + 0.5 + 0.8), 1 - dice_2  # structure 2 in the first patch alone
    assert dice_ce(logits, labels, missing, batch_dice=True).item() == pytest.approx(
        np.mean(pooled) + cross_entropy, abs=1e-4
    )


def test_an_unknown_structure_is_not_pushed_away() -> None:
    """In a voxel labelled background the gradient doesn't distinguish background and missing structure."""
    logits = torch.zeros(1, 3, 1, 1, 1, requires_grad=True)
    labels = torch.zeros(1, 1, 1, 1)
    dice_ce(logits, labels, torch.tensor([[False, True]])).backward()
    assert logits.grad is not None
    background, _, missing = logits.grad.flatten()
    assert background == missing
    assert missing < 0
