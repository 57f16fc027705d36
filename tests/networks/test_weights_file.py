"""Weights of another network are refused by the header, weights that are no numbers by their values."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gynbtnet.networks.weights_file import load_weights, read_weights
from gynbtnet.runtime import BadInput


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def saved(path: Path, change: Callable[[dict[str, Tensor]], object] = lambda weights: None) -> Path:
    weights = {name: value.clone() for name, value in network().state_dict().items()}
    change(weights)
    save_file(weights, path)
    return path


def test_intact_weights_are_read_back(tmp_path: Path) -> None:
    other = network()
    with torch.no_grad():
        next(other.parameters()).zero_()
    load_weights(other, saved(tmp_path / "w.safetensors"))
    for name, value in network().state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_weights(tmp_path: Path, half: torch.dtype) -> None:
    path = saved(tmp_path / "w.safetensors", lambda w: w.update({"0.weight": w["0.weight"].to(half)}))
    loaded = network()
    load_weights(loaded, path)
    torch.testing.assert_close(loaded[0].weight, network()[0].weight, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w["0.bias"].fill_(float("nan")), "NaN or infinite.*0.bias"),
        (lambda w: w["0.weight"][1, 2:].fill_(float("inf")), "NaN or infinite.*0.weight"),
        (lambda w: w["1.running_var"][:1].fill_(float("-inf")), "NaN or infinite"),
        (lambda w: w.update({"0.weight": w["0.weight"].to(torch.int32)}), "0.weight"),
        (lambda w: w.update({"0.weight": w["0.weight"] > 0}), "0.weight"),
        (lambda w: w.update({"0.weight": w["0.weight"].T.contiguous()}), r"0.weight has shape \(3, 4\)"),
        (lambda w: w.pop("0.bias"), "lacks 1 of 7 tensors.*0.bias"),
        (lambda w: w.update({"2.bias": torch.zeros(1)}), "1 other .*2.bias"),
    ],
)  # fmt: skip
def test_other_weights_are_refused(tmp_path: Path, change: Callable[[dict[str, Tensor]], object], words: str) -> None:
    path = saved(tmp_path / "w.safetensors", change)
    before = network()
    with pytest.raises(BadInput, match=words):
        load_weights(before, path)
    for name, value in network().state_dict().items():
        assert torch.equal(before.state_dict()[name], value)


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w["0.bias"].fill_(float("nan")),
        *(
            lambda w, kind=kind: w.update({"0.bias": torch.zeros(4).to(kind)})
            for kind in (torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2)
        ),
    ],
)
def test_a_transfer_reads_numbers_only(tmp_path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    with pytest.raises(BadInput, match=r"0\.bias"):
        read_weights(saved(tmp_path / "w.safetensors", change))


@pytest.mark.parametrize("cut", [0, 4, 100, -3])
def test_cut_files_are_refused(tmp_path: Path, cut: int) -> None:
    path = saved(tmp_path / "w.safetensors")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadInput, match="is damaged"):
        load_weights(network(), path)
    with pytest.raises(BadInput, match="is damaged"):
        read_weights(path)


def test_the_header_alone_refuses_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor is read for it, so that a large network for small weights costs nothing."""
    monkeypatch.setattr("gynbtnet.networks.weights_file.read_weights", lambda path: pytest.fail("weights were read"))
    with torch.device("meta"):
        large = nn.Sequential(nn.Linear(100_000, 100_000), nn.BatchNorm1d(100_000))
    with pytest.raises(BadInput, match="shape"):
        load_weights(large, saved(tmp_path / "w.safetensors"))
