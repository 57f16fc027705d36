"""STU-Net's weights into ours and back, against STU-Net's architecture written down from its description."""

import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, leaky_relu

from gynbtnet.networks.presets import PRESETS, Preset
from gynbtnet.networks.stu_net import read_stu_net, write_stu_net
from gynbtnet.networks.transfer import transfer_weights
from gynbtnet.networks.unet import GynBTNet
from gynbtnet.runtime import BadInput

TINY = Preset((4, 8, 8, 16, 16, 16), depth=2, strides=(1, 2, 2, 2, 2, 1))


class Block(nn.Module):
    def __init__(self, before, channels, stride=1, first=True):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv3d(before, channels, 3, stride, 1), nn.InstanceNorm3d(channels, affine=True)
        self.conv2, self.norm2 = nn.Conv3d(channels, channels, 3, 1, 1), nn.InstanceNorm3d(channels, affine=True)
        self.conv3 = nn.Conv3d(before, channels, 1, stride) if first else None

    def forward(self, x):
        y = self.norm2(self.conv2(leaky_relu(self.norm1(self.conv1(x)), 0.01)))
        return leaky_relu(y + (x if self.conv3 is None else self.conv3(x)), 0.01)


class Upsample(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv, self.stride = nn.Conv3d(before, channels, 1), stride

    def forward(self, x):
        return self.conv(interpolate(x, scale_factor=self.stride, mode="nearest"))


def level(before, channels, depth, stride=1):
    return nn.Sequential(
        Block(before, channels, stride), *(Block(channels, channels, 1, False) for _ in range(depth - 1))
    )


class STUNet(nn.Module):
    """Levels of the decoder and their heads are numbered from coarse to fine."""

    def __init__(self, preset, outputs, strides, inputs=1):
        super().__init__()
        dims, depth = preset.channels, preset.depth
        self.conv_blocks_context = nn.ModuleList(
            level(b, c, depth, s) for b, c, s in zip((inputs, *dims), dims, strides, strict=False)
        )
        pairs = list(zip(dims[::-1], dims[-2::-1], strides[::-1], strict=False))
        self.upsample_layers = nn.ModuleList(Upsample(b, c, s) for b, c, s in pairs)
        self.conv_blocks_localization = nn.ModuleList(level(2 * c, c, depth) for _, c, _ in pairs)
        self.seg_outputs = nn.ModuleList(nn.Conv3d(c, outputs, 1) for _, c, _ in pairs)

    def forward(self, x):
        skips, logits = [], []
        for down in self.conv_blocks_context:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up, refine, head in zip(self.upsample_layers, self.conv_blocks_localization, self.seg_outputs, strict=True):
            x = refine(torch.cat((up(x), skips.pop()), 1))
            logits.append(head(x))
        return logits[::-1]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("last", [1, 2])
def test_a_published_checkpoint_gives_the_same_at_every_level(tmp_path, last):
    strides = (1, 2, 2, 2, 2, last)
    theirs = STUNet(TINY, 3, strides)
    beside = {"epoch": 4000, "best": np.float64(0.5), "fold": np.int64(0), "optimizer_state_dict": {"state": {}}}
    path = tmp_path / "base_ep4k.model"
    torch.save({"state_dict": theirs.state_dict(), **beside}, path)
    ours = GynBTNet(TINY, outputs=3, strides=strides)
    report = transfer_weights(read_stu_net(path), ours, parts="all_but_heads")
    assert report.share == 1
    assert not report.reshaped
    ours.load_state_dict(read_stu_net(path))
    image = torch.randn(1, 1, 64, 32, 64, dtype=torch.float64)
    with torch.no_grad():
        for mine, other in zip(ours.double()(image), theirs.double()(image), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("preset", ["S", "B", "L", "H"])
def test_names_and_shapes_of_every_preset_are_stu_nets(preset):
    with torch.device("meta"):
        theirs = STUNet(PRESETS[preset], 105, PRESETS[preset].strides).state_dict()
        ours = GynBTNet(preset, outputs=105).state_dict()
    from gynbtnet.networks.stu_net import _TO_STU_NET, _renamed

    assert {_renamed(n, _TO_STU_NET): v.shape for n, v in ours.items()} == {n: v.shape for n, v in theirs.items()}


@pytest.mark.parametrize("name", ["weights.pth", "weights.model"])
def test_there_and_back(tmp_path, name):
    ours = GynBTNet(TINY, outputs=3)
    write_stu_net(ours.state_dict(), tmp_path / name)
    STUNet(TINY, 3, TINY.strides).load_state_dict(next(iter(torch.load(tmp_path / name).values())))
    back = read_stu_net(tmp_path / name)
    assert back.keys() == ours.state_dict().keys()
    assert all(torch.equal(values, back[name]) for name, values in ours.state_dict().items())


def test_ddps_prefix_other_channels_and_other_classes(tmp_path):
    theirs = STUNet(TINY, 3, TINY.strides)
    torch.save({"network_weights": {f"module.{n}": v for n, v in theirs.state_dict().items()}}, tmp_path / "w.pth")
    ours = GynBTNet(TINY, in_channels=2, outputs=6)
    report = transfer_weights(read_stu_net(tmp_path / "w.pth"), ours, parts="all_but_heads", channels=("CT", "MR"))
    assert report.share == 1
    assert report.channels == ("CT: filters taken over", "MR: new, its filters start at zero")
    assert set(report.reshaped) == {"encoder.levels.0.0.conv1.weight", "encoder.levels.0.0.shortcut.weight"}


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"network_weights": {}, "plans": Trap()}, "trap.pth")
    with pytest.raises(BadInput, match="contains objects that would run code"):
        read_stu_net(tmp_path / "trap.pth")
    assert not (tmp_path / "trapped").exists()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("no checkpoint")
    torch.save({"network_weights": {"other": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(BadInput, match="not a PyTorch checkpoint"):
        read_stu_net(tmp_path / "text.pth")
    with pytest.raises(BadInput, match="does not contain STU-Net's weights under network_weights or state_dict"):
        read_stu_net(tmp_path / "other.pth")
