"""3×3×3 convolution of packed blocks as one matrix product: for small blocks on devices with much memory.

The 27 input rows of each output row are gathered side by side and multiplied by the whole weight. The product sums all
taps and channels in single precision and rounds once. Taps on masked blocks or outside the volume read the row of
zeros.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.kernels.tile_convolution import flip
from gynbtnet.sparse.packed import as_accumulator


@dataclass(frozen=True)
class GatheredConvolution:
    """One product of rows of 27·C values.

    Attributes:
        values_per_chunk: Values that are gathered at a time.
    """

    values_per_chunk: int

    def forward(
        self, padded: Tensor, weight: Tensor, bias: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return rows (N·V / stride, C_out) for padded rows (N·V + 1, C_in)."""
        table = active.taps(block, stride)
        result = padded.new_empty(len(table), len(weight))
        matrix = _matrix(weight).t()
        for chunk, rows in self._gathered(padded, table):
            torch.addmm(bias, rows, matrix, out=result[chunk])
        return result

    def weight_gradient(
        self, grad: Tensor, padded: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> Tensor:
        """Return the weight's gradient, from the padded gradient of the output."""
        total: Tensor | None = None
        for chunk, rows in self._gathered(padded, active.taps(block, stride)):
            part = grad[:-1][chunk].t() @ rows
            total = as_accumulator(part) if total is None else total.add_(part)
        assert total is not None  # an ActiveBlocks is never empty
        out_channels, in_channels = weight.shape[:2]
        return total.to(padded.dtype).view(out_channels, 3, 3, 3, in_channels).movedim(-1, 1)

    def add_input_gradient(
        self, grad_input: Tensor, grad: Tensor, weight: Tensor, active: ActiveBlocks, block: Triple, stride: Triple
    ) -> None:
        """Add the input's gradient to ``grad_input`` (N·V, C_in), from the padded gradient of the output.

        At stride 1 it is a convolution with the flipped weight. Otherwise the products of all taps are computed, and
        each input row gathers those of the taps that read it.
        """
        if set(stride) == {1}:
            matrix = _matrix(flip(weight)).t()
            for chunk, rows in self._gathered(grad, active.taps(block, stride)):
                grad_input[chunk].addmm_(rows, matrix)
            return
        products = (grad @ _matrix(weight)).view(-1, weight.shape[1])
        table = active.readers(block, stride)
        rows_per_chunk = max(1, self.values_per_chunk // (table.shape[1] * weight.shape[1]))
        for start in range(0, len(table), rows_per_chunk):
            chunk = slice(start, start + rows_per_chunk)
            rows = products.index_select(0, table[chunk].flatten())
            grad_input[chunk] += rows.view(-1, table.shape[1], weight.shape[1]).sum(1)

    def _gathered(self, padded: Tensor, table: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield ranges of some output rows and the rows (n, 27·C) that they read."""
        values = table.shape[1] * padded.shape[1]
        rows = max(1, self.values_per_chunk // values)
        for start in range(0, len(table), rows):
            chunk = slice(start, start + rows)
            yield chunk, padded.index_select(0, table[chunk].flatten()).view(-1, values)


def _matrix(weight: Tensor) -> Tensor:
    """Return the weight as (C_out, 27·C_in); a view if it is stored channels last."""
    return weight.movedim(1, -1).reshape(len(weight), -1)
