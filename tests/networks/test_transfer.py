"""What comes over from one stage to the next, and what is told about it."""

import json

import pytest
import torch

from gynbtnet.errors import BadInput
from gynbtnet.networks.presets import Preset
from gynbtnet.networks.transfer import transfer
from gynbtnet.networks.unet import GynBTNet

TINY = Preset((4, 6), depth=1, strides=(1, 2))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_the_encoder_comes_over_and_the_decoder_stays():
    source, target = GynBTNet(TINY, outputs=2), GynBTNet(TINY, outputs=5)
    before = {name: values.clone() for name, values in target.state_dict().items()}
    weights = {**source.state_dict(), "mask_token": torch.zeros(4)}
    report = transfer(weights, target, parts="encoder")
    for name, values in target.state_dict().items():
        assert torch.equal(values, weights[name] if name.startswith("encoder.") else before[name])
    assert report.share == 1
    assert set(report.loaded) == {name for name in before if name.startswith("encoder.")}
    assert report.skipped["mask_token"] == "not asked for"
    assert not set(report.loaded) & set(report.skipped)
    assert set(report.loaded) | set(report.skipped) == set(weights)


def test_all_but_the_heads_come_over_to_other_classes():
    source, target = GynBTNet(TINY, outputs=2), GynBTNet(TINY, outputs=5)
    report = transfer(source.state_dict(), target, parts="all_but_heads")
    assert report.share == 1
    assert torch.equal(target.decoder.levels[0][0].conv1.weight, source.decoder.levels[0][0].conv1.weight)
    assert {"decoder.heads.0.weight", "decoder.heads.0.bias"} == set(report.skipped)
    assert json.loads(json.dumps(report.to_json()))["loaded"] == list(report.loaded)


def test_an_image_in_two_equal_channels_gives_what_it_gave_in_one():
    source, target = GynBTNet(TINY, outputs=2), GynBTNet(TINY, in_channels=2, outputs=2)
    report = transfer(source.state_dict(), target, parts="encoder")
    assert set(report.reshaped) == {"encoder.levels.0.0.conv1.weight", "encoder.levels.0.0.shortcut.weight"}
    image = torch.randn(1, 1, 8, 8, 8)
    expected = source.encoder(image)
    for theirs, ours in zip(expected, target.encoder(image.expand(-1, 2, -1, -1, -1)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_too_little_is_refused_and_changes_nothing():
    target = GynBTNet(TINY, outputs=2)
    before = {name: values.clone() for name, values in target.state_dict().items()}
    other = GynBTNet(Preset((4, 8), depth=1, strides=(1, 2)), outputs=2)
    with pytest.raises(BadInput, match=r"cover \d+\.\d % of this network's encoder, expected at least 95.0 %"):
        transfer(other.state_dict(), target, parts="encoder")
    assert all(torch.equal(values, before[name]) for name, values in target.state_dict().items())
    report = transfer(other.state_dict(), target, parts="encoder", at_least=0)
    assert 0 < report.share < 0.95
    assert "shape (8, 4, 3, 3, 3)" in report.skipped["encoder.levels.1.0.conv1.weight"]


def test_missing_and_unknown_names_are_told_apart():
    target = GynBTNet(TINY, outputs=2)
    weights = dict(target.state_dict())
    weights["encoder.extra"] = weights.pop("encoder.levels.0.0.conv1.bias")
    report = transfer(weights, target, parts="encoder", at_least=0.5)
    assert report.skipped["encoder.levels.0.0.conv1.bias"] == "not in the weights"
    assert report.skipped["encoder.extra"] == "not in this network"
