"""The network optimised for the CPU and the plain one: same parameters, same results, less memory."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import nn

from gynbtnet.inference.engine.cpu_optimisation.blocks import CpuDecoderBlock
from gynbtnet.inference.engine.cpu_optimisation.optimise import optimise_for_cpu
from gynbtnet.inference.engine.cpu_optimisation.tuning import CpuTuning
from gynbtnet.inference.models import backends
from gynbtnet.networks import GynBTNet, Preset, ResidualBlock, upsample
from gynbtnet.runtime import BadInput

EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
EVERYWHERE = CpuTuning(slab_values=16 * 5 * 32 * 48, min_norm_voxels=1, min_split_voxels=1)
"""Every lean operation runs, on maps of every size and in several slabs."""


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "tuning",
    [
        EVERYWHERE,
        *(pytest.param(tuning, marks=pytest.mark.slow) for tuning in (CpuTuning(), CpuTuning(min_split_voxels=10**9))),
    ],
)
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_the_optimised_network_predicts_the_same(tuning, deep_supervision):
    network = GynBTNet("XS", outputs=3, deep_supervision=deep_supervision).double()
    for parameter in network.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    image = torch.randn(1, 1, 32, 32, 48, dtype=torch.float64)
    before = image.clone()
    expected = network(image)
    optimised = optimise_for_cpu(network, tuning)
    for mode in (torch.inference_mode(), torch.enable_grad()):
        with mode:
            torch.testing.assert_close(optimised(image), expected, **EXACT)
    assert torch.equal(image, before)
    torch.testing.assert_close(network(image), expected, rtol=0, atol=0)


def test_anisotropic_strides_and_several_channels():
    strides = (1, (1, 2, 2), (2, 1, 2), 1)
    network = GynBTNet(Preset((4, 6, 8, 8), 2, (1, 2, 2, 1)), in_channels=2, outputs=3, strides=strides).double()
    image = torch.randn(2, 2, 4, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(optimise_for_cpu(network, EVERYWHERE)(image), network(image), **EXACT)


def test_the_network_is_left_unchanged_and_shares_its_parameters():
    network = GynBTNet(Preset((4, 6, 8), 2, (1, 2, 2)), outputs=2, deep_supervision=False)
    modules = list(network.named_modules())
    optimised = optimise_for_cpu(network)
    assert list(network.named_modules()) == modules
    ours, theirs = dict(network.named_parameters()), dict(optimised.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)
    assert network.state_dict().keys() == optimised.state_dict().keys()


def test_other_networks_are_returned_as_they_are():
    network = nn.Conv3d(1, 2, 3)
    assert optimise_for_cpu(network) is network


def test_an_image_of_the_wrong_size_or_on_another_device_is_refused():
    optimised = optimise_for_cpu(GynBTNet("XS", outputs=2))
    with pytest.raises(BadInput, match=r"32×40×48.*16×16×16"):
        optimised(torch.zeros(1, 1, 32, 40, 48))
    with pytest.raises(ValueError, match="on a CPU, not on meta"):
        optimised(torch.zeros(1, 1, 32, 32, 48, device="meta"))


@pytest.mark.parametrize("stride", list(product((1, 2), repeat=3)))
@pytest.mark.parametrize("min_split_voxels", [1, 10**9])
@torch.no_grad()
def test_the_decoder_block_equals_a_residual_block_on_both_maps(stride, min_split_voxels):
    block = ResidualBlock(8, 4, project_shortcut=True).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    size = (2, 3, 4)
    below = torch.randn(2, 4, *size, dtype=torch.float64)
    skip = torch.randn(2, 4, *(n * s for n, s in zip(size, stride, strict=True)), dtype=torch.float64)
    before = below.clone(), skip.clone()
    expected = block(torch.cat((upsample(below, skip.shape[2:]), skip), dim=1))
    lean = CpuDecoderBlock(block, CpuTuning(min_norm_voxels=1, min_split_voxels=min_split_voxels))
    torch.testing.assert_close(lean(below, skip), expected, **EXACT)
    assert torch.equal(below, before[0])
    assert torch.equal(skip, before[1])


def test_the_optimised_network_needs_less_memory():
    network = GynBTNet("XS", outputs=3, deep_supervision=False)
    image = torch.zeros(1, 1, 32, 64, 64)
    peaks = []
    for candidate in (network, optimise_for_cpu(network)):
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.inference_mode(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            candidate(image)
        events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
        current = peak = 0
        for event in sorted(events, key=lambda event: event.start_ns()):
            current += event.nbytes()
            peak = max(peak, current)
        peaks.append(peak)
    plain, lean = peaks
    assert lean < 0.7 * plain


def test_prediction_on_a_cpu_optimises_the_network(monkeypatch):
    network = GynBTNet("XS", outputs=2, deep_supervision=False)
    optimised = []

    def record(candidate):
        optimised.append(candidate)
        return optimise_for_cpu(candidate)

    monkeypatch.setattr(backends, "optimise_for_cpu", record)
    image = torch.randn(1, 1, 32, 32, 48)
    run = backends.prepare_network(network, "eager", torch.device("cpu"), channels=1, outputs=2, window=(32, 32, 48))
    torch.testing.assert_close(run(image), network(image), rtol=1e-3, atol=1e-4)
    assert optimised == [network]
