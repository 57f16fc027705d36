"""Random masks for masked pretraining."""

import torch
from torch import Tensor

from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.sparse.active_blocks import ActiveBlocks


def draw_active_blocks(batch: int, grid: Triple, ratio: float, generator: torch.Generator) -> ActiveBlocks:
    """Mask exactly round(ratio × cells) randomly chosen cells of every sample; all choices are equally likely.

    Args:
        batch: Number of samples.
        grid: Mask cells along (z, y, x); ``Encoder.deepest_grid`` of the patch.
        ratio: Share of cells to mask, at least 0 and below 1. The paper uses 0.6.
        generator: Random generator. The index tables are on its device.

    Returns:
        The cells that are not masked.

    Raises:
        BadInput: If ``ratio`` is out of range or leaves no cell active.
    """
    return ActiveBlocks(draw_mask(batch, grid, ratio, generator))


def check_mask_ratio(ratio: float, cells: int) -> None:
    """Refuse a mask ratio from which nothing is learned: it hides no cell of a patch, or all of them.

    Args:
        ratio: share of cells to mask.
        cells: number of mask cells of a patch.

    Raises:
        BadInput: If the ratio masks no cell or leaves none active.
    """
    masked = round(ratio * cells)
    if not 1 <= masked < cells:
        raise BadInput(
            f"mask_ratio {ratio:g} masks {masked} of the {cells} cells of a patch; expected at least one masked cell "
            "and one visible cell. Change mask_ratio, or choose a larger patch_size."
        )


def draw_mask(batch: int, grid: Triple, ratio: float, generator: torch.Generator) -> Tensor:
    """Draw the mask of :func:`draw_active_blocks`: boolean (batch, *grid), true for active cells.

    Raises:
        BadInput: If ``ratio`` is out of range or leaves no cell active.
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
    return mask.view(batch, *grid)
