"""The baseline Swin-UNETR: MONAI's network for patches of any size, and its encoder with the pretraining's heads."""

import pytest
import torch

from gynbtnet.networks.transfer import transfer_weights
from gynbtnet.preparation import Plan, load_plan, save_plan
from gynbtnet.runtime import BadInput, require
from gynbtnet.training import build_network, build_proxy_network

pytest.importorskip("monai", reason="the baseline Swin-UNETR needs the extra gynbtnet[baselines]")
pytest.importorskip("einops", reason="the baseline Swin-UNETR needs the extra gynbtnet[baselines]")

from monai.networks.nets.swin_unetr import SwinUNETR as MonaiSwinUNETR

from gynbtnet.networks.swin_pretraining import SwinPretraining
from gynbtnet.networks.swin_unetr import SwinUNETR, crop_like, pad_to_multiple


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def swin_plan(**changes):
    values = {
        "structures": ("bladder", "rectum"),
        "spacing": (2.0, 2.0, 2.0),
        "normalisation": "zscore",
        "intensities": None,
        "patch_size": (16, 24, 40),
        "batch_size": 2,
        "preset": "F12",
        "strides": (),
        "network": "swin_unetr",
    }
    return Plan(**{**values, **changes})


def test_the_default_is_the_published_size():
    size = sum(values.numel() for values in SwinUNETR(outputs=14).parameters())
    assert size == pytest.approx(62.19e6, rel=1e-3)  # as MONAI reports for feature size 48


def test_a_patch_that_fits_gives_what_monai_gives():
    ours, theirs = SwinUNETR("F12", outputs=3).eval(), MonaiSwinUNETR(1, 3, feature_size=12).eval()
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(1, 1, 32, 32, 64)
    with torch.inference_mode():
        assert torch.equal(ours(image), theirs(image))


def test_the_papers_patch_is_padded_to_96_and_cropped_back():
    image = torch.randn(1, 2, 80, 160, 160)
    larger = pad_to_multiple(image)
    assert larger.shape == (1, 2, 96, 160, 160)
    assert torch.equal(larger[:, :, 8:88], image)
    assert torch.equal(crop_like(larger, image), image)
    assert torch.equal(larger[:, :, 0], image[:, :, 0])
    assert torch.equal(larger[:, :, -1], image[:, :, -1])


@pytest.mark.parametrize("shape", [(16, 40, 40), (31, 33, 64), (1, 1, 1)])
def test_padding_is_undone_for_any_size(shape):
    image = torch.randn(1, 1, *shape)
    assert all(n % 32 == 0 and n - m < 32 for n, m in zip(pad_to_multiple(image).shape[2:], shape, strict=True))
    assert torch.equal(crop_like(pad_to_multiple(image), image), image)


def test_logits_have_the_size_of_the_patch():
    network = build_network(swin_plan(), deep_supervision=True).eval()
    image = torch.randn(1, 1, 16, 24, 40)
    with torch.inference_mode():
        assert network(image).shape == (1, 3, 16, 24, 40)


def test_the_whole_pretrained_encoder_is_transferred():
    source, target = build_proxy_network(swin_plan()), build_network(swin_plan(), deep_supervision=False)
    before = {name: values.clone() for name, values in target.state_dict().items()}
    report = transfer_weights(source.state_dict(), target, parts="encoder")
    assert report.share == 1
    for name, values in target.state_dict().items():
        expected = source.state_dict() if name.startswith("swinViT.") else before
        assert torch.equal(values, expected[name]), name
    assert report.skipped["rotation.weight"] == report.skipped["out.conv.conv.weight"] == "not selected"


def test_all_but_the_head_is_transferred_to_other_classes_and_channels():
    source, target = SwinUNETR("F12", outputs=5), SwinUNETR("F12", in_channels=2, outputs=3)
    report = transfer_weights(source.state_dict(), target, parts="all_but_heads", channels=("CT", "MR"))
    assert report.share == 1
    assert set(report.skipped) == {"out.conv.conv.weight", "out.conv.conv.bias"}
    assert set(report.reshaped) == {
        "swinViT.patch_embed.proj.weight",
        "encoder1.layer.conv1.conv.weight",
        "encoder1.layer.conv3.conv.weight",
    }
    image = torch.randn(1, 1, 32, 32, 64)
    target.out.load_state_dict({name: values[:3] for name, values in source.out.state_dict().items()})
    with torch.inference_mode():
        expected = source.eval()(image)[:, :3]
        both = torch.cat((image, torch.randn_like(image)), 1)
        torch.testing.assert_close(target.eval()(both), expected, rtol=1e-3, atol=1e-4)


def test_another_networks_weights_are_refused():
    gynbtnet = build_network(
        swin_plan(network="gynbtnet", preset="XS", strides=((1, 1, 1),) * 5), deep_supervision=True
    )
    with pytest.raises(BadInput, match=r"cover 0\.0 % of this network's encoder"):
        transfer_weights(gynbtnet.state_dict(), SwinUNETR("F12", outputs=3), parts="encoder")


def test_the_heads_give_outputs_for_the_whole_patch():
    network = SwinPretraining("F12").eval()
    with torch.inference_mode():
        outputs = network(torch.randn(2, 1, 40, 24, 24))
    assert outputs.image.shape == (2, 1, 40, 24, 24)
    assert outputs.rotation.shape == (2, 4)
    assert outputs.representation.shape == (2, 512)


def test_plans_come_back_with_their_network(tmp_path):
    save_plan(swin_plan(), tmp_path)
    assert load_plan(tmp_path) == swin_plan()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preset": "L"}, "preset of swin_unetr is one of F12, F24, F48, not L"),
        ({"strides": ((1, 1, 1),)}, "swin_unetr has its own strides"),
        ({"patch_size": (16, 32, 32)}, "single voxel"),
        ({"network": "unetr"}, "gynbtnet or swin_unetr"),
    ],
)
def test_plans_that_do_not_fit(changes, words):
    with pytest.raises(ValueError, match=words):
        swin_plan(**changes)


def test_an_unknown_preset_is_refused():
    with pytest.raises(BadInput, match="F12, F24, F48"):
        SwinUNETR("F96", outputs=2)


def test_a_missing_library_is_reported_with_its_remedy():
    require("baselines", "torch")
    with pytest.raises(BadInput, match=r"needs nowhere_lib.*pip install gynbtnet\[baselines\]"):
        require("baselines", "torch", "nowhere_lib")
