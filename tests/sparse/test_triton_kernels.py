"""Triton kernels against the PyTorch implementations; without a GPU, Triton's interpreter computes them."""

from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from gynbtnet.networks import Encoder, Preset
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.device_rules import CPU_RULES, ConvolutionRule, cuda_rules
from gynbtnet.sparse.kernels.norm_by_segment import NormBySegment
from gynbtnet.sparse.kernels.tile_convolution import TileConvolution
from gynbtnet.sparse.packed import empty_rows
from gynbtnet.sparse.sparse_encoder import sparse_encode

pytest.importorskip("triton", reason="Triton is not installed; pip install 'gynbtnet[gpu]'")

from gynbtnet.sparse.triton_kernels.block_convolution import BlockConvolution
from gynbtnet.sparse.triton_kernels.segmented_norm import SegmentedNorm

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TOLERANCES = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""One rounding to the type; Triton's interpreter rounds towards zero."""
TYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
CONVOLUTION = BlockConvolution(TileConvolution(2**20))
NORM = SegmentedNorm(NormBySegment(), rows_per_chunk=64)
NORMS: tuple[Any, ...] = (NORM, NormBySegment())


def assert_close(values, expected, dtype):
    """Compare with double precision: every value, in units of its magnitude plus that of the whole tensor."""
    assert values.dtype == dtype
    scale = expected.abs() + expected.square().mean().sqrt()
    error = ((values.double() - expected).abs() / scale).max().item()
    assert error < TOLERANCES[dtype]


def draw(dtype, *shape):
    """Random values that ``dtype`` can represent: in the type, and in double precision."""
    values = torch.randn(shape, dtype=torch.float64).to(DEVICE, dtype)
    return values, values.double()


def padded(dtype, rows, channels):
    values = [empty_rows(v, rows, channels) for v in draw(dtype, 1)]
    for target, v in zip(values, draw(dtype, rows, channels), strict=True):
        target[:-1] = v
    return values


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def active():
    """Two samples, with five and three active blocks."""
    mask = torch.tensor([1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1], dtype=torch.bool)
    return ActiveBlocks(mask.view(2, 2, 2, 2), DEVICE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "block", "channels"),
    [
        (torch.float32, (2, 4, 2), (16, 24)),
        (torch.float16, (2, 4, 1), (24, 16)),
        (torch.bfloat16, (2, 2, 2), (16, 20)),
        (torch.float32, (1, 2, 1), (40, 72)),  # several tiles of channels
    ],
)
def test_a_convolution_and_its_gradients(dtype, block, channels, active):
    in_channels, out_channels = channels
    rows = len(active) * block[0] * block[1] * block[2]
    x, grad = padded(dtype, rows, in_channels), padded(dtype, rows, out_channels)
    weight, bias = draw(dtype, out_channels, in_channels, 3, 3, 3), draw(dtype, out_channels)
    grad_x = draw(dtype, rows, in_channels)
    layer = active, block, (1, 1, 1)
    reference = TileConvolution(2**20)
    kernels: Any = replace(CONVOLUTION, rows_per_program=64)
    kernels.add_input_gradient(grad_x[0], grad[0], weight[0], *layer)
    reference.add_input_gradient(grad_x[1], grad[1], weight[1], *layer)
    assert_close(grad_x[0], grad_x[1], dtype)
    ours, expected = (
        (
            k.forward(x[i], weight[i], bias[i], *layer),
            k.weight_gradient(grad[i], x[i], weight[i], *layer),
        )
        for i, k in enumerate((kernels, cast(Any, reference)))
    )
    assert_close(ours[0], expected[0], dtype)
    assert_close(ours[1], expected[1], dtype)
    assert ours[1].shape == weight[0].shape


def test_a_convolution_with_a_stride_is_refused(active):
    x, weight = torch.zeros(65, 16), torch.zeros(16, 16, 3, 3, 3)
    with pytest.raises(ValueError, match="stride 1"):
        CONVOLUTION.forward(x, weight, weight[:, 0, 0, 0, 0], active, (2, 2, 2), (2, 2, 2))
    with pytest.raises(ValueError, match="stride 1"):
        CONVOLUTION.weight_gradient(x, x, weight, active, (2, 2, 2), (2, 2, 2))
    with pytest.raises(ValueError, match="stride 1"):
        CONVOLUTION.add_input_gradient(x, x, weight, active, (2, 2, 2), (2, 2, 2))


