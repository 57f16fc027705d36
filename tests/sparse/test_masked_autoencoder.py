"""The pretraining network: what it shares with the segmentation network, what it reads, that it learns."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import conv3d

from gynbtnet.networks import GynBTNet, Preset, transfer_weights
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.densify import Densify
from gynbtnet.sparse.light_decoder import LightDecoder
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.sparse.masking import draw_active_blocks
from gynbtnet.sparse.packed import pack, split_into_cells

TINY = Preset((16, 16, 24), depth=1, strides=(1, 2, 2))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def draw(device, batch=2, grid=(2, 2, 3), seed=0):
    return draw_active_blocks(batch, grid, 0.6, torch.Generator(device).manual_seed(seed))


@pytest.mark.parametrize("preset", ["XS", "S", "B", "L", "H"])
def test_the_encoder_has_the_segmentation_networks_names_and_shapes(preset):
    with torch.device("meta"):
        ours, theirs = MaskedAutoencoder(preset), GynBTNet(preset, outputs=6)

    def shapes(network):
        return {name: v.shape for name, v in network.state_dict().items() if name.startswith("encoder.")}

    assert shapes(ours) == shapes(theirs)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_whole_encoder_is_transferred(norm):
    source, target = MaskedAutoencoder(TINY, norm=norm), GynBTNet(TINY, outputs=3)
    assert transfer_weights(source.state_dict(), target, parts="encoder").share == 1


@pytest.mark.parametrize("decoder", ["light", "unet"])
def test_it_reconstructs_at_the_images_shape_and_reaches_every_parameter(decoder, device):
    preset = Preset((16, 16, 24, 24), 1, (1, 2, 2, 1))
    network = MaskedAutoencoder(preset, in_channels=2, strides=(1, (1, 2, 2), 2, 1), decoder=decoder).to(device)
    image = torch.randn(2, 2, 4, 8, 12).to(device)
    reconstruction = network(image, draw(device))
    assert reconstruction.shape == image.shape
    reconstruction.square().sum().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in network.parameters())


def test_the_unet_decoder_is_the_segmentation_networks():
    ours = MaskedAutoencoder(TINY, decoder="unet").decoder.get_submodule("network").state_dict()
    theirs = GynBTNet(TINY, outputs=1).decoder.state_dict()
    assert {name: v.shape for name, v in ours.items()} == {name: v.shape for name, v in theirs.items()}


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_recomputing_changes_nothing_but_rounding(norm, device):
    network, active = MaskedAutoencoder(TINY, norm=norm).double().to(device), draw(device)
    image = torch.randn(2, 1, 8, 8, 12, dtype=torch.float64).to(device)
    gradients = []
    for network.activation_checkpointing in (False, True):
        copy = deepcopy(network)
        copy(image, active).square().sum().backward()
        gradients.append([*(parameter.grad for parameter in copy.parameters()), *copy.buffers()])
    for expected, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, expected, rtol=1e-9, atol=1e-9)


def test_masked_voxels_are_never_read(device):
    network, active = MaskedAutoencoder(TINY).to(device), draw(device)
    image = torch.randn(2, 1, 8, 8, 12).to(device)
    hidden = ~active.mask[:, None].to(device)
    for axis in (2, 3, 4):
        hidden = hidden.repeat_interleave(4, axis)
    assert torch.equal(network(image.masked_fill(hidden, float("nan")), active), network(image, active))


def test_densify_fills_masked_voxels_with_the_token_and_projects(device):
    active = ActiveBlocks(torch.tensor([True, False], device=device).view(1, 1, 1, 2))
    densify = Densify(3, 4, deepest=False).double().to(device)
    image = torch.randn(1, 3, 4, 4, 8, dtype=torch.float64).to(device)
    seen = image[..., :4]
    mean, variance = seen.mean((2, 3, 4), keepdim=True), seen.var((2, 3, 4), keepdim=True, unbiased=False)
    tokens = densify.mask_token.view(1, 3, 1, 1, 1).expand(1, 3, 4, 4, 4)
    dense = torch.cat(((seen - mean) / (variance + 1e-5).sqrt(), tokens), dim=4)
    assert isinstance(densify.projection, nn.Conv3d)
    expected = conv3d(dense, densify.projection.weight, densify.projection.bias, padding=1)
    torch.testing.assert_close(densify(pack(image, active)), expected)


def test_the_deepest_level_projects_by_one_voxel_or_not_at_all():
    assert Densify(8, 4, deepest=True).projection.kernel_size == (1, 1, 1)
    assert isinstance(Densify(4, 4, deepest=True).projection, torch.nn.Identity)
    assert Densify(4, 4, deepest=False).projection.kernel_size == (3, 3, 3)


def test_mask_tokens_start_small():
    token = Densify(2000, 4, deepest=True).mask_token
    assert 0.018 < token.std() < 0.022
    assert abs(token.mean()) < 0.002


def test_the_decoder_answers_at_the_finest_level(device):
    decoder = LightDecoder((16, 24, 24), outputs=1).to(device)
    features = [
        torch.randn(1, 16, 4, 8, 8).to(device),
        torch.randn(1, 24, 4, 4, 4).to(device),
        torch.randn(1, 24, 4, 4, 4).to(device),
    ]
    assert decoder(features).shape == (1, 1, 4, 8, 8)


def test_it_learns_to_reconstruct_masked_voxels(device):
    """Waves across the volume: what a masked cell holds follows from its neighbours."""
    z, y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), torch.arange(16.0), indexing="ij")
    network = MaskedAutoencoder(TINY).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        phases = torch.rand(2, 1, 1, 1, 1, generator=torch.Generator().manual_seed(step)) * 6
        image = torch.sin((z + 2 * y + x) / 5 + phases).to(device)
        active = draw(device, grid=(4, 4, 4), seed=step)
        error = (split_into_cells(network(image, active), active.grid) - split_into_cells(image, active.grid)).square()
        loss = error[~active.mask.flatten(1).to(device)].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.5 * 0.5  # half of the variance of a sine
