"""3×3×3 convolution of packed blocks as an implicit matrix product, for large blocks on a GPU.

The table of neighbouring blocks gives the rows that each output row reads. For each of the 27 taps, a program loads
them and multiplies them by the tap's matrix. No tile is gathered in memory. All taps and channels are summed in
single precision, and each value is rounded once. The input's gradient is the same product with the flipped weight. The
weight's gradient has its own kernel. Each program sums one tap's matrix over a part of the rows. PyTorch sums the
parts, always in the same order.
"""

from dataclasses import dataclass
from math import prod

import torch
import triton
import triton.language as tl
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.kernels.interfaces import ConvolutionKernels

PROGRAMS = 1024
"""Programs among which the rows of a weight's gradient are divided, if there are enough rows."""


@dataclass(frozen=True)
class BlockConvolution:
    """Matrix products that read their rows through the table of neighbouring blocks; for stride 1.

    Attributes:
        in_double: Implementation in double precision, which only checks need.
        rows_per_program: Output rows that one program computes.
    """

    in_double: ConvolutionKernels
    rows_per_program: int = 128

    def forward(
        self, padded: Tensor, weight: Tensor, bias: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return rows (N·V, C_out) for padded rows (N·V + 1, C_in)."""
        if padded.dtype == torch.float64:
            return self.in_double.forward(padded, weight, bias, active, block, stride)
        _check(stride)
        matrices = weight.flatten(2).permute(2, 1, 0).contiguous()
        result = padded.new_empty(len(active) * prod(block), len(weight))
        self._multiply(padded, matrices, bias, result, active, block, add=False)
        return result

    def weight_gradient(
        self, grad: Tensor, padded: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return the weight's gradient, from the padded gradient of the output."""
        if padded.dtype == torch.float64:
            return self.in_double.weight_gradient(grad, padded, weight, active, block, stride)
        _check(stride)
        out_channels, in_channels = weight.shape[:2]
        rows = len(active) * prod(block)
        tile_in, tile_out = _tile(in_channels), _tile(out_channels)
        tiles = triton.cdiv(in_channels, tile_in), triton.cdiv(out_channels, tile_out)
        parts = min(triton.cdiv(rows, self.rows_per_program), triton.cdiv(PROGRAMS, 27 * prod(tiles)))
        rows_per_part = triton.cdiv(triton.cdiv(rows, parts), _ROWS_AT_ONCE) * _ROWS_AT_ONCE
        total = torch.empty(parts, 27, in_channels, out_channels, dtype=torch.float32, device=padded.device)
        with torch.cuda.device_of(padded):
            _weight_gradient[27 * prod(tiles), parts](
                *(padded.contiguous(), grad.contiguous(), total, active.neighbours, rows, len(active), rows_per_part),
                *(in_channels, out_channels, *block, _ROWS_AT_ONCE, tile_in, tile_out),
                *(_precision(), _is_widened(padded)),
            )
        gradient = total.sum(0).to(padded.dtype)
        return gradient.view(3, 3, 3, in_channels, out_channels).permute(4, 3, 0, 1, 2)

    def add_input_gradient(
        self, grad_input: Tensor, grad: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> None:
        """Add the input's gradient to ``grad_input`` (N·V, C_in), from the padded gradient of the output."""
        if grad.dtype == torch.float64:
            self.in_double.add_input_gradient(grad_input, grad, weight, active, block, stride)
            return
        _check(stride)
        matrices = weight.flatten(2).flip(2).permute(2, 0, 1).contiguous()
        self._multiply(grad, matrices, grad_input, grad_input, active, block, add=True)

    def _multiply(
        self,
        padded: Tensor,
        matrices: Tensor,
        bias: Tensor,
        result: Tensor,
        active: ActiveBlocks,
        block: Triple,
        *,
        add: bool,
    ) -> None:
        """Write into ``result``, or add to it, the sum over taps of the rows read by the tap times its matrix."""
        _, in_channels, out_channels = matrices.shape
        tile_in = min(_tile(in_channels), 128 // padded.element_size())
        tile_out = _tile(out_channels)
        with torch.cuda.device_of(padded):
            _multiply_blocks[triton.cdiv(len(result), self.rows_per_program), triton.cdiv(out_channels, tile_out)](
                *(padded.contiguous(), matrices, bias, result, active.neighbours, len(result), len(active)),
                *(in_channels, out_channels, *block, self.rows_per_program, tile_in, tile_out),
                *(add, _precision(), _is_widened(padded)),
            )


_ROWS_AT_ONCE = 64
"""Rows that a program for the weight's gradient multiplies at a time."""


def _tile(channels: int) -> int:
    """Return the channels of a tile: a power of two between 16, the least of a product, and 64."""
    return int(min(64, max(16, triton.next_power_of_2(channels))))


def _check(stride: Triple) -> None:
    if set(stride) != {1}:
        raise ValueError(f"the Triton kernels convolve at stride 1, not {stride}; use another rule for the layer")


def _precision() -> str:
    """Return how single precision is multiplied, as PyTorch's convolutions do it."""
    return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"


def _is_widened(values: Tensor) -> bool:
    """Return whether factors are converted first: Triton's interpreter cannot multiply matrices in bfloat16."""
    return values.dtype == torch.bfloat16 and not values.is_cuda


@triton.jit
def _rows_read(row, exists, tap, neighbours_ptr, blocks, Z: tl.constexpr, Y: tl.constexpr, X: tl.constexpr):
    """Return the input rows that output rows read at a tap, and which of them exist."""
    V: tl.constexpr = Z * Y * X
    block = row // V
    voxel = row % V
    # coordinates plus the block's size, which makes them positive for the division
    z = voxel // (Y * X) + (tap // 9 - 1 + Z)
    y = voxel // X % Y + (tap // 3 % 3 - 1 + Y)
    x = voxel % X + (tap % 3 - 1 + X)
    position = (z // Z) * 9 + (y // Y) * 3 + x // X
    neighbour = tl.load(neighbours_ptr + block * 27 + position, mask=exists, other=blocks)
    voxel_read = ((z % Z) * Y + y % Y) * X + x % X
    return neighbour.to(tl.int64) * V + voxel_read, exists & (neighbour < blocks)


@triton.jit
def _multiply_blocks(
    rows_ptr,
    matrices_ptr,
    bias_ptr,
    result_ptr,
    neighbours_ptr,
    rows,
    blocks,
    C_IN: tl.constexpr,
    C_OUT: tl.constexpr,
    Z: tl.constexpr,
    Y: tl.constexpr,
    X: tl.constexpr,
    R: tl.constexpr,
    K: tl.constexpr,
    W: tl.constexpr,
    ADD: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Compute R rows and W channels of the result."""
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.program_id(1) * W + tl.arange(0, W)
    total = tl.zeros((R, W), tl.float32)
    steps: tl.constexpr = (C_IN + K - 1) // K
    for step in range(27 * steps):  # one loop, which Triton's compiler can pipeline
        tap = step // steps
        read, exists = _rows_read(row, row < rows, tap, neighbours_ptr, blocks, Z, Y, X)
        channel = step % steps * K + tl.arange(0, K)
        at = read[:, None] * C_IN + channel[None, :]
        x = tl.load(rows_ptr + at, mask=exists[:, None] & (channel < C_IN)[None, :], other=0.0)
        at = (tap * C_IN + channel)[:, None] * C_OUT + column[None, :]
        w = tl.load(matrices_ptr + at, mask=(channel < C_IN)[:, None] & (column < C_OUT)[None, :], other=0.0)
        if WIDEN:
            x = x.to(tl.float32)
            w = w.to(tl.float32)
        total = tl.dot(x, w, total, input_precision=PRECISION)
    at = row.to(tl.int64)[:, None] * C_OUT + column[None, :]
    exists = (row < rows)[:, None] & (column < C_OUT)[None, :]
    if ADD:
        total += tl.load(result_ptr + at, mask=exists, other=0.0).to(tl.float32)
    else:
        total += tl.load(bias_ptr + column, mask=column < C_OUT, other=0.0).to(tl.float32)[None, :]
    tl.store(result_ptr + at, total.to(result_ptr.dtype.element_ty), mask=exists)


@triton.jit
def _weight_gradient(
    rows_ptr,
    grad_ptr,
    total_ptr,
    neighbours_ptr,
    rows,
    blocks,
    rows_per_part,
    C_IN: tl.constexpr,
    C_OUT: tl.constexpr,
    Z: tl.constexpr,
    Y: tl.constexpr,
    X: tl.constexpr,
    R: tl.constexpr,
    K: tl.constexpr,
    W: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Sum K input and W output channels of one tap's matrix over one part of the rows."""
    tiles_out: tl.constexpr = (C_OUT + W - 1) // W
    tiles: tl.constexpr = tiles_out * ((C_IN + K - 1) // K)
    tap = tl.program_id(0) // tiles
    tile = tl.program_id(0) % tiles
    channel = tile // tiles_out * K + tl.arange(0, K)
    column = tile % tiles_out * W + tl.arange(0, W)
    part = tl.program_id(1)
    total = tl.zeros((K, W), tl.float32)
    for first in range(part * rows_per_part, tl.minimum((part + 1) * rows_per_part, rows), R):
        row = first + tl.arange(0, R)
        read, exists = _rows_read(row, row < rows, tap, neighbours_ptr, blocks, Z, Y, X)
        at = read[None, :] * C_IN + channel[:, None]
        x = tl.load(rows_ptr + at, mask=exists[None, :] & (channel < C_IN)[:, None], other=0.0)
        at = row.to(tl.int64)[:, None] * C_OUT + column[None, :]
        g = tl.load(grad_ptr + at, mask=(row < rows)[:, None] & (column < C_OUT)[None, :], other=0.0)
        if WIDEN:
            x = x.to(tl.float32)
            g = g.to(tl.float32)
        total = tl.dot(x, g, total, input_precision=PRECISION)
    at = ((part * 27 + tap) * C_IN + channel)[:, None] * C_OUT + column[None, :]
    tl.store(total_ptr + at, total, mask=(channel < C_IN)[:, None] & (column < C_OUT)[None, :])
