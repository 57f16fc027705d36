"""Exported models, run by the software that they are exported for."""

import copy
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch import nn
from torch.nn.functional import one_hot

from gynbtnet.imaging import Geometry, Volume, read_volume, write_volume
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.nnunet_export import export_nnunet
from gynbtnet.inference.models.onnx_export import export_onnx
from gynbtnet.inference.models.stu_net_export import export_stu_net
from gynbtnet.networks import read_stu_net
from gynbtnet.preparation import Intensity, preprocess_volume
from gynbtnet.runtime import BadInput


def scan(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    """Return a phantom of two balls in water in air, with noise, different along every axis."""
    shape = (24, 40, 44)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    hu = np.full(shape, -1000.0)
    hu[:, 3:37, 4:41] = 0
    hu[(z - 10) ** 2 + (y - 13) ** 2 + (x - 14) ** 2 < 49] = 300
    hu[(z - 14) ** 2 + (y - 26) ** 2 + (x - 30) ** 2 < 64] = -150
    hu += np.random.default_rng(0).normal(0, 10, shape)
    geometry = Geometry(shape, (2.0, 2.0, 2.0), (3.0, -7.0, 11.0), tuple(map(float, direction)))
    return Volume(np.clip(hu, -1020, None).astype(np.float32), geometry)


@pytest.fixture
def untrained(model_folder):
    return Model.load(model_folder, device="cpu")


@pytest.fixture
def trained(model_folder):
    """The model after some steps towards the two balls, with few voxels left on the edge of a decision."""
    model = Model.load(model_folder, device="cpu")
    array, _ = preprocess_volume([scan()], model.plan)
    hu = torch.from_numpy(scan().array)
    labels = ((hu > 150).long() + 2 * ((hu < -75) & (hu > -400)).long())[None]
    image = torch.from_numpy(np.ascontiguousarray(array))[None]
    network = model.network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    corners = torch.Generator().manual_seed(0)
    for _ in range(90):
        z, y, x = (
            int(torch.randint(n - p + 1, (), generator=corners))
            for n, p in zip((24, 40, 44), (16, 32, 32), strict=True)
        )
        part = (slice(z, z + 16), slice(y, y + 32), slice(x, x + 32))
        target = one_hot(labels[(slice(None), *part)], 3).movedim(-1, 1).float()
        loss = torch.nn.functional.cross_entropy(network(image[(slice(None), slice(None), *part)]), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.eval()
    return model


def stock_nnunet(folder, scans, out, *options):
    """Return the label maps of nnU-Net's own command, for every scan in a folder."""
    run = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as f; f()"
    command = [sys.executable, "-c", run, "-i", scans, "-o", out, "-m", folder, "-f", "0", "-device", "cpu"]
    command += ["-npp", "1", "-nps", "1", *options]
    subprocess.run(list(map(str, command)), check=True, env=os.environ | {"nnUNet_n_proc_DA": "0"}, timeout=500)


@pytest.mark.slow
@pytest.mark.parametrize("mirroring", [False, True])
def test_several_windows_resampled_and_normalised_as_ct_are_nnunets(trained, tmp_path, mirroring):
    """The two balls on finer voxels, by intensities of a cohort."""
    pytest.importorskip("nnunetv2")
    hu = scan().array
    intensity = Intensity(float(hu.mean()), float(hu.std()), -1010, 310, float(np.median(hu)), -1020, 320)
    model = replace(trained, plan=replace(trained.plan, normalisation="ct", intensities=(intensity,)))
    fine = zoom(hu, (2.5, 2.2, 2.3), order=1)
    spacing = tuple(2.0 * n / m for n, m in zip(hu.shape, fine.shape, strict=True))
    volume = Volume(fine, Geometry(fine.shape, spacing, (3.0, -7.0, 11.0)))
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    write_volume(volume, scans / "scan_0000.nii.gz")
    stock_nnunet(export_nnunet(model, tmp_path / "nnunet"), scans, out, *([] if mirroring else ["--disable_tta"]))
    ours = predict(model, volume, PredictionSettings(mirroring=mirroring)).labels.array
    theirs = read_volume(out / "scan.nii.gz").array
    assert len(np.unique(ours)) == 3
    assert (ours == theirs).mean() >= 0.999


@pytest.mark.slow
def test_stock_nnunet_predicts_the_same_labels_in_any_orientation(trained, tmp_path):
    pytest.importorskip("nnunetv2")
    folder = export_nnunet(trained, tmp_path / "nnunet")
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    volumes = {"lps": scan(), "rotated": scan((0, -1, 0, 1, 0, 0, 0, 0, 1))}
    for name, volume in volumes.items():
        write_volume(volume, scans / f"{name}_0000.nii.gz")
    stock_nnunet(folder, scans, out, "--disable_tta")
    for name, volume in volumes.items():
        ours = predict(trained, volume, PredictionSettings(mirroring=False)).labels.array
        theirs = read_volume(out / f"{name}.nii.gz").array
        assert len(np.unique(ours)) == 3
        assert (ours == theirs).mean() >= 0.999, name


def test_the_nnunet_folder_is_replaced_only_by_force(untrained, tmp_path):
    folder = export_nnunet(untrained, tmp_path / "nnunet")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"dataset.json", "plans.json", "README.md", "gynbtnet.json", "fold_0/checkpoint_final.pth"}
    with pytest.raises(BadInput, match="earlier export; replace it with --force"):
        export_nnunet(untrained, folder)
    export_nnunet(untrained, folder, force=True)
    (folder / "notes.txt").touch()
    with pytest.raises(BadInput, match=r"'notes\.txt', which is not part of an export"):
        export_nnunet(untrained, folder, force=True)


@pytest.mark.slow
def test_onnx_gives_torchs_numbers_for_any_batch(untrained, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = export_onnx(untrained, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        image = torch.randn(batch, 1, 16, 32, 32)
        with torch.no_grad():
            expected = untrained.network(image).numpy()
        (output,) = session.run(None, {"image": image.numpy()})
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["plan"])["structures"] == ["bladder", "rectum"]
    assert metadata["weights_sha256"] == untrained.sha256
    with pytest.raises(BadInput, match="exists already"):
        export_onnx(untrained, path)


@pytest.mark.slow
def test_an_export_to_onnx_leaves_the_model_and_the_log_as_they_were(untrained, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    network, moved, to_cpu = copy.deepcopy(untrained.network).train(), [], nn.Module.cpu
    monkeypatch.setattr(nn.Module, "cpu", lambda module: moved.append(module) or to_cpu(module))
    logger = logging.getLogger("torch.onnx")
    monkeypatch.setattr(logger, "level", logging.INFO)
    export_onnx(replace(untrained, network=network), tmp_path / "model.onnx")
    assert logger.level == logging.INFO
    assert network.training and network not in moved  # on a GPU it would be moved away from model.device


def test_a_network_too_large_for_an_onnx_file_is_refused(untrained, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    with pytest.raises(BadInput, match=r"take 0\.0 GB, but an ONNX file is limited to 2 GB"):
        export_onnx(untrained, tmp_path / "model.onnx", max_weight_bytes=10**6)
    assert not (tmp_path / "model.onnx").exists()


def test_stu_nets_file_holds_the_weights(untrained, tmp_path):
    path = export_stu_net(untrained, tmp_path / "weights.model")
    for name, values in read_stu_net(path).items():
        assert torch.equal(values, untrained.network.state_dict()[name])
    with pytest.raises(BadInput, match="exists already"):
        export_stu_net(untrained, path)
    with pytest.raises(BadInput, match=r"ends in \.pth or \.model"):
        export_stu_net(untrained, tmp_path / "weights.bin")
