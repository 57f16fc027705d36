"""Loss for structures that overlap: Dice and binary cross-entropy of one sigmoid per structure."""

import torch
from torch import Tensor
from torch.nn import functional

_SMOOTH = 1e-5  # as in MONAI and nnU-Net: a structure absent from truth and prediction has no loss


def dice_bce(
    logits: Tensor, labels: Tensor, membership: Tensor, missing: Tensor | None = None, *, batch_dice: bool = False
) -> Tensor:
    """Return soft Dice loss plus binary cross-entropy, both of the sigmoid, with equal weights.

    The result equals MONAI's ``DiceLoss(sigmoid=True)`` plus PyTorch's ``BCEWithLogitsLoss``; nnU-Net's loss for
    regions has the same two terms. A structure that is missing from a scan's labels is unknown, not absent, and is
    excluded from both terms.

    Args:
        logits: (batch, structures, z, y, x).
        labels: map of combinations (batch, z, y, x), integers of any type.
        membership: (labels, structures), True for the structures of each label; the first row is the background.
        missing: (batch, structures), True for a structure that is missing from the patch's labels; None if none is.
        batch_dice: compute the overlap over the whole batch instead of per patch.

    Returns:
        The mean over patches of the mean over their known structures of 1 − Dice plus cross-entropy. It is the mean of
        the losses of single patches, unless ``batch_dice`` is set.
    """
    values = logits.flatten(2).float()
    truth = membership[labels.long().flatten(1)].transpose(1, 2).to(values.dtype)
    known = values.new_ones(values.shape[:2])
    if missing is not None:
        known.copy_(~missing, non_blocking=True)
    cross_entropy = functional.binary_cross_entropy_with_logits(values, truth, reduction="none").mean(2)
    probabilities = values.sigmoid()
    # double: a running float32 sum over two million voxels would drift
    overlap = (probabilities * truth).sum(2, dtype=torch.double)
    total = probabilities.sum(2, dtype=torch.double) + truth.sum(2, dtype=torch.double)
    weights = known.double()
    if batch_dice:
        overlap, total = ((value * weights).sum(0, keepdim=True) for value in (overlap, total))
        weights = weights.amax(0, keepdim=True)
    dice = (2 * overlap + _SMOOTH) / (total + _SMOOTH)
    dice_loss = (((1 - dice) * weights).sum(1) / weights.sum(1).clamp(min=1)).mean().float()
    return dice_loss + ((cross_entropy * known).sum(1) / known.sum(1).clamp(min=1)).mean()
