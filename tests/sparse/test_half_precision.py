"""Errors of stage 1's gradients in bfloat16, relative to double precision.

Each result of an operator is rounded once, to eight bits, which gives a gradient an error of about 1 %. More than 2 %
would mean that sums or channels are computed in eight bits. Such an error is the same for all voxels, and grows with
their number. The slope of LeakyReLU is 1 here: near its kink a rounding changes the slope, which hides other errors.

PyTorch's own convolution on a CPU without instructions for bfloat16 rounds between the 27 taps of an input gradient.
On CPUs, the rule of GPUs replaces it: products of bfloat16 values are summed in float32 and rounded once.
"""

from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from gynbtnet.networks import PRESETS, Encoder, Preset
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.convolution import convolve
from gynbtnet.sparse.device_rules import CPU_RULES, ConvolutionRule, cuda_rules
from gynbtnet.sparse.kernels.gathered_convolution import GatheredConvolution
from gynbtnet.sparse.kernels.pair_convolution import PairConvolution
from gynbtnet.sparse.kernels.tile_convolution import TileConvolution
from gynbtnet.sparse.masking import draw_active_blocks
from gynbtnet.sparse.norm import Norm
from gynbtnet.sparse.packed import Packed, pack
from gynbtnet.sparse.sparse_encoder import sparse_encode

MAX_ERROR = 0.02
RULES = {"of a CPU": CPU_RULES, "of CUDA": cuda_rules(2**22)}

_CONVOLUTIONS = {torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default}


