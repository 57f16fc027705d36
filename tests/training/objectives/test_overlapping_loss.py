"""Loss for structures that overlap, compared with MONAI and PyTorch."""

import pytest
import torch
from torch.nn import functional

from gynbtnet.imaging import Regions
from gynbtnet.training.objectives.losses import deeply_supervised
from gynbtnet.training.objectives.overlapping_loss import dice_bce

REGIONS = Regions.of(("hr_ctv", "bladder", "uterus"), [{"hr_ctv", "uterus"}])
MEMBERSHIP = torch.from_numpy(REGIONS.membership)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 6, 5, generator=generator, dtype=torch.double)
    return logits, torch.randint(0, 5, (2, 4, 6, 5), generator=generator)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_equals_monai_and_pytorch(batch_dice: bool) -> None:
    losses = pytest.importorskip("monai.losses")
    logits, labels = batch()
    masks = torch.stack([torch.isin(labels, torch.tensor(own)) for own in REGIONS.labels], 1).double()
    dice = losses.DiceLoss(sigmoid=True, batch=batch_dice, smooth_nr=1e-5, smooth_dr=1e-5)(logits, masks)
    expected = dice + functional.binary_cross_entropy_with_logits(logits, masks)
    assert dice_bce(logits, labels, MEMBERSHIP, batch_dice=batch_dice).item() == pytest.approx(expected.item(), 1e-5)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_a_missing_structure_teaches_nothing(batch_dice: bool) -> None:
    logits, labels = batch()
    logits.requires_grad_()
    missing = torch.tensor([[True, False, False], [False, False, False]])
    loss = dice_bce(logits, labels, MEMBERSHIP, missing, batch_dice=batch_dice)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 0].abs().max() == 0
    assert all(gradient[patch, structure].abs().max() > 0 for patch, structure in ((0, 1), (0, 2), (1, 0)))


def test_a_batch_has_the_mean_loss_of_its_patches() -> None:
    logits, labels = batch()
    missing = torch.tensor([[True, True, False], [False, False, False]])
    parts = [dice_bce(logits[i : i + 1], labels[i : i + 1], MEMBERSHIP, missing[i : i + 1]).item() for i in range(2)]
    assert dice_bce(logits, labels, MEMBERSHIP, missing).item() == pytest.approx(sum(parts) / 2)


def test_patches_without_any_known_structure_have_no_loss() -> None:
    logits, labels = batch()
    assert dice_bce(logits, labels, MEMBERSHIP, torch.ones(2, 3, dtype=torch.bool)).item() == 0


def test_levels_of_the_decoder_are_weighted() -> None:
    logits, labels = batch()
    coarse = torch.randn(2, 3, 2, 3, 5, dtype=torch.double)
    small = functional.interpolate(labels[:, None].float(), coarse.shape[2:], mode="nearest-exact")[:, 0]
    expected = 2 / 3 * dice_bce(logits, labels, MEMBERSHIP) + 1 / 3 * dice_bce(coarse, small, MEMBERSHIP)
    loss = deeply_supervised([logits, coarse], labels, membership=MEMBERSHIP)
    assert loss.item() == pytest.approx(expected.item(), 1e-6)
