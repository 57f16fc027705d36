"""Index tables, packing and random masks, checked against the mask."""

import pytest
import torch

from gynbtnet.networks import Encoder, Preset
from gynbtnet.runtime import BadInput
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.convolution import convolve
from gynbtnet.sparse.masking import draw_active_blocks
from gynbtnet.sparse.packed import pack, split_into_cells, unpack
from gynbtnet.sparse.sparse_encoder import sparse_encode


def some_mask(device):
    mask = torch.zeros(2, 2, 1, 2, dtype=torch.bool, device=device)
    mask[0, 0, 0, 1] = mask[1, 0, 0, 0] = mask[1, 1, 0, 0] = True
    return mask


def test_packing_keeps_active_voxels_in_order_and_unpacking_fills_the_rest(device):
    active = ActiveBlocks(some_mask(device))
    assert (len(active), active.counts, active.grid) == (3, [1, 2], (2, 1, 2))
    image = torch.arange(2 * 3 * 4 * 2 * 6.0, device=device).view(2, 3, 4, 2, 6)
    packed = pack(image, active)
    assert packed.block == (2, 2, 3)
    assert torch.equal(packed.rows[:12], image[0, :, 0:2, 0:2, 3:6].flatten(1).t())
    assert torch.equal(packed.rows[24:], image[1, :, 2:4, 0:2, 0:3].flatten(1).t())
    dense = unpack(packed, torch.tensor([-1.0, -2.0, -3.0], device=device))
    assert torch.equal(dense[0, :, 0:2, :, 3:6], image[0, :, 0:2, :, 3:6])
    assert torch.equal(dense[0, :, 2:4, 0, 0], torch.tensor([[-1.0, -2.0, -3.0]] * 2, device=device).t())
    assert torch.equal(pack(dense, active).rows, packed.rows)


def test_cells_of_an_image_follow_the_masks_order(device):
    image = torch.rand(2, 1, 4, 2, 6, device=device)
    cells = split_into_cells(image, (2, 1, 2))
    assert cells.shape == (2, 4, 12, 1)
    assert torch.equal(
        cells[some_mask(device).flatten(1)].flatten(0, 1), pack(image, ActiveBlocks(some_mask(device))).rows
    )


def test_a_tile_reads_its_block_and_halo(device):
    mask = torch.ones(1, 1, 1, 2, dtype=torch.bool, device=device)
    tiles = ActiveBlocks(mask).tiles((1, 1, 2), (0, 0, 1), (0, 0, 1))
    nothing = 4
    assert tiles.tolist() == [[[[nothing, 0, 1, 2]]], [[[1, 2, 3, nothing]]]]


def test_tables_are_built_once(device):
    active = ActiveBlocks(some_mask(device))
    assert active.tiles((4, 4, 4), (1, 1, 1), (1, 1, 1)) is active.tiles((4, 4, 4), (1, 1, 1), (1, 1, 1))
    assert active.pairs((2, 2, 2), (1, 1, 1)) is active.pairs((2, 2, 2), (1, 1, 1))


@pytest.mark.parametrize(("ratio", "masked"), [(0, 0), (0.4, 179), (0.6, 269), (0.998, 447)])
def test_exactly_the_ratio_is_masked_in_every_sample(ratio, masked, device):
    active = draw_active_blocks(3, (7, 8, 8), ratio, torch.Generator(device).manual_seed(0))
    assert active.counts == [448 - masked] * 3
    assert ratio == 0 or not torch.equal(active.mask[0], active.mask[1])


def test_a_seed_gives_the_same_mask_and_every_cell_has_its_turn(device):
    masks = [
        draw_active_blocks(2, (2, 3, 3), 0.6, torch.Generator(device).manual_seed(seed)).mask for seed in (5, 5, 6)
    ]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    often = draw_active_blocks(2000, (2, 3, 3), 0.6, torch.Generator(device).manual_seed(0)).mask.float().mean(0)
    assert (often - 7 / 18).abs().max() < 0.05


@pytest.mark.parametrize("ratio", [-0.1, 0.99, 1, 1.5])
def test_a_ratio_that_leaves_no_cell_is_refused(ratio, device):
    with pytest.raises(BadInput, match=rf"mask ratio of {ratio} masks .* of 18 cells"):
        draw_active_blocks(1, (2, 3, 3), ratio, torch.Generator(device))


def test_a_sample_without_active_cells_is_refused(device):
    mask = some_mask(device)
    mask[1] = False
    with pytest.raises(BadInput, match="Sample 1 of the batch has none of its 4 mask cells active"):
        ActiveBlocks(mask)


def test_mismatched_shapes_are_refused(device):
    active = ActiveBlocks(some_mask(device))
    with pytest.raises(ValueError, match="bool"):
        ActiveBlocks(some_mask(device).float())
    with pytest.raises(ValueError, match=r"\(3, 2, 2\) is not divisible by \(2, 1, 2\)"):
        pack(torch.zeros(2, 1, 3, 2, 2, device=device), active)
    with pytest.raises(ValueError, match="1 images need as many masks, not 2"):
        pack(torch.zeros(1, 1, 4, 2, 4, device=device), active)
    with pytest.raises(ValueError, match="1×1×1 or 3×3×3"):
        convolve(
            pack(torch.zeros(2, 1, 4, 2, 4, device=device), active), torch.nn.Conv3d(1, 1, 5, padding=2, device=device)
        )
    with pytest.raises(ValueError, match=r"is not divisible by \(2, 2, 2\)"):
        sparse_encode(
            Encoder(Preset((2, 2, 2), 1, (1, 2, 2))).to(device), torch.zeros(2, 1, 4, 2, 4, device=device), active
        )