class ConvolutionsRoundOnce(TorchDispatchMode):
    """Convolutions of bfloat16 tensors are computed in float32, and their results are rounded."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function not in _CONVOLUTIONS or args[0].dtype != torch.bfloat16:
            return function(*args, **(kwargs or {}))
        exact = function(*tree_map_only(torch.Tensor, torch.Tensor.float, args), **(kwargs or {}))
        return tree_map_only(torch.Tensor, torch.Tensor.bfloat16, exact)


def gradients(preset, norm, shape, grid, device, dtype, rules):
    """Gradients of a random sum of all features, by parameter."""
    torch.manual_seed(0)
    encoder = Encoder(preset, norm=norm)
    for module in encoder.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 1.0
    encoder = encoder.to(device, torch.float64 if dtype == torch.float64 else torch.float32)
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 1, *shape, generator=generator)
    active = ActiveBlocks(draw_active_blocks(2, grid, 0.6, generator).mask.to(device))
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        features = sparse_encode(encoder, image.to(device, next(encoder.parameters()).dtype), active, rules=rules)
    assert features[0].rows.dtype == dtype
    weights = [torch.randn(packed.rows.shape, generator=generator).to(device) for packed in features]
    sums = [(packed.rows * weight).sum() for packed, weight in zip(features, weights, strict=True)]
    torch.stack(sums).sum().backward()
    return {name: parameter.grad.double() for name, parameter in encoder.named_parameters()}


def assert_close(preset, norm, shape, grid, device, names, rules):
    exact = gradients(preset, norm, shape, grid, device, torch.float64, CPU_RULES)
    with ConvolutionsRoundOnce() if device.type == "cpu" else nullcontext():
        rounded = gradients(preset, norm, shape, grid, device, torch.bfloat16, rules)
    errors = {name: ((rounded[name] - exact[name]).norm() / exact[name].norm()).item() for name in names(exact)}
    assert max(errors.values()) < MAX_ERROR, errors


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_every_gradient_of_an_encoder(rules, norm, device):
    """All weights, and all biases that no norm subtracts."""
    preset = Preset((8, 12, 16), 1, (1, 2, 2))
    assert_close(
        preset, norm, (32, 32, 32), (4, 4, 4), device, lambda all_: [n for n in all_ if ".conv" not in n], rules
    )
    assert_close(preset, norm, (32, 32, 32), (4, 4, 4), device, lambda all_: [n for n in all_ if "weight" in n], rules)


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_weights_of_a_block_at_the_papers_patch(rules, norm, device):
    """Weights only: a shift between two norms reaches features at the borders of the mask, and nearly cancels.

    What remains is the rounding of the cancelled terms.
    """
    assert_close(
        Preset((8,), 1, (1,)),
        norm,
        (112, 128, 128),
        (7, 8, 8),
        device,
        lambda all_: [n for n in all_ if "weight" in n],
        rules,
    )


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_every_weight_of_the_papers_encoder_at_its_patch(rules, norm, device):
    """All six levels at depth 2, with 4 instead of 64 channels; weights only, as above."""
    preset = Preset((4, 8, 16, 32, 64, 64), 2, PRESETS["L"].strides)
    assert_close(
        preset, norm, (112, 128, 128), (7, 8, 8), device, lambda all_: [n for n in all_ if "weight" in n], rules
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernels", [PairConvolution(), GatheredConvolution(2**14)])
def test_taps_are_summed_before_they_are_rounded(kernels, stride, device):
    """The 27 products of a tap each, against one convolution of the same rounded factors in double precision."""
    torch.manual_seed(0)
    conv = nn.Conv3d(32, 32, 3, stride, padding=1).to(device, torch.bfloat16)
    reference = nn.Conv3d(32, 32, 3, stride, padding=1).to(device, torch.float64)
    reference.load_state_dict(conv.state_dict())
    active = ActiveBlocks(torch.ones(1, 2, 2, 2, dtype=torch.bool, device=device))
    image = torch.randn(1, 32, 8, 8, 8, device=device).bfloat16().requires_grad_()
    exact = image.detach().double().requires_grad_()
    rules = replace(CPU_RULES, convolutions=(ConvolutionRule(kernels),))
    result = convolve(pack(image, active), conv, rules).rows
    expected = pack(reference(exact), active).rows
    grad = torch.randn(expected.shape, dtype=torch.bfloat16).to(device)
    result.backward(grad)
    expected.backward(grad.double())
    # one rounding costs 0.0017 of the whole, and that of each product some more; 27 sums in eight bits cost 0.006
    for ours, theirs in ((result, expected), (image.grad, exact.grad)):
        assert ((ours.double() - theirs).norm() / theirs.norm()).item() < 0.0025


@pytest.mark.parametrize("kernels", [TileConvolution(1), GatheredConvolution(2**13)])
def test_chunks_of_a_weight_gradient_are_summed_before_they_are_rounded(kernels, device):
    torch.manual_seed(0)
    conv = nn.Conv3d(8, 8, 3, padding=1).to(device, torch.bfloat16)
    reference = nn.Conv3d(8, 8, 3, padding=1).to(device, torch.float64)
    reference.load_state_dict(conv.state_dict())
    active = ActiveBlocks(torch.ones(1, 4, 4, 4, dtype=torch.bool, device=device))
    image = torch.randn(1, 8, 32, 32, 32).to(device, torch.bfloat16)
    grad = torch.randn(32**3, 8).to(device, torch.bfloat16)
    packed, padded_grad = pack(image, active), Packed.from_rows(grad, (8, 8, 8), active).padded
    arguments = (padded_grad, packed.padded, conv.weight, active, packed.block, (1, 1, 1))
    result = kernels.weight_gradient(*arguments).detach().double()
    pack(reference(image.double()), active).rows.backward(grad.double())
    expected = reference.weight.grad
    assert ((result - expected).norm() / expected.norm()).item() < 0.0025


def test_a_batch_norm_over_processes_rounds_once(device):
    """With one process, whose sums are the totals; in chunks of rows, of which the last is shorter."""
    generator = torch.Generator().manual_seed(0)
    rows, grad = (torch.randn(100_000, 4, generator=generator).to(device, torch.bfloat16) for _ in range(2))
    weight, bias = torch.rand(2, 4, generator=generator).to(device)
    norm = Norm([len(rows)], 1e-5, CPU_RULES.norm, shared=True, values_per_chunk=4 * 30_000)
    with patch("torch.distributed.all_reduce", lambda sums: None):
        moments = norm.forward(rows, weight, bias, torch.empty_like(rows))
        norm.backward(grad_rows := grad.clone(), rows, moments, weight)
    exact = rows.double().requires_grad_()
    expected = torch.nn.functional.batch_norm(exact, None, None, weight.double(), bias.double(), True, 0.0, 1e-5)
    expected.backward(grad.double())
    error = grad_rows.double() - exact.grad
    assert (error.norm() / exact.grad.norm()).item() < 0.0025
    # with random rounding errors, the error of a sum over n rows grows with the root of n; with equal ones, with n
    assert (error.sum(0).abs() < 5 * error.norm(dim=0)).all()
