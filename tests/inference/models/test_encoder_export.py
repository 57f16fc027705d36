"""Exported encoders: the same features in plain PyTorch, without this package."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.imaging import Geometry, Volume
from gynbtnet.inference.models.encoder_export import export_encoder
from gynbtnet.networks import Encoder, find_preset
from gynbtnet.preparation import Intensity, Plan, preprocess_volume, save_plan
from gynbtnet.runtime import BadInput
from gynbtnet.sparse import DenseMaskedAutoencoder, MaskedAutoencoder, draw_active_blocks, sparse_encode

NormKind = Literal["instance", "batch"]
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2))
HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "encoder.md"
CT = Intensity(40, 150, -200, 300, 40, -500, 900)


def write_run(
    folder: Path, *, norm: NormKind = "instance", channels: tuple[str, ...] = ("CT",), ct: bool = False
) -> Path:
    """Write the folder of a finished pretraining."""
    plan = Plan(
        (), (2.0, 2.0, 2.0), "ct" if ct else "zscore", (CT,) * len(channels) if ct else None, (16, 32, 32), 1, "XS",
        STRIDES, channels=channels,
    )  # fmt: skip
    torch.manual_seed(0)
    network = MaskedAutoencoder("XS", len(channels), strides=STRIDES, norm=norm)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    save_plan(plan, folder)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / "weights_last.safetensors")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "channels", "ct"), [("instance", ("CT",), True), ("batch", ("CT", "T2"), False)])
def test_features_are_those_of_the_run(tmp_path: Path, norm: NormKind, channels: tuple[str, ...], ct: bool) -> None:
    """The loader runs in a process that can't import this package."""
    run = write_run(tmp_path / "run", norm=norm, channels=channels, ct=ct)
    out = export_encoder(run, tmp_path / "encoder")
    assert {path.name for path in out.iterdir()} == {"encoder.safetensors", "encoder.json", "load_encoder.py"}
    image = torch.randint(-1100, 1000, (len(channels), 16, 32, 32)).short()
    torch.save(image, tmp_path / "image.pt")
    code = (
        "import sys, torch; sys.modules['gynbtnet'] = None; sys.path.insert(0, 'encoder')\n"
        "from load_encoder import load_encoder, normalise\n"
        "encoder, about = load_encoder('encoder'); image = normalise(torch.load('image.pt'), about)\n"
        "with torch.no_grad(): torch.save((image, encoder(image)), 'features.pt')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    normalised, features = torch.load(tmp_path / "features.pt")
    plan = json.loads((out / "encoder.json").read_text())
    assert (plan["preset"], plan["norm"], plan["spacing_mm"]) == ("XS", norm, [2.0, 2.0, 2.0])
    from gynbtnet.preparation import load_plan

    volumes = [Volume(channel.numpy(), Geometry((16, 32, 32), (2.0, 2.0, 2.0))) for channel in image]
    expected, _ = preprocess_volume(volumes, load_plan(run))
    torch.testing.assert_close(normalised[0], torch.from_numpy(expected), atol=1e-4, rtol=1e-4)
    encoder = Encoder(find_preset("XS"), len(channels), STRIDES, norm).eval()
    network = MaskedAutoencoder("XS", len(channels), strides=STRIDES, norm=norm)
    from gynbtnet.networks import read_weights

    network.load_state_dict(read_weights(run / "weights_last.safetensors"))
    encoder.load_state_dict(network.encoder.state_dict())
    with torch.no_grad():
        for own, level in zip(features, encoder(normalised), strict=True):
            torch.testing.assert_close(own, level, atol=1e-4, rtol=1e-4)


def test_what_is_refused(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "run"), tmp_path / "encoder"
    with pytest.raises(BadInput, match=r"There is no .*weights_best"):
        export_encoder(run, out, weights="best")
    export_encoder(run, out)
    with pytest.raises(BadInput, match="contains an encoder already"):
        export_encoder(run, out)
    assert export_encoder(run, out, force=True) == out
    with pytest.raises(BadInput):
        export_encoder(run, run, force=True)
    save_file({"decoder.weight": torch.zeros(1)}, run / "weights_last.safetensors")
    with pytest.raises(BadInput, match="holds no encoder"):
        export_encoder(run, tmp_path / "other")


def test_the_how_to_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run")
    exported = export_encoder(run, tmp_path / "encoder")
    monkeypatch.setattr(sys, "path", list(sys.path))
    blocks = HOW_TO.read_text(encoding="utf-8").split("```python\n")[1:]
    code = "\n".join(block.split("```")[0] for block in blocks)
    try:
        exec(compile(code, str(HOW_TO), "exec"), {"exported": exported, "run": run})
    finally:
        sys.modules.pop("load_encoder", None)


@pytest.mark.parametrize("kind", [MaskedAutoencoder, DenseMaskedAutoencoder])
def test_a_mask_may_be_a_tensor(kind: type) -> None:
    torch.manual_seed(0)
    network, image = kind("XS", strides=STRIDES), torch.randn(2, 1, 8, 32, 32)
    active = draw_active_blocks(2, network.encoder.deepest_grid((8, 32, 32)), 0.5, torch.Generator())
    with torch.no_grad():
        assert (network(image, active.mask) == network(image, active)).all()
        for own, other in zip(
            sparse_encode(network.encoder, image, active.mask),
            sparse_encode(network.encoder, image, active),
            strict=True,
        ):
            assert (own.padded == other.padded).all()
    with pytest.raises(ValueError, match="a mask is bool"):
        network(image, active.mask.float())
