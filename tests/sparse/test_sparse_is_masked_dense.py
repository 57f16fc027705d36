"""The packed computation against the reference semantics done literally: dense convolution times mask, gathered norms.

In float64 both agree to rounding: outputs, every gradient, running statistics.
"""

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import conv3d, leaky_relu

from gynbtnet.networks import PRESETS, Encoder, Preset, make_norm
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.convolution import convolve
from gynbtnet.sparse.device_rules import CPU_RULES, ConvolutionRule, cuda_rules
from gynbtnet.sparse.kernels.gathered_convolution import GatheredConvolution
from gynbtnet.sparse.kernels.interfaces import ConvolutionKernels
from gynbtnet.sparse.kernels.pair_convolution import PairConvolution
from gynbtnet.sparse.kernels.tile_convolution import TileConvolution
from gynbtnet.sparse.norm import normalise
from gynbtnet.sparse.packed import pack, unpack
from gynbtnet.sparse.sparse_encoder import sparse_encode

TOLERANCE = 1e-10
KERNELS: dict[str, ConvolutionKernels] = {
    "tiles": TileConvolution(2**23),
    "tiles with flipped weights": TileConvolution(2**12, flips=True),
    "pairs": PairConvolution(),
    "gathered": GatheredConvolution(2**12),
}
RULES = {"of a CPU": CPU_RULES, "of CUDA": cuda_rules(2**12)}


def everywhere(kernels):
    """Return rules that use one implementation for every convolution."""
    return replace(CPU_RULES, convolutions=(ConvolutionRule(kernels),))


# The reference ------------------------------------------------------------------------------------------------------


