"""Weights to start from: every kind of file and folder, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.networks import GynBTNet, transfer_weights, write_stu_net
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.runtime import BadInput
from gynbtnet.training.starting_weights import read_starting_weights

STRIDES = ((1, 1, 1), *((2, 2, 2),) * 4)


@pytest.fixture
def network() -> GynBTNet:
    torch.manual_seed(0)
    return GynBTNet("XS", outputs=3, strides=STRIDES)


def nnunet_checkpoint(path: Path, weights: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True)
    torch.save({"network_weights": weights, "trainer_name": "nnUNetTrainer", "nnssl_adaptation_plan": {"a": 1}}, path)
    return path


def assert_transfers(start: Path, network: GynBTNet, parts: str) -> None:
    """Check that all of a new network's parts become those of the network, and the report counts them."""
    source = read_starting_weights(start)
    assert source.parts == parts and len(source.sha256) == 64
    target = GynBTNet("XS", outputs=5, strides=STRIDES)
    report = transfer_weights(source.weights, target, parts=source.parts, source_channels=source.channels)
    assert report.share == 1
    own = network.state_dict()
    assert report.loaded and all(torch.equal(target.state_dict()[name], own[name]) for name in report.loaded)


def test_runs_of_ours(tmp_path: Path, network: GynBTNet) -> None:
    for name, structures, parts in (("pretraining", (), "encoder"), ("task", ("bladder", "rectum"), "all_but_heads")):
        save_plan(Plan(structures, (2, 2, 2), "zscore", None, (16, 32, 32), 1, "XS", STRIDES), tmp_path / name)
        save_file(network.state_dict(), tmp_path / name / "weights_last.safetensors")
        assert read_starting_weights(tmp_path / name).channels == ("CT",)
        assert_transfers(tmp_path / name, network, parts)


def test_an_exported_encoder(tmp_path: Path, network: GynBTNet) -> None:
    save_file(network.encoder.state_dict(), tmp_path / "encoder.safetensors")
    (tmp_path / "encoder.json").write_text(json.dumps({"input_channels": ["CT"]}))
    assert_transfers(tmp_path, network, "encoder")
    (tmp_path / "encoder.json").write_text(json.dumps({"input_channels": 1}))
    with pytest.raises(BadInput, match="names no input_channels"):
        read_starting_weights(tmp_path)


def test_files_of_stu_net(tmp_path: Path, network: GynBTNet) -> None:
    for name in ("published.model", "published.pth"):
        write_stu_net(network.state_dict(), tmp_path / name)
        assert_transfers(tmp_path / name, network, "all_but_heads")


@pytest.mark.parametrize("prefix", ["", "network.", "module.", "_orig_mod."])
def test_our_network_and_stu_net_trained_in_nnunet(tmp_path: Path, network: GynBTNet, prefix: str) -> None:
    weights = {f"{prefix}{name}": value for name, value in network.state_dict().items()}
    path = nnunet_checkpoint(tmp_path / "fold_0" / "checkpoint_final.pth", weights)
    assert_transfers(tmp_path, network, "all_but_heads")
    assert read_starting_weights(tmp_path).sha256 == read_starting_weights(path).sha256


def test_an_encoder_alone_in_a_checkpoint(tmp_path: Path, network: GynBTNet) -> None:
    """As nnssl stores what it pretrained."""
    weights = {f"encoder.{name}": value for name, value in network.encoder.state_dict().items()}
    assert_transfers(nnunet_checkpoint(tmp_path / "a" / "checkpoint_final.pth", weights), network, "encoder")


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="folder of a training run that has ended"):
        read_starting_weights(tmp_path)
    other = {"encoder.stem.convs.0.conv.weight": torch.zeros(1)}
    path = nnunet_checkpoint(tmp_path / "fold_0" / "checkpoint_final.pth", other)
    with pytest.raises(BadInput, match=r"another network than GynBTNet or STU-Net \(encoder.stem"):
        read_starting_weights(tmp_path)
    torch.save([1], path)
    with pytest.raises(BadInput, match="has no weights under network_weights"):
        read_starting_weights(path)
    torch.save({"network_weights": {"encoder.levels.0.weight": torch.tensor([torch.nan])}}, path)
    with pytest.raises(BadInput, match="NaN"):
        read_starting_weights(path)
    path.write_bytes(b"PK")
    with pytest.raises(BadInput, match="PyTorch checkpoint"):
        read_starting_weights(path)
