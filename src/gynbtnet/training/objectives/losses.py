"""What the network is asked to make small."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_SMOOTH = 1e-5  # MONAI's and nnU-Net's: a structure absent from truth and prediction costs nothing


def dice_ce(logits: Tensor, labels: Tensor, missing: Tensor | None = None, *, batch_dice: bool = False) -> Tensor:
    """Soft Dice loss plus cross-entropy, both of the softmax, weighted equally.

    The background counts in the cross-entropy alone. Equal to MONAI's ``DiceCELoss(softmax=True, to_onehot_y=True,
    include_background=False)``, but without a one-hot array: beside the softmax itself only arrays with one value a
    voxel are made, so that 105 channels fit.

    A structure that a scan's labels leave out is unknown there, not absent: its voxels are among those labelled
    background. Its probability is added to the background's for that patch (the marginal loss of Shi et al. 2021,
    Medical Image Analysis 70, 101979), and its Dice is left out of the mean.

    Args:
        logits: (batch, channels, z, y, x), channel 0 the background.
        labels: (batch, z, y, x), integers of any type below ``channels``.
        missing: (batch, channels − 1), True for a structure that the patch's labels leave out; None where none is.
        batch_dice: take the overlap over the whole batch, not of each patch.

    Returns:
        The mean over patches of the mean over their structures of 1 − Dice, plus the mean cross-entropy over voxels.
    """
    index = labels.long().flatten(1)
    log_probabilities = functional.log_softmax(logits.flatten(2).float(), dim=1)
    of_truth = log_probabilities.gather(1, index[:, None])[:, 0]
    probabilities = log_probabilities.exp()
    # double: a running float32 sum over two million voxels would drift
    overlap = _by_label(of_truth.exp().double(), index, logits.shape[1])
    truth = _by_label(torch.ones_like(overlap[:, :1]).expand_as(index), index, logits.shape[1])
    predicted = probabilities.sum(2)
    known = torch.ones_like(overlap)
    if missing is not None and missing.any():
        known[:, 1:] = ~missing
        of_truth = torch.where(index == 0, _background_or_missing(log_probabilities, missing), of_truth)
    if batch_dice:
        overlap, truth, predicted = ((value * known).sum(0, keepdim=True) for value in (overlap, truth, predicted))
        known = known.amax(0, keepdim=True)
    dice = (2 * overlap + _SMOOTH) / (truth + predicted + _SMOOTH)
    losses, known = ((1 - dice) * known)[:, 1:], known[:, 1:]
    return (losses.sum(1) / known.sum(1).clamp(min=1)).mean().float() - of_truth.mean()


def _background_or_missing(log_probabilities: Tensor, missing: Tensor) -> Tensor:
    """Log of the probability (batch, voxels) of background and missing structures together."""
    merged = [
        patch[[0, *(1 + structures.nonzero()[:, 0]).tolist()]].logsumexp(0)
        for patch, structures in zip(log_probabilities, missing, strict=True)
    ]
    return torch.stack(merged)


def _by_label(values: Tensor, index: Tensor, channels: int) -> Tensor:
    """Sums (batch, channels) of ``values`` (batch, voxels) over the voxels of each label."""
    return sums_by_label(values, index, channels, 1024 if values.is_cuda else 1)


def sums_by_label(values: Tensor, index: Tensor, channels: int, slots: int) -> Tensor:
    """As the sums over labels, in ``slots`` partial sums that neighbouring voxels take turns to add to.

    On a GPU all voxels are added at once, and those of one label would wait for one another at one address.
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
) -> Tensor:
    """:func:`dice_ce` of every decoder level, finest first, with weights 1, 1/2, 1/4 … that sum to one.

    ``labels`` (batch, z, y, x) is brought to each level by nearest neighbours. Without ``coarsest`` the last level has
    weight 0, as in nnU-Net's ``_build_loss``; a single level always counts.
    """
    if not coarsest and len(logits) > 1:
        logits = logits[:-1]
    weights = [0.5**level for level in range(len(logits))]
    losses = [dice_ce(level, _labels_like(labels, level), missing, batch_dice=batch_dice) for level in logits]
    return torch.stack([weight / sum(weights) * loss for weight, loss in zip(weights, losses, strict=True)]).sum()


def _labels_like(labels: Tensor, logits: Tensor) -> Tensor:
    if labels.shape[1:] == logits.shape[2:]:
        return labels
    return functional.interpolate(labels[:, None].float(), logits.shape[2:], mode="nearest-exact")[:, 0]


SPARK_EPSILON = 1e-6
"""What SparK (Tian et al. 2023) adds to the variance of a cell, in units of the normalised image, squared."""


def masked_l2(
    reconstruction: Tensor,
    image: Tensor,
    masked: Tensor,
    *,
    normalise: bool = True,
    epsilon: Tensor | float = SPARK_EPSILON,
) -> Tensor:
    """Mean squared error over the masked cells.

    Args:
        reconstruction: (batch, channels, z, y, x).
        image: as ``reconstruction``, the scan before masking.
        masked: (batch, cells along z, y, x), True where the network saw nothing; the grid must divide the patch.
        normalise: take (x − mean) / sqrt(variance + epsilon) of each cell as what is to be reconstructed, so that
            texture counts in fat as it does in bone (He et al. 2022, section 3; Tian et al. 2023, section 3.3).
        epsilon: added to the variance of each cell, one number or (batch, channels).
    """
    target = _cells(image.float(), masked)
    if normalise:
        if isinstance(epsilon, Tensor):
            epsilon = epsilon[:, None, None, None].expand(*masked.shape, -1)[masked][..., None]
        mean, deviation = _mean_and_deviation(target, (-1,), epsilon)
        target = (target - mean) / deviation
    return functional.mse_loss(_cells(reconstruction.float(), masked), target)


def with_contrast_of(
    image: Tensor, reconstruction: Tensor, grid: Sequence[int], epsilon: Tensor | float = SPARK_EPSILON
) -> Tensor:
    """What a network that learned normalised cells says of ``image``: its cells with the image's mean and deviation.

    The inverse of what :func:`masked_l2` normalises; shapes as there, ``grid`` the cells along (z, y, x).
    """
    if isinstance(epsilon, Tensor):
        epsilon = epsilon.reshape(*epsilon.shape, *(1,) * 6)
    mean, deviation = _mean_and_deviation(_by_cell(image.float(), grid), (3, 5, 7), epsilon)
    return (_by_cell(reconstruction.float(), grid) * deviation + mean).reshape(image.shape)


def _mean_and_deviation(values: Tensor, axes: tuple[int, ...], epsilon: Tensor | float) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(values, dim=axes, keepdim=True, correction=0)
    return mean, torch.sqrt(variance + epsilon)


def _cells(volume: Tensor, chosen: Tensor) -> Tensor:
    """Voxels (chosen cells, channels, voxels of a cell) of ``volume`` (batch, channels, z, y, x)."""
    return _by_cell(volume, chosen.shape[1:]).permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(5)[chosen]


def _by_cell(volume: Tensor, grid: Sequence[int]) -> Tensor:
    """``volume`` as (batch, channels, cells along z, voxels of a cell along z, the same for y, and for x)."""
    batch, channels, *size = volume.shape
    if any(n % cells for n, cells in zip(size, grid, strict=True)):
        raise ValueError(f"a grid of {tuple(grid)} cells does not divide a patch of {tuple(size)}")
    return volume.reshape(
        batch, channels, *(part for n, cells in zip(size, grid, strict=True) for part in (cells, n // cells))
    )