@pytest.mark.parametrize(
    ("dtype", "segments", "channels"),
    [*((dtype, (150, 37, 64), 24) for dtype in TOLERANCES), (torch.float32, (90,), 130)],
)
@pytest.mark.parametrize("with_shortcut", [False, True])
def test_a_norm_with_its_activation_and_shortcut(dtype, segments, channels, with_shortcut):
    rows, shortcut = draw(dtype, sum(segments), channels), draw(dtype, sum(segments), channels)
    weight, bias = (draw(torch.float32, channels) for _ in range(2))
    moments = []
    results = [torch.empty_like(values) for values in rows]
    for i, kernels in enumerate(NORMS):
        moments.append(
            kernels.forward(
                *(rows[i] * 3 + 20, segments, weight[i], bias[i], 1e-3, results[i]),
                slope=0.1,
                shortcut=shortcut[i] if with_shortcut else None,
            )
        )
    if dtype == torch.float32:  # 16 bits round the shifted rows, so that these are others
        assert_close(results[0], results[1], dtype)
        assert_close(moments[0][0], moments[1][0], dtype)
        assert_close(moments[0][1], moments[1][1], dtype)
    for i, kernels in enumerate(NORMS):
        given = tuple(values.to(weight[i].dtype) for values in moments[1])
        kernels.apply(
            *(rows[i], segments, given, weight[i], bias[i], results[i]),
            slope=0.1,
            shortcut=shortcut[i] if with_shortcut else None,
        )
    assert_close(results[0], results[1], dtype)


@TYPES
@pytest.mark.parametrize("slope", [1.0, 0.1])
@pytest.mark.parametrize("fixed_moments", [False, True])
def test_the_gradients_of_a_norm(dtype, slope, fixed_moments):
    segments, channels = (150, 37, 64), 24
    rows, grad, activated = (draw(dtype, sum(segments), channels) for _ in range(3))
    weight = draw(torch.float32, channels)
    mean, variance = draw(torch.float32, 3, channels), draw(torch.float32, 3, channels)
    moments = [(mean[i], variance[i].square() + 0.5) for i in (0, 1)]
    if not fixed_moments:
        moments = [
            kernels.forward(rows[1].to(w.dtype), segments, w, w, 1e-3, torch.empty_like(rows[1].to(w.dtype)))
            for kernels, w in zip(NORMS, weight, strict=True)
        ]
    ours, expected = (
        kernels.backward(
            *(grad[i], rows[i], segments, moments[i], weight[i]),
            fixed_moments=fixed_moments,
            slope=slope,
            activated=activated[i] if slope != 1 else None,
        )
        for i, kernels in enumerate(NORMS)
    )
    assert_close(grad[0], grad[1], dtype)
    assert_close(ours[0], expected[0], torch.float32)
    assert_close(ours[1], expected[1], torch.float32)


def test_tensors_in_another_memory_order():
    """A gradient may be a transposed one."""
    rows, grad = (torch.randn(24, 60, device=DEVICE).t() for _ in range(2))
    weight = torch.rand(24, device=DEVICE)
    results = []
    for kernels, order in ((NORM, rows), (NORM, rows.contiguous())):
        out, g = torch.empty_like(order), grad.clone() if order is rows else grad.contiguous()
        moments = kernels.forward(order, (20, 40), weight, weight, 1e-5, out)
        kernels.backward(g, order, (20, 40), moments, weight)
        results.append((out, g))
    assert not results[0][0].is_contiguous()
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_an_encoder_with_both_kernels(norm):
    """Through the autograd functions, with an unequal number of blocks per sample: every feature and gradient."""
    mask = torch.tensor([1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], dtype=torch.bool).view(2, 2, 2, 2)
    image = torch.randn(2, 1, 8, 8, 8, device=DEVICE)
    encoder = Encoder(Preset((16, 24), 1, (1, 2)), norm=norm).to(DEVICE)
    rule = ConvolutionRule(CONVOLUTION, min_weights=256, only_unit_stride=True)
    base = cuda_rules(2**20)
    rules = replace(base, convolutions=(rule, *base.convolutions), norm=NORM)
    runs = []
    for dtype, chosen in ((torch.float32, rules), (torch.float64, CPU_RULES)):
        encoder.zero_grad()
        encoder.to(dtype)
        features = sparse_encode(encoder, image.to(dtype), ActiveBlocks(mask, DEVICE), rules=chosen)
        torch.stack([packed.rows.square().sum() for packed in features]).sum().backward()
        gradients = {name: parameter.grad.clone() for name, parameter in encoder.named_parameters()}
        runs.append(([packed.rows.detach() for packed in features], gradients))
    (rows, gradients), (expected_rows, expected_gradients) = runs
    for ours, expected in zip(rows, expected_rows, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-5)
    for name, expected in expected_gradients.items():
        assert (gradients[name].double() - expected).norm() <= 1e-4 * expected.norm() + 1e-9, name


def test_double_precision_is_computed_by_pytorch(active):
    x, weight = draw(torch.float64, 65, 16)[1], draw(torch.float64, 16, 16, 3, 3, 3)[1]
    layer, bias = (active, (2, 2, 2), (1, 1, 1)), weight[:, 0, 0, 0, 0]
    reference = TileConvolution(2**20)
    assert torch.equal(CONVOLUTION.forward(x, weight, bias, *layer), reference.forward(x, weight, bias, *layer))
    ours, expected = (k.weight_gradient(x, x, weight, *layer) for k in (CONVOLUTION, reference))
    assert torch.equal(ours, expected)
    ours, expected = torch.zeros(2, 64, 16, dtype=torch.float64, device=DEVICE)
    CONVOLUTION.add_input_gradient(ours, x, weight, *layer)
    reference.add_input_gradient(expected, x, weight, *layer)
    assert torch.equal(ours, expected)
