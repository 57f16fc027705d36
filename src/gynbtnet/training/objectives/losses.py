"""Losses: Dice and cross-entropy for segmentation, squared error for masked modelling."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gynbtnet.training.objectives.overlapping_loss import dice_bce

_SMOOTH = 1e-5  # as in MONAI and nnU-Net: a structure absent from truth and prediction has no loss


def dice_ce(logits: Tensor, labels: Tensor, missing: Tensor | None = None, *, batch_dice: bool = False) -> Tensor:
    """Return soft Dice loss plus cross-entropy, both of the softmax, with equal weights.

    The background counts only in the cross-entropy. The result equals MONAI's ``DiceCELoss(softmax=True,
    to_onehot_y=True, include_background=False)``, but no one-hot array is created. All arrays except the softmax have
    one value per voxel, so that 105 channels fit into memory.

    A structure that is missing from a scan's labels is unknown, not absent: its voxels are labelled background. For
    such a patch its probability is added to that of the background (the marginal loss of Shi et al. 2021, Medical Image
    Analysis 70, 101979), and its Dice is excluded from the mean.

    Args:
        logits: (batch, channels, z, y, x); channel 0 is the background.
        labels: (batch, z, y, x), integers of any type below ``channels``.
        missing: (batch, channels − 1), True for a structure that is missing from the patch's labels; None if none is.
            Give it on the CPU, which reads it.
        batch_dice: compute the overlap over the whole batch instead of per patch.

    Returns:
        The mean over patches of the mean over their structures of 1 − Dice, plus the mean cross-entropy over voxels.
    """
    index = labels.long().flatten(1)
    log_probabilities = functional.log_softmax(logits.flatten(2).float(), dim=1)
    true_log_probabilities = log_probabilities.gather(1, index[:, None])[:, 0]
    probabilities = log_probabilities.exp()
    # double: a running float32 sum over two million voxels would drift
    overlap = _by_label(true_log_probabilities.exp().double(), index, logits.shape[1])
    truth = _by_label(torch.ones_like(overlap[:, :1]).expand_as(index), index, logits.shape[1])
    predicted = probabilities.sum(2)
    known = torch.ones_like(overlap)
    if missing is not None and missing.any():
        known[:, 1:].copy_(~missing, non_blocking=True)
        background = _background_or_missing(log_probabilities, missing)
        true_log_probabilities = torch.where(index == 0, background, true_log_probabilities)
    if batch_dice:
        overlap, truth, predicted = ((value * known).sum(0, keepdim=True) for value in (overlap, truth, predicted))
        known = known.amax(0, keepdim=True)
    dice = (2 * overlap + _SMOOTH) / (truth + predicted + _SMOOTH)
    losses, known = ((1 - dice) * known)[:, 1:], known[:, 1:]
    return (losses.sum(1) / known.sum(1).clamp(min=1)).mean().float() - true_log_probabilities.mean()


def _background_or_missing(log_probabilities: Tensor, missing: Tensor) -> Tensor:
    """Return the log probability (batch, voxels) of background and missing structures together."""
    channels = [torch.tensor([0, *(1 + structures.nonzero()[:, 0]).tolist()]) for structures in missing]
    merged = [
        patch.index_select(0, chosen.to(patch.device, non_blocking=True)).logsumexp(0)
        for patch, chosen in zip(log_probabilities, channels, strict=True)
    ]
    return torch.stack(merged)


def _by_label(values: Tensor, index: Tensor, channels: int) -> Tensor:
    """Return the sums (batch, channels) of ``values`` (batch, voxels) over the voxels of each label."""
    return sums_by_label(values, index, channels, 1024 if values.is_cuda else 1)


def sums_by_label(values: Tensor, index: Tensor, channels: int, slots: int) -> Tensor:
    """Return the sums over the voxels of each label, computed as ``slots`` partial sums.

    Neighbouring voxels add to different partial sums. On a GPU all voxels are added in parallel, and those of one label
    would wait for each other at a single address.

    Args:
        values: (batch, voxels).
        index: label of each voxel, (batch, voxels).
        channels: number of labels.
        slots: number of partial sums per label.

    Returns:
        Sums, (batch, channels).
    """
    if slots > 1:
        index = index + channels * (torch.arange(index.shape[1], device=index.device) % slots)
    sums = values.new_zeros(len(values), slots * channels).scatter_add(1, index, values)
    return sums.view(len(values), slots, channels).sum(1)


def deeply_supervised(
    logits: Sequence[Tensor],
    labels: Tensor,
    missing: Tensor | None = None,
    *,
    batch_dice: bool = False,
    coarsest: bool = True,
    membership: Tensor | None = None,
) -> Tensor:
    """Return the weighted mean of the loss over the decoder levels, with weights 1, 1/2, 1/4 … from the finest.

    Args:
        logits: logits of each level, finest first, (batch, channels, z, y, x).
        labels: (batch, z, y, x); they are resampled to each level by nearest neighbour.
        missing: as for :func:`dice_ce`.
        batch_dice: as for :func:`dice_ce`.
        coarsest: if False, the coarsest level has weight 0, as in nnU-Net's ``_build_loss``; a single level always
            counts.
        membership: structures of each label if they overlap, see
            :func:`~gynbtnet.training.objectives.overlapping_loss.dice_bce`; None: :func:`dice_ce` of labels that
            exclude each other.

    Returns:
        The loss, one number.
    """
    if not coarsest and len(logits) > 1:
        logits = logits[:-1]
    weights = [0.5**level for level in range(len(logits))]
    losses = [
        segmentation_loss(level, _labels_like(labels, level), missing, batch_dice=batch_dice, membership=membership)
        for level in logits
    ]
    return torch.stack([weight / sum(weights) * loss for weight, loss in zip(weights, losses, strict=True)]).sum()


def segmentation_loss(
    logits: Tensor, labels: Tensor, missing: Tensor | None, *, batch_dice: bool, membership: Tensor | None
) -> Tensor:
    """Return the loss of one level: :func:`dice_ce`, or of overlapping structures ``dice_bce``."""
    if membership is None:
        return dice_ce(logits, labels, missing, batch_dice=batch_dice)
    return dice_bce(logits, labels, membership, missing, batch_dice=batch_dice)


def _labels_like(labels: Tensor, logits: Tensor) -> Tensor:
    if labels.shape[1:] == logits.shape[2:]:
        return labels
    return functional.interpolate(labels[:, None].float(), logits.shape[2:], mode="nearest-exact")[:, 0]


SPARK_EPSILON = 1e-6
"""Addition to the variance of a cell in SparK (Tian et al. 2023), in squared units of the normalised image."""


def masked_l2(
    reconstruction: Tensor,
    image: Tensor,
    masked: Tensor,
    *,
    normalise: bool = True,
    epsilon: Tensor | float = SPARK_EPSILON,
) -> Tensor:
    """Return the mean squared error over the masked cells.

    Args:
        reconstruction: (batch, channels, z, y, x).
        image: scan before masking, with the same shape.
        masked: (batch, cells along z, y, x), True in cells hidden from the network; the grid must divide the patch.
            Give it on the CPU: another device has to finish its work before the number of cells is known.
        normalise: use (x − mean) / sqrt(variance + epsilon) of each cell as the target, so that texture counts equally
            in fat and in bone (He et al. 2022, section 3; Tian et al. 2023, section 3.3).
        epsilon: addition to the variance of each cell, one number or (batch, channels).

    Returns:
        The loss, one number.

    Raises:
        ValueError: If the grid of cells doesn't divide the patch.
    """
    cells = masked.cpu().flatten().nonzero().squeeze(1).to(image.device, non_blocking=True)
    grid = masked.shape[1:]
    target = _cells(image.float(), grid, cells)
    if normalise:
        if isinstance(epsilon, Tensor):
            by_cell = epsilon[:, None].expand(-1, grid.numel(), -1).flatten(0, 1)
            epsilon = by_cell.index_select(0, cells)[..., None]
        mean, deviation = _mean_and_deviation(target, (-1,), epsilon)
        target = (target - mean) / deviation
    return functional.mse_loss(_cells(reconstruction.float(), grid, cells), target)


def denormalise_cells(
    image: Tensor, reconstruction: Tensor, grid: Sequence[int], epsilon: Tensor | float = SPARK_EPSILON
) -> Tensor:
    """Return a reconstruction of normalised cells with the mean and standard deviation of the image's cells.

    This is the inverse of the normalisation in :func:`masked_l2`.

    Args:
        image: (batch, channels, z, y, x).
        reconstruction: output of a network that learned normalised cells, with the same shape.
        grid: number of cells along (z, y, x).
        epsilon: as for :func:`masked_l2`.
    """
    if isinstance(epsilon, Tensor):
        epsilon = epsilon.reshape(*epsilon.shape, *(1,) * 6)
    mean, deviation = _mean_and_deviation(_by_cell(image.float(), grid), (3, 5, 7), epsilon)
    return (_by_cell(reconstruction.float(), grid) * deviation + mean).reshape(image.shape)


def _mean_and_deviation(values: Tensor, axes: tuple[int, ...], epsilon: Tensor | float) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(values, dim=axes, keepdim=True, correction=0)
    return mean, torch.sqrt(variance + epsilon)


def _cells(volume: Tensor, grid: Sequence[int], cells: Tensor) -> Tensor:
    """Return the voxels (cells, channels, voxels of a cell) of ``volume`` (batch, channels, z, y, x).

    ``cells`` are indices among the cells of the batch, in (sample, z, y, x) order.
    """
    by_cell = _by_cell(volume, grid).permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(5)
    return by_cell.flatten(0, 3).index_select(0, cells)


def _by_cell(volume: Tensor, grid: Sequence[int]) -> Tensor:
    """Return ``volume`` as (batch, channels, cells along z, voxels of a cell along z, same for y, same for x)."""
    batch, channels, *size = volume.shape
    if any(n % cells for n, cells in zip(size, grid, strict=True)):
        raise ValueError(f"a grid of {tuple(grid)} cells does not divide a patch of {tuple(size)}")
    return volume.reshape(
        batch, channels, *(part for n, cells in zip(size, grid, strict=True) for part in (cells, n // cells))
    )
