"""Initial weights of segmentation heads."""

import pytest
import torch
from torch import nn

from gynbtnet.networks import GynBTNet
from gynbtnet.networks.initialisation import expect_structures_rarely, scale_heads

STRIDES = ((1, 1, 1), *((2, 2, 2),) * 4)


def gynbtnet() -> nn.Module:
    return GynBTNet("XXS", outputs=3, strides=STRIDES)


def swin_unetr() -> nn.Module:
    pytest.importorskip("monai", reason="the baseline Swin-UNETR needs the extra gynbtnet[baselines]")
    pytest.importorskip("einops", reason="the baseline Swin-UNETR needs the extra gynbtnet[baselines]")
    from gynbtnet.networks.swin_unetr import SwinUNETR

    return SwinUNETR("F12", outputs=3)


@pytest.mark.parametrize(("build", "heads"), [(gynbtnet, "decoder.heads."), (swin_unetr, "out.")])
def test_only_the_biases_of_the_heads_change_and_structures_are_rare(build, heads: str) -> None:
    network = build()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    expect_structures_rarely(network, 0.02)
    changed = {name for name, values in network.state_dict().items() if not torch.equal(values, before[name])}
    assert changed == {name for name in before if name.startswith(heads) and name.endswith("bias")} != set()
    for name in changed:
        assert torch.allclose(network.state_dict()[name].sigmoid(), torch.tensor(0.02))


def test_a_network_without_head_weights_predicts_the_probability_everywhere() -> None:
    network = gynbtnet()
    scale_heads(network, 0)
    expect_structures_rarely(network)
    for logits in network(torch.randn(1, 1, 16, 32, 32)):
        assert torch.allclose(logits.sigmoid(), torch.tensor(0.01))


def test_scaled_heads_scale_the_logits() -> None:
    torch.manual_seed(0)
    network, image = gynbtnet().eval(), torch.randn(1, 1, 16, 32, 32)
    before = network(image)
    scale_heads(network, 0.5)
    assert all(torch.allclose(2 * now, then, atol=1e-5) for now, then in zip(network(image), before, strict=True))
