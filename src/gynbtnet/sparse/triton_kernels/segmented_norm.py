"""Norm, shortcut and activation of the rows of all segments, in three kernels forward and three backward.

Rows are divided into chunks of one segment each, so that segments may have any lengths. The first kernel computes
moments or sums per chunk, the second combines them per segment, the third changes the rows. All arithmetic is in single
precision, and each value is rounded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from gynbtnet.sparse.kernels.interfaces import Moments, NormKernels

ROWS_PER_CHUNK = 1024
"""Rows of a chunk, unless that would be more than :data:`MOST_CHUNKS` chunks."""
MOST_CHUNKS = 4096
VALUES_PER_TILE = 4096
"""Values that one program has in registers per tensor."""
CHUNKS_PER_TILE = 32
"""Chunks that are combined at a time."""


@dataclass(frozen=True)
class SegmentedNorm:
    """LeakyReLU(norm(rows) + shortcut) with a mean and a variance per segment.

    Attributes:
        in_double: Implementation in double precision, which only checks need.
        rows_per_chunk: Rows of a chunk, unless that would be more than :data:`MOST_CHUNKS` chunks.
    """

    in_double: NormKernels
    rows_per_chunk: int = ROWS_PER_CHUNK

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
        if rows.dtype == torch.float64:
            return self.in_double.forward(rows, segments, weight, bias, eps, out, slope=slope, shortcut=shortcut)
        chunks = self._chunks(rows, segments)
        partial = weight.new_empty(2, len(chunks), len(weight))
        mean, variance = weight.new_empty(2, len(segments), len(weight))
        with torch.cuda.device_of(rows):
            _moments_of_chunks[chunks.grid](rows.contiguous(), chunks.bounds, *partial, *chunks.shape)
            _combine_moments[chunks.grid_of_segments](
                *partial, chunks.bounds, chunks.first, mean, variance, eps, *chunks.shape_of_segments
            )
        moments = mean, variance
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
        if rows.dtype == torch.float64:
            self.in_double.apply(rows, segments, moments, weight, bias, out, slope=slope, shortcut=shortcut)
            return
        chunks = self._chunks(rows, segments)
        rows, target = rows.contiguous(), out.contiguous()
        added = rows if shortcut is None else shortcut.contiguous()
        with torch.cuda.device_of(rows):
            _apply[chunks.grid](
                *(rows, added, chunks.bounds, *_contiguous(moments), weight, bias, target, slope),
                *(shortcut is not None, slope != 1, *chunks.shape),
            )
        if target is not out:
            out.copy_(target)

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
        if rows.dtype == torch.float64:
            return self.in_double.backward(
                *(grad, rows, segments, moments, weight),
                fixed_moments=fixed_moments,
                slope=slope,
                activated=activated,
            )
        assert slope == 1 or activated is not None, "the gradient of LeakyReLU needs its result"
        chunks = self._chunks(rows, segments)
        partial = weight.new_empty(2, len(chunks), len(weight))
        sums = weight.new_empty(2, len(segments), len(weight))
        target, rows = grad.contiguous(), rows.contiguous()
        result = rows if activated is None else activated.contiguous()
        statistics = _contiguous(moments)
        with torch.cuda.device_of(rows):
            _sums_of_chunks[chunks.grid](
                target, rows, result, chunks.bounds, *statistics, *partial, slope, slope != 1, *chunks.shape
            )
            _combine_sums[chunks.grid_of_segments](*partial, chunks.first, *sums, *chunks.shape_of_segments)
            _gradient_of_rows[chunks.grid](
                *(target, rows, result, chunks.bounds, chunks.lengths, *statistics, *sums, weight, slope),
                *(slope != 1, fixed_moments, *chunks.shape),
            )
        if target is not grad:
            grad.copy_(target)
        grad_weight, grad_bias = sums.sum(1)
        return grad_weight, grad_bias

    def _chunks(self, rows: Tensor, segments: Sequence[int]) -> "_Chunks":
        return _divide(tuple(segments), rows.shape[1], self.rows_per_chunk, rows.device)


@dataclass(frozen=True)
class _Chunks:
    """Division of rows into chunks of one segment each.

    Attributes:
        bounds: int64 (chunks, 3): first row, end, and segment of each chunk.
        first: int32 (segments + 1,): first chunk of each segment, and the number of chunks.
        lengths: Single precision (segments,): rows of each segment.
        channels: Number of channels.
    """

    bounds: Tensor
    first: Tensor
    lengths: Tensor
    channels: int

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, and rows and channels of a tile."""
        width = min(128, triton.next_power_of_2(self.channels))
        return self.channels, max(16, VALUES_PER_TILE // width), width

    @property
    def shape_of_segments(self) -> tuple[int, int, int]:
        """Channels, and chunks and channels of a tile, for the kernels that combine chunks."""
        return self.channels, CHUNKS_PER_TILE, self.shape[2]

    @property
    def grid(self) -> tuple[int, int]:
        """Number of programs: chunks, tiles of channels."""
        return len(self), triton.cdiv(self.channels, self.shape[2])

    @property
    def grid_of_segments(self) -> tuple[int, int]:
        """Number of programs: segments, tiles of channels."""
        return len(self.lengths), self.grid[1]


@lru_cache(maxsize=64)
def _divide(segments: tuple[int, ...], channels: int, rows_per_chunk: int, device: torch.device) -> _Chunks:
    """Return chunks of about equal size; the tables are sent without waiting for the device's earlier work."""
    rows = max(rows_per_chunk, triton.cdiv(sum(segments), MOST_CHUNKS))
    bounds, first = [], [0]
    for segment, (start, stop) in enumerate(pairwise(accumulate(segments, initial=0))):
        bounds += [(row, min(row + rows, stop), segment) for row in range(start, stop, rows)]
        first.append(len(bounds))
    return _Chunks(
        _sent(torch.tensor(bounds), device),
        _sent(torch.tensor(first, dtype=torch.int32), device),
        _sent(torch.tensor(segments, dtype=torch.float32), device),
        channels,
    )


def _sent(table: Tensor, device: torch.device) -> Tensor:
    """Return a table on the device, without waiting for the device."""
    return (table.pin_memory() if device.type == "cuda" else table).to(device, non_blocking=True)


def _contiguous(moments: Moments) -> Moments:
    mean, variance = moments
    return mean.contiguous(), variance.contiguous()


@triton.jit
def _moments_of_chunks(x_ptr, bounds_ptr, mean_ptr, squares_ptr, C: tl.constexpr, R: tl.constexpr, W: tl.constexpr):
    """Write the mean of each chunk and channel, and the sum of squared differences from it."""
    chunk = tl.program_id(0)
    start, stop = tl.load(bounds_ptr + 3 * chunk), tl.load(bounds_ptr + 3 * chunk + 1)
    channel = tl.program_id(1) * W + tl.arange(0, W)
    total = tl.zeros((W,), tl.float32)
    for first in range(start, stop, R):
        row = first + tl.arange(0, R)
        exists = (row < stop)[:, None] & (channel < C)[None, :]
        x = tl.load(x_ptr + row[:, None] * C + channel[None, :], mask=exists, other=0.0).to(tl.float32)
        total += tl.sum(x, 0)
    mean = total / (stop - start).to(tl.float32)
    squares = tl.zeros((W,), tl.float32)
    for first in range(start, stop, R):
        row = first + tl.arange(0, R)
        exists = (row < stop)[:, None] & (channel < C)[None, :]
        x = tl.load(x_ptr + row[:, None] * C + channel[None, :], mask=exists, other=0.0).to(tl.float32)
        difference = tl.where(exists, x - mean[None, :], 0.0)
        squares += tl.sum(difference * difference, 0)
    tl.store(mean_ptr + chunk * C + channel, mean, mask=channel < C)
    tl.store(squares_ptr + chunk * C + channel, squares, mask=channel < C)


@triton.jit
def _combine_moments(
    means_ptr,
    squares_ptr,
    bounds_ptr,
    first_ptr,
    mean_ptr,
    variance_ptr,
    eps,
    C: tl.constexpr,
    R: tl.constexpr,
    W: tl.constexpr,
):
    """Write the mean and the variance plus epsilon of each segment, from those of its chunks."""
    segment = tl.program_id(0)
    start, stop = tl.load(first_ptr + segment), tl.load(first_ptr + segment + 1)
    channel = tl.program_id(1) * W + tl.arange(0, W)
    total = tl.zeros((W,), tl.float32)
    rows = tl.zeros((R,), tl.float32)
    for first in range(start, stop, R):
        chunk = first + tl.arange(0, R)
        begin = tl.load(bounds_ptr + 3 * chunk, mask=chunk < stop, other=0)
        count = (tl.load(bounds_ptr + 3 * chunk + 1, mask=chunk < stop, other=0) - begin).to(tl.float32)
        exists = (chunk < stop)[:, None] & (channel < C)[None, :]
        mean = tl.load(means_ptr + chunk[:, None] * C + channel[None, :], mask=exists, other=0.0)
        total += tl.sum(mean * count[:, None], 0)
        rows += count
    length = tl.sum(rows, 0)
    mean_of_segment = total / length
    squares = tl.zeros((W,), tl.float32)
    for first in range(start, stop, R):
        chunk = first + tl.arange(0, R)
        begin = tl.load(bounds_ptr + 3 * chunk, mask=chunk < stop, other=0)
        count = (tl.load(bounds_ptr + 3 * chunk + 1, mask=chunk < stop, other=0) - begin).to(tl.float32)
        exists = (chunk < stop)[:, None] & (channel < C)[None, :]
        mean = tl.load(means_ptr + chunk[:, None] * C + channel[None, :], mask=exists, other=0.0)
        within = tl.load(squares_ptr + chunk[:, None] * C + channel[None, :], mask=exists, other=0.0)
        difference = mean - mean_of_segment[None, :]
        squares += tl.sum(within + count[:, None] * difference * difference, 0)
    tl.store(mean_ptr + segment * C + channel, mean_of_segment, mask=channel < C)
    tl.store(variance_ptr + segment * C + channel, squares / length + eps, mask=channel < C)


@triton.jit
def _apply(
    x_ptr,
    added_ptr,
    bounds_ptr,
    mean_ptr,
    variance_ptr,
    weight_ptr,
    bias_ptr,
    out_ptr,
    slope,
    ADDS: tl.constexpr,
    ACTIVATES: tl.constexpr,
    C: tl.constexpr,
    R: tl.constexpr,
    W: tl.constexpr,
):
    """Write LeakyReLU(scale · x + shift + shortcut)."""
    chunk = tl.program_id(0)
    start, stop = tl.load(bounds_ptr + 3 * chunk), tl.load(bounds_ptr + 3 * chunk + 1)
    segment = tl.load(bounds_ptr + 3 * chunk + 2)
    channel = tl.program_id(1) * W + tl.arange(0, W)
    mean = tl.load(mean_ptr + segment * C + channel, mask=channel < C, other=0.0)
    variance = tl.load(variance_ptr + segment * C + channel, mask=channel < C, other=1.0)
    scale = tl.load(weight_ptr + channel, mask=channel < C, other=0.0) / tl.sqrt(variance)
    bias = tl.load(bias_ptr + channel, mask=channel < C, other=0.0)
    for first in range(start, stop, R):
        row = first + tl.arange(0, R)
        exists = (row < stop)[:, None] & (channel < C)[None, :]
        at = row[:, None] * C + channel[None, :]
        x = tl.load(x_ptr + at, mask=exists, other=0.0).to(tl.float32)
        y = (x - mean[None, :]) * scale[None, :] + bias[None, :]
        if ADDS:
            y += tl.load(added_ptr + at, mask=exists, other=0.0).to(tl.float32)
        if ACTIVATES:
            y = tl.where(y > 0, y, y * slope)
        tl.store(out_ptr + at, y.to(out_ptr.dtype.element_ty), mask=exists)


@triton.jit
def _sums_of_chunks(
    g_ptr,
    x_ptr,
    result_ptr,
    bounds_ptr,
    mean_ptr,
    variance_ptr,
    with_x_ptr,
    sum_ptr,
    slope,
    ACTIVATES: tl.constexpr,
    C: tl.constexpr,
    R: tl.constexpr,
    W: tl.constexpr,
):
    """Write the sums of each chunk's gradient of the norm's result, with and without normalised values as a factor."""
    chunk = tl.program_id(0)
    start, stop = tl.load(bounds_ptr + 3 * chunk), tl.load(bounds_ptr + 3 * chunk + 1)
    segment = tl.load(bounds_ptr + 3 * chunk + 2)
    channel = tl.program_id(1) * W + tl.arange(0, W)
    mean = tl.load(mean_ptr + segment * C + channel, mask=channel < C, other=0.0)
    variance = tl.load(variance_ptr + segment * C + channel, mask=channel < C, other=1.0)
    with_x = tl.zeros((W,), tl.float32)
    total = tl.zeros((W,), tl.float32)
    for first in range(start, stop, R):
        row = first + tl.arange(0, R)
        exists = (row < stop)[:, None] & (channel < C)[None, :]
        at = row[:, None] * C + channel[None, :]
        g = tl.load(g_ptr + at, mask=exists, other=0.0).to(tl.float32)
        if ACTIVATES:
            result = tl.load(result_ptr + at, mask=exists, other=0.0).to(tl.float32)
            g = tl.where(result > 0, g, g * slope)
        x = tl.load(x_ptr + at, mask=exists, other=0.0).to(tl.float32)
        with_x += tl.sum(g * (x - mean[None, :]), 0)
        total += tl.sum(g, 0)
    tl.store(with_x_ptr + chunk * C + channel, with_x / tl.sqrt(variance), mask=channel < C)
    tl.store(sum_ptr + chunk * C + channel, total, mask=channel < C)


@triton.jit
def _combine_sums(
    with_x_ptr,
    sum_ptr,
    first_ptr,
    with_x_of_segment_ptr,
    sum_of_segment_ptr,
    C: tl.constexpr,
    R: tl.constexpr,
    W: tl.constexpr,
):
    """Write the sums of each segment, from those of its chunks."""
    segment = tl.program_id(0)
    start, stop = tl.load(first_ptr + segment), tl.load(first_ptr + segment + 1)
    channel = tl.program_id(1) * W + tl.arange(0, W)
    with_x = tl.zeros((W,), tl.float32)
    total = tl.zeros((W,), tl.float32)
    for first in range(start, stop, R):
        chunk = first + tl.arange(0, R)
        exists = (chunk < stop)[:, None] & (channel < C)[None, :]
        at = chunk[:, None] * C + channel[None, :]
        with_x += tl.sum(tl.load(with_x_ptr + at, mask=exists, other=0.0), 0)
        total += tl.sum(tl.load(sum_ptr + at, mask=exists, other=0.0), 0)
    tl.store(with_x_of_segment_ptr + segment * C + channel, with_x, mask=channel < C)
    tl.store(sum_of_segment_ptr + segment * C + channel, total, mask=channel < C)


@triton.jit
def _gradient_of_rows(
    g_ptr,
    x_ptr,
    result_ptr,
    bounds_ptr,
    lengths_ptr,
    mean_ptr,
    variance_ptr,
    with_x_ptr,
    sum_ptr,
    weight_ptr,
    slope,
    ACTIVATES: tl.constexpr,
    FIXED: tl.constexpr,
    C: tl.constexpr,
    R: tl.constexpr,
    W: tl.constexpr,
):
    """Replace the gradient of the result by that of the rows."""
    chunk = tl.program_id(0)
    start, stop = tl.load(bounds_ptr + 3 * chunk), tl.load(bounds_ptr + 3 * chunk + 1)
    segment = tl.load(bounds_ptr + 3 * chunk + 2)
    channel = tl.program_id(1) * W + tl.arange(0, W)
    length = tl.load(lengths_ptr + segment)
    mean = tl.load(mean_ptr + segment * C + channel, mask=channel < C, other=0.0)
    deviation = 1.0 / tl.sqrt(tl.load(variance_ptr + segment * C + channel, mask=channel < C, other=1.0))
    scale = tl.load(weight_ptr + channel, mask=channel < C, other=0.0) * deviation
    slope_of_x = tl.load(with_x_ptr + segment * C + channel, mask=channel < C, other=0.0) * deviation / length
    shift = tl.load(sum_ptr + segment * C + channel, mask=channel < C, other=0.0) / length
    for first in range(start, stop, R):
        row = first + tl.arange(0, R)
        exists = (row < stop)[:, None] & (channel < C)[None, :]
        at = row[:, None] * C + channel[None, :]
        g = tl.load(g_ptr + at, mask=exists, other=0.0).to(tl.float32)
        if ACTIVATES:
            result = tl.load(result_ptr + at, mask=exists, other=0.0).to(tl.float32)
            g = tl.where(result > 0, g, g * slope)
        if not FIXED:
            x = tl.load(x_ptr + at, mask=exists, other=0.0).to(tl.float32)
            g = g - shift[None, :] - (x - mean[None, :]) * slope_of_x[None, :]
        tl.store(g_ptr + at, (g * scale[None, :]).to(g_ptr.dtype.element_ty), mask=exists)
