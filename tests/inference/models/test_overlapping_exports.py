"""Models of overlapping structures, exported and run by other software, and computed by every backend."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.imaging import (
    NO_NESTING,
    Geometry,
    Nesting,
    OverlappingSegmentation,
    Regions,
    Volume,
    read_volume,
    write_volume,
)
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.ensemble import Ensemble
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.models.nnunet_export import export_nnunet
from gynbtnet.inference.models.onnx_export import export_onnx
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, preprocess_volume, save_plan

from ..conftest import STRIDES
from .test_model_exports import scan, stock_nnunet

NAMES = ("hr_ctv", "uterus", "bladder")  # nnU-Net's order: uterus, bladder, hr_ctv


def write_model(folder: Path, nesting: Nesting = NO_NESTING, seed: int = 0) -> Model:
    plan = Plan(
        structures=NAMES,
        spacing=(2.0, 2.0, 2.0),
        normalisation="zscore",
        intensities=None,
        patch_size=(16, 32, 32),
        batch_size=2,
        preset="XS",
        strides=STRIDES,
        regions=Regions.of(NAMES, [("hr_ctv", "uterus")]),
        nesting=nesting,
    )
    torch.manual_seed(seed)
    save_plan(plan, folder)
    save_file(GynBTNet("XS", outputs=3, strides=STRIDES).state_dict(), folder / "weights_last.safetensors")
    return Model.load(folder, device="cpu")


def trained(folder: Path) -> Model:
    """Train some steps: the bright ball is HR-CTV and uterus, all tissue is uterus, the dark ball is bladder."""
    model = write_model(folder)
    array, _ = preprocess_volume([scan()], model.plan)
    hu = torch.from_numpy(scan().array)
    masks = torch.stack([hu > 150, hu > -75, (hu < -75) & (hu > -400)])[None].float()
    image = torch.from_numpy(np.ascontiguousarray(array))[None]
    network = model.network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    corners = torch.Generator().manual_seed(0)
    for _ in range(60):
        z, y, x = (
            int(torch.randint(n - p + 1, (), generator=corners))
            for n, p in zip((24, 40, 44), (16, 32, 32), strict=True)
        )
        part = (slice(None), slice(None), slice(z, z + 16), slice(y, y + 32), slice(x, x + 32))
        torch.nn.functional.binary_cross_entropy_with_logits(network(image[part]), masks[part]).backward()
        optimizer.step()
        optimizer.zero_grad()
    network.eval()
    return model


@pytest.mark.slow
def test_stock_nnunet_predicts_the_same_masks(tmp_path: Path) -> None:
    pytest.importorskip("nnunetv2")
    model = trained(tmp_path / "model")
    folder = export_nnunet(model, tmp_path / "nnunet")
    assert "add `--save_probabilities`" in (folder / "README.md").read_text()
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    write_volume(scan(), scans / "scan_0000.nii.gz")
    stock_nnunet(folder, scans, out, "--disable_tta", "--save_probabilities")
    ours = predict(model, scan(), PredictionSettings(mirroring=False))
    assert isinstance(ours, OverlappingSegmentation)
    probabilities = np.load(out / "scan.npz")["probabilities"][:, :, ::-1, ::-1]  # nnU-Net's reader reorients
    for name, probability in zip(("uterus", "bladder", "hr_ctv"), probabilities, strict=True):
        mask = ours.mask(name)
        assert 0.005 < mask.mean() < 0.9
        assert (mask == (probability > 0.5)).mean() >= 0.999, name
    assert (ours.mask("hr_ctv") & ours.mask("uterus")).any()
    assert (read_volume(out / "scan.nii.gz").array == ours.labels.array).mean() >= 0.999


def test_the_readme_names_nested_structures(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", Nesting.parse(["hr_ctv < uterus"]))
    readme = (export_nnunet(model, tmp_path / "nnunet") / "README.md").read_text()
    assert "(hr_ctv inside uterus) are not kept inside each other" in readme


@pytest.mark.slow
def test_onnx_gives_one_logit_per_structure(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = write_model(tmp_path / "model")
    session = runtime.InferenceSession(
        str(export_onnx(model, tmp_path / "model.onnx")), providers=["CPUExecutionProvider"]
    )
    image = torch.randn(2, 1, 16, 32, 32)
    with torch.no_grad():
        expected = model.network(image).numpy()
    (output,) = session.run(None, {"image": image.numpy()})
    assert output.shape[1] == 3
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)


def small_scan() -> Volume:
    """Return the scan's part with both balls."""
    return Volume(scan().array[4:20, 4:36, 6:38], Geometry((16, 32, 32), (2.0, 2.0, 2.0)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # Inductor's own
@pytest.mark.parametrize("backend", ["openvino", pytest.param("compiled", marks=pytest.mark.slow)])
def test_backends_give_the_masks_of_pytorch(tmp_path: Path, backend: str) -> None:
    if backend == "openvino" and not importlib.util.find_spec("openvino"):
        pytest.skip("openvino is not installed")
    model = write_model(tmp_path / "model")
    eager, other = (
        predict(model, small_scan(), PredictionSettings(mirroring=False, backend=name)) for name in ("eager", backend)
    )
    for name in NAMES:
        assert (eager.mask(name) == other.mask(name)).mean() > 0.9995, name


def test_an_ensemble_averages_logits_and_keeps_the_nesting(tmp_path: Path) -> None:
    nesting = Nesting.parse(["hr_ctv < uterus"])
    members = tuple(write_model(tmp_path / f"fold_{seed}", nesting, seed) for seed in range(2))
    ensemble = load_model(tmp_path, PredictionSettings(device="cpu"))
    assert isinstance(ensemble, Ensemble)
    settings = PredictionSettings(mirroring=False, overlap=0)
    result = predict(ensemble, small_scan(), settings)
    assert isinstance(result, OverlappingSegmentation)
    assert nesting.broken_voxels(result.own) == 0
    array, _ = preprocess_volume([small_scan()], members[0].plan)
    image = torch.from_numpy(np.ascontiguousarray(array))[None]
    with torch.no_grad():
        mean = sum(member.network.eval()(image) for member in members)[0] / 2
    expected = nesting.most_likely(mean, NAMES).numpy()
    for name, mask in zip(NAMES, expected, strict=True):
        assert (result.mask(name) == mask).mean() > 0.999, name
