"""Transfer of weights from one stage to the next, and its report."""

import json

import pytest
import torch

from gynbtnet.networks.presets import Preset
from gynbtnet.networks.transfer import transfer_weights
from gynbtnet.networks.unet import GynBTNet
from gynbtnet.runtime import BadInput

TINY = Preset((4, 6), depth=1, strides=(1, 2))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_the_encoder_is_transferred_and_the_decoder_stays():
    source, target = GynBTNet(TINY, outputs=2), GynBTNet(TINY, outputs=5)
    before = {name: values.clone() for name, values in target.state_dict().items()}
    weights = {**source.state_dict(), "mask_token": torch.zeros(4)}
    report = transfer_weights(weights, target, parts="encoder")
    for name, values in target.state_dict().items():
        assert torch.equal(values, weights[name] if name.startswith("encoder.") else before[name])
    assert report.share == 1
    assert set(report.loaded) == {name for name in before if name.startswith("encoder.")}
    assert report.skipped["mask_token"] == "not selected"
    assert not set(report.loaded) & set(report.skipped)
    assert set(report.loaded) | set(report.skipped) == set(weights)


def test_all_but_the_heads_are_transferred_to_other_classes():
    source, target = GynBTNet(TINY, outputs=2), GynBTNet(TINY, outputs=5)
    report = transfer_weights(source.state_dict(), target, parts="all_but_heads")
    assert report.share == 1
    assert torch.equal(target.decoder.levels[0][0].conv1.weight, source.decoder.levels[0][0].conv1.weight)
    assert {"decoder.heads.0.weight", "decoder.heads.0.bias"} == set(report.skipped)
    assert json.loads(json.dumps(report.to_json()))["loaded"] == list(report.loaded)


def test_an_image_in_two_equal_channels_gives_what_it_gave_in_one():
    source, target = GynBTNet(TINY, outputs=2), GynBTNet(TINY, in_channels=2, outputs=2)
    report = transfer_weights(source.state_dict(), target, parts="encoder", channels=("CT", "ct"))
    assert report.channels[0] == "CT: the sum of the filters of 1 channel of this name, shared among 2"
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
        transfer_weights(other.state_dict(), target, parts="encoder")
    assert all(torch.equal(values, before[name]) for name, values in target.state_dict().items())
    report = transfer_weights(other.state_dict(), target, parts="encoder", min_share=0)
    assert 0 < report.share < 0.95
    assert "shape (8, 4, 3, 3, 3)" in report.skipped["encoder.levels.1.0.conv1.weight"]


def test_missing_and_unknown_names_are_distinguished():
    target = GynBTNet(TINY, outputs=2)
    weights = dict(target.state_dict())
    weights["encoder.extra"] = weights.pop("encoder.levels.0.0.conv1.bias")
    report = transfer_weights(weights, target, parts="encoder", min_share=0.5)
    assert report.skipped["encoder.levels.0.0.conv1.bias"] == "not in the weights"
    assert report.skipped["encoder.extra"] == "not in this network"


def first_features(network, image):
    return network.encoder.levels[0](image)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ("CT", "MR")),  # a file without names is one channel, CT
        (("CT",), ("applicator", "ct")),
        (("CT", "MR"), ("MR", "CT")),  # the same shape, another order
        (("MR", "CT"), ("CT", "PET", "MR")),
        (("CT", "MR", "PET"), ("PET", "CT", "MR")),
    ],
)
def test_known_channels_keep_their_filters_and_new_ones_start_at_zero(before, after):
    """Features equal those of the source on its own channels, for any values in the new channels."""
    names = [name.casefold() for name in before or ("CT",)]
    source = GynBTNet(TINY, in_channels=len(names), outputs=2)
    target = GynBTNet(TINY, in_channels=len(after), outputs=2)
    report = transfer_weights(source.state_dict(), target, parts="encoder", channels=after, source_channels=before)
    assert report.share == 1
    image = torch.randn(2, len(after), 8, 8, 8)
    theirs = image[:, [[name.casefold() for name in after].index(name) for name in names]]
    torch.testing.assert_close(first_features(target, image), first_features(source, theirs), rtol=1e-5, atol=1e-6)
    expected = [
        f"{name}: {'filters taken over' if name.casefold() in names else 'new, its filters start at zero'}"
        for name in after
    ]
    assert list(report.channels) == expected


def test_a_new_channel_learns():
    source, target = GynBTNet(TINY, outputs=2), GynBTNet(TINY, in_channels=2, outputs=2, deep_supervision=False)
    transfer_weights(source.state_dict(), target, parts="encoder", channels=("CT", "MR"))
    filters = target.encoder.levels[0][0].conv1.weight
    assert filters[:, 1].abs().max() == 0
    target(torch.randn(1, 2, 8, 8, 8)).square().mean().backward()
    assert filters.grad[:, 1].abs().max() > 0


def test_a_channel_that_the_network_lacks_is_reported():
    source, target = GynBTNet(TINY, in_channels=2, outputs=2), GynBTNet(TINY, outputs=2)
    report = transfer_weights(
        source.state_dict(), target, parts="encoder", channels=("CT",), source_channels=("MR", "CT")
    )
    assert report.channels == ("CT: filters taken over", "MR: left out, this network has no such channel")
    assert torch.equal(target.encoder.levels[0][0].conv1.weight, source.encoder.levels[0][0].conv1.weight[:, 1:])


def test_channels_without_a_common_name():
    single, two = (GynBTNet(TINY, in_channels=number, outputs=2) for number in (1, 2))
    report = transfer_weights(single.state_dict(), GynBTNet(TINY, outputs=2), parts="encoder", channels=("MR",))
    assert report.channels == ("MR: filters of CT taken over, although the names differ",)
    with pytest.raises(BadInput, match="trained on the channels CT, and this network reads MR, PET: no name is in"):
        transfer_weights(single.state_dict(), two, parts="encoder", channels=("MR", "PET"))
    with pytest.raises(BadInput, match="no name is in both"):
        transfer_weights(two.state_dict(), single, parts="encoder", channels=("CT",))  # neither of the two is named
    unnamed = transfer_weights(two.state_dict(), GynBTNet(TINY, 2, outputs=2), parts="encoder", channels=("CT", "MR"))
    assert unnamed.channels[1] == "MR: filters of channel 1 taken over, although the names differ"