def upsample_mask(mask, shape):
    """Return the mask grid (B, z, y, x) repeated up to ``shape``: (B, 1, D, H, W)."""
    for axis, n in enumerate(shape, start=1):
        mask = mask.repeat_interleave(n // mask.shape[axis], axis)
    return mask[:, None]


def masked_convolution(x, conv, mask):
    y = conv3d(x, conv.weight, conv.bias, conv.stride, conv.padding)
    return y * upsample_mask(mask, y.shape[2:])


def masked_norm(x, norm, mask):
    voxels = upsample_mask(mask, x.shape[2:])[:, 0]
    rows = x.movedim(1, -1)
    groups = [voxels] if isinstance(norm, nn.BatchNorm3d) else list(one_sample_each(voxels))
    result = torch.zeros_like(rows)
    for group in groups:
        values = rows[group]
        mean, variance = values.mean(0), values.var(0, unbiased=False)
        if isinstance(norm, nn.BatchNorm3d):
            norm.running_mean += norm.momentum * (mean.detach() - norm.running_mean)
            norm.running_var += norm.momentum * (values.detach().var(0) - norm.running_var)
            norm.num_batches_tracked += 1
        normed = torch.zeros_like(rows)
        normed[group] = (values - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
        result = result + normed
    return result.movedim(-1, 1)


def one_sample_each(voxels):
    for sample in range(len(voxels)):
        one = torch.zeros_like(voxels)
        one[sample] = voxels[sample]
        yield one


def masked_encode(encoder, image, mask):
    x = image * upsample_mask(mask, image.shape[2:])
    features = []
    for level in encoder.levels:
        for block in level:
            slope = block.activation.negative_slope
            y = leaky_relu(masked_norm(masked_convolution(x, block.conv1, mask), block.norm1, mask), slope)
            y = masked_norm(masked_convolution(y, block.conv2, mask), block.norm2, mask)
            shortcut = masked_convolution(x, block.shortcut, mask) if isinstance(block.shortcut, nn.Conv3d) else x
            x = leaky_relu(y + shortcut, slope)
        features.append(x)
    return features


# What is compared ---------------------------------------------------------------------------------------------------


def gradients(run, image, module):
    """Dense outputs of ``run(image)``, and the gradients of their random sum: the image's, the parameters'."""
    image = image.clone().requires_grad_()
    module.zero_grad()
    outputs = run(image)
    generator = torch.Generator().manual_seed(7)
    weights = [torch.randn(y.shape, generator=generator, dtype=y.dtype).to(y.device) for y in outputs]
    total = sum((y * weight).sum() for y, weight in zip(outputs, weights, strict=True))
    total.backward()
    return outputs, image.grad, {name: p.grad.clone() for name, p in module.named_parameters()}


def assert_equal_results(ours, reference, tolerance=TOLERANCE, relative_to_largest=1e-3):
    (y, dx, dp), (y0, dx0, dp0) = ours, reference
    for a, b in [*zip(y, y0, strict=True), (dx, dx0)]:
        assert error(a, b) < tolerance
    # A bias before a norm has a gradient of zero up to rounding, so errors are relative to the largest gradient.
    largest = max(gradient.abs().max() for gradient in dp0.values())
    for name, gradient in dp0.items():
        assert error(dp[name], gradient, floor=relative_to_largest * largest) < tolerance, name


def error(a, b, floor=0.0):
    assert a.shape == b.shape
    return ((a - b).abs().max() / max(b.abs().max(), floor, 1e-30)).item()


def zeros_filled(packed):
    return unpack(packed, packed.padded.new_zeros(packed.padded.shape[1]))


def randomised(module, device):
    """Norms start at one and zero, which would hide an exchange of the two."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double().to(device)


def draw_mask(counts, grid, seed, device):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(len(counts), grid[0] * grid[1] * grid[2], dtype=torch.bool)
    for sample, count in zip(mask, counts, strict=True):
        sample[torch.randperm(len(sample), generator=generator)[:count]] = True
    return mask.view(-1, *grid).to(device)


# Layers -------------------------------------------------------------------------------------------------------------


@st.composite
def layers(draw):
    """A batch of unequal masks, block sizes 1 to 8 and a stride that divides them, per axis."""
    grid = draw(st.tuples(*[st.integers(1, 3)] * 3))
    cells = grid[0] * grid[1] * grid[2]
    counts = draw(st.lists(st.integers(1, cells), min_size=1, max_size=3))
    block = draw(st.tuples(*[st.sampled_from((1, 2, 4, 8))] * 3).filter(lambda b: b[0] * b[1] * b[2] <= 128))
    stride = tuple(draw(st.sampled_from((1, 2))) if n > 1 else 1 for n in block)
    channels = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    return grid, counts, block, stride, channels, draw(st.integers(0, 2**31))


def prepare(layer, device):
    grid, counts, block, stride, channels, seed = layer
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    mask = draw_mask(counts, grid, seed, "cpu")
    shape = [n * cells for n, cells in zip(block, grid, strict=True)]
    image = torch.randn(len(counts), channels[0], *shape, generator=generator, dtype=torch.float64)
    image = image * upsample_mask(mask, shape)
    return mask.to(device), image.to(device), stride, channels


@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
@settings(max_examples=60, deadline=None)
@given(layer=layers())
def test_convolution_3(kernels, layer, device):
    mask, image, stride, channels = prepare(layer, device)
    conv = randomised(nn.Conv3d(channels[0], channels[1], 3, stride, padding=1), device)
    active = ActiveBlocks(mask)
    ours = gradients(lambda x: [zeros_filled(convolve(pack(x, active), conv, everywhere(kernels)))], image, conv)
    y, dx, dp = gradients(lambda x: [masked_convolution(x, conv, mask)], image, conv)
    assert_equal_results(ours, (y, dx * upsample_mask(mask, dx.shape[2:]), dp))


@settings(max_examples=30, deadline=None)
@given(layer=layers())
def test_convolution_1(layer, device):
    mask, image, stride, channels = prepare(layer, device)
    conv = randomised(nn.Conv3d(channels[0], channels[1], 1, stride), device)
    active = ActiveBlocks(mask)
    ours = gradients(lambda x: [zeros_filled(convolve(pack(x, active), conv))], image, conv)
    assert_equal_results(ours, gradients(lambda x: [masked_convolution(x, conv, mask)], image, conv))


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("kind", ["instance", "batch"])
@settings(max_examples=30, deadline=None)
@given(layer=layers())
def test_norm(kind, rules, layer, device):
    mask, image, _, channels = prepare(layer, device)
    assume(upsample_mask(mask, image.shape[2:]).sum() > 1)  # a running variance of one voxel doesn't exist
    norm, reference = (randomised(make_norm(kind, channels[0]), device) for _ in range(2))
    reference.load_state_dict(norm.state_dict())
    active = ActiveBlocks(mask)
    ours = gradients(lambda x: [zeros_filled(normalise(pack(x, active), norm, rules))], image, norm)
    y, dx, dp = gradients(lambda x: [masked_norm(x, reference, mask)], image, reference)
    # A lone voxel has no spread, so its gradient is zero and ours is its rounding.
    assert error(ours[1], dx, floor=1e-3) < TOLERANCE
    assert_equal_results((ours[0], dx, ours[2]), (y, dx, dp))
    for name, values in reference.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], values, rtol=TOLERANCE, atol=TOLERANCE)


def test_batch_norm_uses_its_running_statistics_afterwards(device):
    mask, image, *_ = prepare(((2, 2, 2), [3, 5], (2, 2, 2), (1, 1, 1), (3, 3), 1), device)
    norm = randomised(nn.BatchNorm3d(3), device)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    norm.eval()
    expected = norm(image) * upsample_mask(mask, image.shape[2:])
    assert error(zeros_filled(normalise(pack(image, ActiveBlocks(mask)), norm)), expected) < TOLERANCE


# The encoder --------------------------------------------------------------------------------------------------------

ENCODERS = {
    "down to blocks of one voxel": (Preset((3, 4, 5, 6), 2, (1, 2, 2, 2)), None, (2, 2, 3)),
    "a last level at stride one": (Preset((3, 4, 5, 5), 1, (1, 2, 2, 1)), None, (3, 2, 2)),
    "strides that differ by axis": (Preset((3, 4, 5), 2, (1, 2, 2)), (1, (1, 2, 2), (2, 1, 2)), (2, 3, 2)),
    "a first level that divides": (Preset((3, 4), 1, (2, 2)), None, (2, 2, 2)),
}


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize(
    ("counts", "cell"),
    [
        pytest.param((3, 7), 1, id="unequal counts, a cell a bottleneck voxel"),
        pytest.param((5, 5), 1, id="equal counts, a cell a bottleneck voxel"),
        pytest.param((3, 7), 2, id="unequal counts, a cell eight bottleneck voxels"),
        pytest.param((5, 5), 2, id="equal counts, a cell eight bottleneck voxels", marks=pytest.mark.slow),
    ],
)
def test_encoder(counts, rules, name, cell, norm, device):
    preset, strides, grid = ENCODERS[name]
    torch.manual_seed(1)
    encoder, reference = (randomised(Encoder(preset, 2, strides, norm), device) for _ in range(2))
    reference.load_state_dict(encoder.state_dict())
    shape = [cells * total * cell for cells, total in zip(grid, encoder.total_stride, strict=True)]
    mask = draw_mask(counts, grid, 2, device)
    image = torch.randn(2, 2, *shape, dtype=torch.float64).to(device)
    active = ActiveBlocks(mask)
    ours = gradients(
        lambda x: [zeros_filled(y) for y in sparse_encode(encoder, x, active, rules=rules)], image, encoder
    )
    assert_equal_results(ours, gradients(lambda x: masked_encode(reference, x, mask), image, reference))
    for buffer, values in zip(encoder.buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(buffer, values, rtol=TOLERANCE, atol=TOLERANCE)


def test_with_nothing_masked_it_is_the_dense_encoder(device):
    torch.manual_seed(1)
    encoder = randomised(Encoder(PRESETS["XS"]), device)
    image = torch.randn(1, 1, 16, 32, 16, dtype=torch.float64).to(device)
    active = ActiveBlocks(torch.ones(1, 1, 2, 1, dtype=torch.bool, device=device))
    ours = gradients(lambda x: [zeros_filled(y) for y in sparse_encode(encoder, x, active)], image, encoder)
    assert_equal_results(ours, gradients(encoder, image, encoder))


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_masked_voxels_change_nothing_to_the_bit(norm, device):
    torch.manual_seed(1)
    encoder = Encoder(Preset((3, 4, 5), 2, (1, 2, 2)), norm=norm).to(device)
    mask = draw_mask([3, 5], (2, 2, 3), 2, device)
    image = torch.randn(2, 1, 16, 16, 24).to(device)
    other = image.masked_fill(~upsample_mask(mask, image.shape[2:]), float("nan"))
    active = ActiveBlocks(mask)

    def run(x):
        return [zeros_filled(y) for y in sparse_encode(encoder, x, active)]

    (y, dx, dp), (y0, dx0, dp0) = gradients(run, other, encoder), gradients(run, image, encoder)
    assert all(torch.equal(a, b) for a, b in [*zip(y, y0, strict=True), (dx, dx0)])
    assert all(torch.equal(dp[name], dp0[name]) for name in dp0)


def test_single_precision_within_bounds(device):
    """At a slope of 1: near LeakyReLU's kink the reference itself, in float32, is up to 1e-2 from float64."""
    torch.manual_seed(1)
    encoder, reference = (Encoder(Preset((4, 6, 8), 2, (1, 2, 2))).to(device) for _ in range(2))
    reference.double().load_state_dict(encoder.state_dict())
    for block in [*encoder.modules(), *reference.modules()]:
        if isinstance(block, nn.LeakyReLU):
            block.negative_slope = 1.0
    mask = draw_mask([4, 6], (2, 2, 3), 2, device)
    image = torch.randn(2, 1, 16, 16, 24).to(device)
    active = ActiveBlocks(mask)
    ours = gradients(lambda x: [zeros_filled(y) for y in sparse_encode(encoder, x, active)], image, encoder)
    # The sum's random weights depend on the type, so they are drawn in single precision for both.
    theirs = gradients(lambda x: [y.float() for y in masked_encode(reference, x, mask)], image.double(), reference)
    assert_equal_results(ours, theirs, tolerance=1e-3)


def test_autocast_reaches_the_sparse_convolutions(device):
    torch.manual_seed(1)
    mask, image, *_ = prepare(((2, 2, 2), [3, 5], (4, 4, 4), (1, 1, 1), (16, 16), 1), device)
    conv = nn.Conv3d(16, 16, 3, padding=1).to(device)
    active = ActiveBlocks(mask)
    exact = gradients(lambda x: [zeros_filled(convolve(pack(x, active), conv))], image.float(), conv)
    for rules in map(everywhere, KERNELS.values()):
        with torch.autocast(device.type, torch.bfloat16):
            packed = convolve(pack(image.float(), active), conv, rules)
            rounded = gradients(
                lambda x, rules=rules: [zeros_filled(convolve(pack(x, active), conv, rules)).float()],
                image.float(),
                conv,
            )
        assert packed.rows.dtype == torch.bfloat16
        assert_equal_results(rounded, exact, tolerance=2e-2)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_half_precision_within_bounds(norm, device):
    """At a slope of 1, as above: within 2 % of the largest feature and gradient, as the reference itself is."""
    torch.manual_seed(1)
    encoder = Encoder(Preset((16, 16, 32), 2, (1, 2, 2)), norm=norm).to(device)
    for block in encoder.modules():
        if isinstance(block, nn.LeakyReLU):
            block.negative_slope = 1.0
    mask = draw_mask([4, 6], (2, 2, 3), 2, device)
    image, active = torch.randn(2, 1, 16, 16, 24).to(device), ActiveBlocks(mask)

    def run(x):
        return [zeros_filled(y).float() for y in sparse_encode(encoder, x, active)]

    exact = gradients(run, image, encoder)
    with torch.autocast(device.type, torch.bfloat16):
        assert sparse_encode(encoder, image, active)[0].rows.dtype == torch.bfloat16
        rounded = gradients(run, image, encoder)
    assert_equal_results(rounded, exact, tolerance=2e-2, relative_to_largest=1)


def test_an_encoder_with_running_statistics(device):
    torch.manual_seed(1)
    encoder = randomised(Encoder(Preset((3, 4, 5), 2, (1, 2, 2)), norm="batch"), device)
    for values in encoder.buffers():
        if values.is_floating_point():
            values.uniform_(0.5, 2)
    encoder.eval()
    mask = draw_mask([3, 5], (2, 2, 3), 2, device)
    image, active = torch.randn(2, 1, 8, 8, 12, dtype=torch.float64).to(device), ActiveBlocks(mask)
    before = {name: values.clone() for name, values in encoder.named_buffers()}
    ours = gradients(lambda x: [zeros_filled(y) for y in sparse_encode(encoder, x, active)], image, encoder)
    with patch(f"{__name__}.masked_norm", lambda x, norm, mask: norm(x) * upsample_mask(mask, x.shape[2:])):
        assert_equal_results(ours, gradients(lambda x: masked_encode(encoder, x, mask), image, encoder))
    assert all(torch.equal(values, before[name]) for name, values in encoder.named_buffers())
