"""Which mask cells the network sees, drawn at random."""

import torch

from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.sparse.active_blocks import ActiveBlocks


def draw_active_blocks(batch: int, grid: Triple, ratio: float, generator: torch.Generator) -> ActiveBlocks:
    """Mask exactly round(ratio × cells) cells of every sample, each choice of cells as likely as any other.

    Args:
        batch: samples.
        grid: mask cells along (z, y, x); ``Encoder.deepest_grid`` of the patch.
        ratio: share of cells to mask, at least 0 and below 1; the paper's is 0.6.
        generator: draws the cells, on its own device.

    Raises:
        BadInput: where ``ratio`` is out of range or leaves no cell active.
    """
    cells = grid[0] * grid[1] * grid[2]
    masked = round(ratio * cells)
    if not 0 <= ratio < 1 or masked == cells:
        raise BadInput(
            f"A mask ratio of {ratio} masks {masked} of {cells} cells; "
            "expected at least 0 and low enough to leave one cell active."
        )
    order = torch.rand(batch, cells, generator=generator, device=generator.device).argsort(1)
    mask = torch.ones(batch, cells, dtype=torch.bool, device=generator.device)
    mask.scatter_(1, order[:, :masked], False)
    return ActiveBlocks(mask.view(batch, *grid))
