"""Norm of the rows of all segments at once, for devices on which each call costs time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gynbtnet.sparse.kernels.interfaces import Moments
from gynbtnet.sparse.kernels.norm_by_segment import NormBySegment, activate_, activation_gradient_
from gynbtnet.sparse.packed import as_accumulator


@dataclass(frozen=True)
class NormAtOnce:
    """A few operators for all segments of equal length, as those of a batch of random masks are.

    Segments of unequal lengths, and a single segment, are computed by PyTorch's batch norm. All arithmetic is in single
    precision or better, and each value is rounded once.

    Attributes:
        values_per_chunk: Values that are converted to single precision at a time; a chunk contains whole segments.
    """

    values_per_chunk: int

    def forward(
        self,
        rows: Tensor,
        segments: Sequence[int],
        weight: Tensor,
        bias: Tensor,
        eps: float,
        out: Tensor,
        *,
        slope: float = 1.0,
        shortcut: Tensor | None = None,
    ) -> Moments:
        """Write the result for the rows' own moments into ``out``, and return these moments."""
        if not _are_regular(segments):
            return NormBySegment().forward(rows, segments, weight, bias, eps, out, slope=slope, shortcut=shortcut)
        statistics = [
            torch.var_mean(as_accumulator(y), dim=1, correction=0) for _, (y,) in self._chunks(segments, rows)
        ]
        variances, means = zip(*statistics, strict=True)
        moments = torch.cat(means), torch.cat(variances).add_(eps)
        self.apply(rows, segments, moments, weight, bias, out, slope=slope, shortcut=shortcut)
        return moments

    def apply(
        self,
        rows: Tensor,
        segments: Sequence[int],
        moments: Moments,
        weight: Tensor,
        bias: Tensor,
        out: Tensor,
        *,
        slope: float = 1.0,
        shortcut: Tensor | None = None,
    ) -> None:
        """Write the result for given moments into ``out``."""
        if not _are_regular(segments):
            NormBySegment().apply(rows, segments, moments, weight, bias, out, slope=slope, shortcut=shortcut)
            return
        mean, variance = moments
        scale = weight * variance.rsqrt()
        shift = torch.addcmul(bias, mean, scale, value=-1)
        torch.addcmul(shift[:, None], _by_segment(rows, segments), scale[:, None], out=_by_segment(out, segments))
        activate_(out, slope, shortcut)

    def backward(
        self,
        grad: Tensor,
        rows: Tensor,
        segments: Sequence[int],
        moments: Moments,
        weight: Tensor,
        *,
        fixed_moments: bool = False,
        slope: float = 1.0,
        activated: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Replace ``grad``, of the result, by the gradient of ``rows``; return those of weight and bias."""
        if fixed_moments or not _are_regular(segments):
            return NormBySegment().backward(
                *(grad, rows, segments, moments, weight),
                fixed_moments=fixed_moments,
                slope=slope,
                activated=activated,
            )
        activation_gradient_(grad, slope, activated)
        mean, variance = moments
        deviation = variance.rsqrt()
        grad_weights, grad_biases = [], []
        for chunk, (g, y) in self._chunks(segments, grad, rows):
            grad_bias = g.sum(1, dtype=weight.dtype)
            # as if the norm's result were normalised values: Σ g · (y − mean) / deviation
            centred = torch.sub(y, mean[chunk, None])
            grad_weight = centred.mul_(g).sum(1) * deviation[chunk]
            scale = weight * deviation[chunk]
            slope_of_rows = scale * deviation[chunk] * grad_weight / -segments[0]
            constant = scale * grad_bias / -segments[0] - slope_of_rows * mean[chunk]
            torch.addcmul(constant[:, None], y, slope_of_rows[:, None], out=centred)
            torch.addcmul(centred, g, scale[:, None], out=g)
            grad_weights.append(grad_weight.sum(0))
            grad_biases.append(grad_bias.sum(0))
        return torch.stack(grad_weights).sum(0), torch.stack(grad_biases).sum(0)

    def _chunks(self, segments: Sequence[int], *tensors: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
        """Yield ranges of some segments, and views (segments, rows, C) of these of each tensor of rows."""
        by_segment = [_by_segment(rows, segments) for rows in tensors]
        size = max(1, self.values_per_chunk // by_segment[0][0].numel())
        for start in range(0, len(segments), size):
            chunk = slice(start, start + size)
            yield chunk, [rows[chunk] for rows in by_segment]


def _are_regular(segments: Sequence[int]) -> bool:
    """Return whether there are several segments, of equal length."""
    return len(segments) > 1 and len(set(segments)) == 1


def _by_segment(rows: Tensor, segments: Sequence[int]) -> Tensor:
    """Return a view (segments, rows of each, C)."""
    return rows.view(len(segments), segments[0], rows.shape[1])
