"""Choice between the Triton kernels and PyTorch on a device."""

import ast
import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import gynbtnet
from gynbtnet.sparse.device_rules import cuda_rules, with_triton_kernels
from gynbtnet.sparse.kernels.norm_by_segment import NormBySegment
from gynbtnet.sparse.kernels.tile_convolution import TileConvolution
from gynbtnet.sparse.triton_kernels import self_check

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
needs_triton = pytest.mark.usefixtures("triton_is_installed")


@pytest.fixture
def triton_is_installed():
    pytest.importorskip("triton", reason="Triton is not installed; pip install 'gynbtnet[gpu]'")


@pytest.fixture(autouse=True)
def checks(monkeypatch, caplog):
    """Small checks that run again, and their log."""
    for check in (self_check.checked_norm, self_check.checked_convolution):
        check.cache_clear()
    for name, value in {"BLOCK": (1, 1, 2), "CHANNELS": (16, 24), "SEGMENTS": (40, 30)}.items():
        monkeypatch.setattr(self_check, name, value)
    caplog.set_level(logging.INFO, "gynbtnet")
    yield
    for check in (self_check.checked_norm, self_check.checked_convolution):
        check.cache_clear()


@needs_triton
def test_kernels_that_agree_are_used_and_logged_once(caplog):
    plain = cuda_rules(2**20)
    rules = with_triton_kernels(plain, DEVICE)
    assert with_triton_kernels(plain, DEVICE) == rules
    assert len(caplog.messages) == 2
    assert all("use the Triton kernel: it agrees" in message for message in caplog.messages)
    assert type(rules.norm).__name__ == "SegmentedNorm"

    def choose(edge, stride, channels):
        shape = torch.Size((*channels, 3, 3, 3))
        return type(rules.convolution((edge,) * 3, (stride,) * 3, shape)).__name__

    assert choose(16, 1, (64, 64)) == choose(8, 1, (16, 16)) == "BlockConvolution"
    assert choose(16, 1, (64, 1)) == choose(16, 2, (64, 64)) == choose(4, 1, (64, 64)) == "TileConvolution"
    assert choose(2, 1, (64, 64)) == "GatheredConvolution"


def test_without_triton_pytorch_is_used_and_the_extra_named(monkeypatch, caplog):
    for name in ("block_convolution", "segmented_norm"):
        monkeypatch.delitem(sys.modules, f"gynbtnet.sparse.triton_kernels.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    plain = cuda_rules(2**20)
    assert with_triton_kernels(plain, DEVICE) == plain == with_triton_kernels(plain, DEVICE)
    assert len(caplog.messages) == 2
    assert all("use PyTorch: " in message and "gynbtnet[gpu]" in message for message in caplog.messages)


@needs_triton
def test_a_kernel_that_disagrees_is_not_used(monkeypatch, caplog):
    """Off by 2 % of the typical value in single precision, as a wrong epsilon or a lost tap would be."""
    from gynbtnet.sparse.triton_kernels import segmented_norm

    class Wrong(segmented_norm.SegmentedNorm):
        def apply(self, rows, segments, moments, weight, bias, out, **options):
            super().apply(rows, segments, moments, weight, bias * 1.1, out, **options)

    monkeypatch.setattr(segmented_norm, "SegmentedNorm", Wrong)
    assert self_check.checked_norm(NormBySegment(), DEVICE) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the Triton kernel disagrees, its values in torch.float32 by 0." in record.message


@dataclass(frozen=True)
class Failing(TileConvolution):
    def weight_gradient(self, *arguments):
        raise RuntimeError("PTX of another driver")


@pytest.mark.parametrize("result", [float("nan"), None])
def test_kernels_that_fail_or_return_no_numbers(result, monkeypatch, caplog):
    reference = TileConvolution(2**20)
    if result is None:
        checked = self_check._checked(
            "convolutions", lambda: Failing(2**20), reference, self_check.convolution_results, DEVICE
        )
        expected = "the Triton kernel fails with RuntimeError: PTX of another driver"
    else:
        values = self_check.convolution_results

        def spoiled(kernels, *arguments):
            results = values(kernels, *arguments)
            if kernels is not reference:
                results["values"][3, 5] = result
            return results

        checked = self_check._checked("convolutions", lambda: replace(reference), reference, spoiled, DEVICE)
        expected = "the Triton kernel disagrees, its values in torch.float32 by nan"
        assert replace(reference) is not reference
    assert checked is None
    assert expected in caplog.text


def test_only_the_kernels_import_triton():
    """Everything else works without it, so that it stays optional."""
    source = Path(gynbtnet.__file__).parent
    importing = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            importing |= {path.name for name in names if name.split(".")[0] == "triton"}
    assert importing == {"block_convolution.py", "segmented_norm.py"}
