"""The pretraining network: what it shares with the segmentation network, what it reads, that it learns."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import conv3d

from gynbtnet.networks import GynBTNet, Preset, transfer_weights
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.densify import Densify
from gynbtnet.sparse.device_rules import cuda_rules
from gynbtnet.sparse.light_decoder import LightDecoder
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.sparse.masking import draw_active_blocks
from gynbtnet.sparse.norm import normalise
from gynbtnet.sparse.packed import pack, split_into_cells, unpack

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


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("block", "counts"), [((4, 4, 4), (3, 5)), ((2, 1, 3), (4, 4)), ((1, 1, 1), (1, 12))])
def test_a_projection_has_the_values_and_gradients_of_its_definition(block, counts, norm, device):
    """It is computed block by block, in several chunks, and its definition on the filled features."""
    active = draw_counts(counts, device)
    image = torch.randn(2, 5, *(n * cells for n, cells in zip(block, active.grid, strict=True))).double().to(device)
    literal, ours = (Densify(5, 4, deepest=False, norm=norm).double().to(device) for _ in range(2))
    for parameter in literal.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(literal.state_dict())

    def definition(packed):
        return literal.projection(unpack(normalise(packed, literal.norm), literal.mask_token))

    results = {}
    for densify, run in ((literal, definition), (ours, lambda packed: ours(packed, cuda_rules(2**10)))):
        x = image.clone().requires_grad_()
        y = run(pack(x, active))
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype, device=device).sin().view(y.shape)).sum().backward()
        results[densify] = [y, *densify.buffers(), x.grad, *(parameter.grad for parameter in densify.parameters())]
    for expected, result in zip(results[literal], results[ours], strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)


def draw_counts(counts, device):
    """Draw a mask of 2×2×3 cells with these numbers of active cells in each sample."""
    mask = torch.zeros(len(counts), 12, dtype=torch.bool)
    for sample, count in zip(mask, counts, strict=True):
        sample[torch.randperm(12)[:count]] = True
    return ActiveBlocks(mask.view(-1, 2, 2, 3), device)


def test_gradients_of_a_projection_in_bfloat16(device):
    """Within 2 % of those in double precision, as for the encoder in test_half_precision.py."""
    active = draw_counts((4, 4, 5), device)
    exact = Densify(8, 6, deepest=False).double().to(device)
    nn.init.normal_(exact.mask_token)
    rounded = deepcopy(exact).float()
    image = torch.randn(3, 8, 16, 16, 24).to(device, torch.bfloat16)
    for densify, dtype in ((exact, torch.float64), (rounded, torch.bfloat16)):
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            y = densify(pack(image.to(dtype), active))
        assert y.dtype == dtype
        (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)).sum().backward()
    for (name, parameter), other in zip(exact.named_parameters(), rounded.parameters(), strict=True):
        assert (other.grad - parameter.grad).norm() / parameter.grad.norm() < 0.02, name


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
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for step in range(30):
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


def test_a_boolean_mask_is_taken_as_active_cells():
    network, active = MaskedAutoencoder(TINY).eval(), draw("cpu")
    image = torch.randn(2, 1, *(4 * n for n in (2, 2, 3)))
    with torch.no_grad():
        assert torch.equal(network(image, active.mask), network(image, active))
