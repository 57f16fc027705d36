"""Rules of a device, and the work of a GPU by the rules for CUDA, counted without one."""

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gynbtnet.networks import Preset
from gynbtnet.sparse.device_rules import CPU_RULES, cuda_rules, rules_for, values_per_chunk
from gynbtnet.sparse.kernels.gathered_convolution import GatheredConvolution
from gynbtnet.sparse.kernels.pair_convolution import PairConvolution
from gynbtnet.sparse.kernels.tile_convolution import TileConvolution


def choose(rules, edge, stride, channels):
    return type(rules.convolution((edge,) * 3, (stride,) * 3, torch.Size((*channels, 3, 3, 3))))


def test_a_cpu_tiles_large_blocks_and_small_weights():
    assert choose(CPU_RULES, 16, 1, (2048, 2048)) is TileConvolution
    assert choose(CPU_RULES, 8, 2, (2048, 2048)) is TileConvolution
    assert choose(CPU_RULES, 4, 1, (128, 128)) is TileConvolution
    assert choose(CPU_RULES, 4, 2, (256, 128)) is PairConvolution
    assert choose(CPU_RULES, 2, 1, (16, 16)) is PairConvolution


def test_cuda_decides_by_the_output_block_alone():
    rules = cuda_rules()
    assert choose(rules, 8, 2, (2048, 2048)) is TileConvolution
    assert choose(rules, 4, 1, (2048, 2048)) is TileConvolution
    assert choose(rules, 4, 2, (16, 16)) is GatheredConvolution
    assert choose(rules, 1, 1, (16, 16)) is GatheredConvolution


@pytest.mark.parametrize(
    ("free_gb", "values"), [(0, 2**23), (1, 2**23), (8, 2**25), (24, 2**27), (80, 2**29), (141, 2**30), (2000, 2**30)]
)
def test_chunks_grow_with_the_free_memory(free_gb, values):
    assert values_per_chunk(int(free_gb * 1e9)) == values


def test_a_gpu_is_asked_for_its_free_memory_once(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (asked.append(device), (80 * 10**9, 0))[1])
    rules_for.cache_clear()
    try:
        assert rules_for(torch.device("cuda", 0)) == cuda_rules(2**29) == rules_for(torch.device("cuda", 0))
        assert rules_for(torch.device("cpu")) is CPU_RULES
        assert len(asked) == 1
    finally:
        rules_for.cache_clear()


@pytest.fixture
def readiness(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    yield import_module("gpu_readiness")
    sys.modules.pop("gpu_readiness")


def test_a_step_on_a_gpu_keeps_its_limits(readiness):
    """The benchmark's own run, at the paper's size, which takes seconds and no memory."""
    options = SimpleNamespace(preset="L", batch=24, patch=(112, 128, 128), ratio=0.6, memory_gb=80.0)
    figures = readiness.figures(readiness.count_step(options))
    assert all(figures[name] <= limit for name, limit in readiness.LIMITS.items()), figures
    docs = readiness.last_figures(readiness.DOCS.read_text(encoding="utf-8"))
    assert set(docs) == set(figures)
    assert figures["floating-point operations, TFLOP"] == pytest.approx(
        docs["floating-point operations, TFLOP"], abs=0.1
    )


def test_the_counts_of_a_small_network_by_hand(readiness):
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3, padding=1, device="meta"), torch.nn.LeakyReLU())
    image = torch.empty(1, 1, 4, 4, 4, device="meta")
    with readiness.counted(network) as counts:
        y = network(image)
        y.sum().backward()
        with pytest.raises(NotImplementedError):  # its length is unknown without values
            (y > 0).nonzero()
        y[0, 0, 0, 0, 0].item()
    assert counts.flops == 2 * 2 * 27 * 64 * 2  # forward pass and weight gradient
    assert counts.operators["convolution"] == 1
    assert dict(counts.waits) == {"nonzero": 1, "_local_scalar_dense": 1}
    # the image in bfloat16 twice as much for its result, and the weight in bfloat16
    assert counts.saved_bytes == 64 * 2 + 2 * 64 * 2 + 2 * 27 * 2


def test_presets_with_few_levels_are_counted_too(readiness):
    options = SimpleNamespace(preset=Preset((16, 16), 1, (1, 2)), batch=1, patch=(8, 8, 8), ratio=0.5, memory_gb=1.0)
    assert readiness.count_step(options).waits.total() == 1
