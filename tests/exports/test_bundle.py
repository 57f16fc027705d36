"""A bundle that MONAI's own runner runs gives our labels, and its description is MONAI's."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gynbtnet.exports import ExportFormat, export_bundle, export_model, make_card
from gynbtnet.imaging import Geometry, Nesting, Regions, Volume, read_volume, write_volume
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.preparation import Intensity, preprocess_volume
from gynbtnet.runtime import BadInput

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")  # a reader that isn't used


def balls(spacing: tuple[float, float, float], direction: tuple[float, ...]) -> Volume:
    """Return two balls in an ellipsoid of water in air, with noise; 52 × 88 × 96 mm."""
    depth, height, width = (round(size / length) for size, length in zip((52, 88, 96), spacing, strict=True))
    shape = (depth, height, width)
    z, y, x = (
        (np.arange(n) + 0.5).reshape([-1 if a == axis else 1 for a in range(3)]) * length
        for axis, (n, length) in enumerate(zip(shape, spacing, strict=True))
    )
    hu = np.full(shape, -1000.0)
    hu[np.broadcast_to(((y - 44) / 36) ** 2 + ((x - 48) / 40) ** 2 < 1, shape)] = 0
    hu[(z - 20) ** 2 + (y - 32) ** 2 + (x - 34) ** 2 < 14**2] = 300
    hu[(z - 30) ** 2 + (y - 54) ** 2 + (x - 62) ** 2 < 16**2] = -150
    hu += np.random.default_rng(0).normal(0, 10, shape)
    return Volume(hu.astype(np.float32), Geometry(shape, spacing, (3.0, -7.0, 11.0), direction))


LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
ROTATED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SCANS = {"same": ((2.0, 2.0, 2.0), LPS), "finer": ((2.6, 1.6, 1.5), ROTATED), "thick": ((6.5, 2.0, 2.0), LPS)}


def taught(folder: Path) -> Model:
    """Return the model after a few steps towards the balls, so that few voxels are on the edge of a decision."""
    model = Model.load(folder, device="cpu")
    volume = balls(*SCANS["same"])
    image = torch.from_numpy(np.ascontiguousarray(preprocess_volume([volume], model.plan)[0]))[None]
    hu = torch.from_numpy(volume.array)
    labels = ((hu > 150).long() + 2 * ((hu < -75) & (hu > -400)).long())[None]
    optimizer = torch.optim.AdamW(model.network.train().parameters(), lr=5e-3)
    corners = np.random.default_rng(0)
    for _ in range(40):
        low = [int(corners.integers(n - size + 1)) for n, size in zip(hu.shape, (16, 32, 32), strict=True)]
        part = (slice(None), *(slice(a, a + size) for a, size in zip(low, (16, 32, 32), strict=True)))
        logits = model.network(image[(slice(None), *part)])
        loss = torch.nn.functional.cross_entropy(logits, labels[part])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.network.eval()
    return model


@pytest.fixture
def _own_scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Skip without MONAI; forget the modules and the path of a bundle after the test."""
    pytest.importorskip("monai")
    pytest.importorskip("nibabel")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        del sys.modules[name]


def run_with_monai(bundle: Path, scans: Path, out: Path) -> None:
    """Check a bundle for the properties that MONAI requires, and run it as ``python -m monai.bundle run`` does."""
    from monai.bundle import ConfigWorkflow, run

    config = str(bundle / "configs" / "inference.json")
    metadata = str(bundle / "configs" / "metadata.json")
    changed = {"bundle_root": str(bundle), "dataset_dir": str(scans), "output_dir": str(out)}
    changed["device"] = "$torch.device('cpu')"
    sys.path.insert(1, str(bundle))
    workflow = ConfigWorkflow(config, metadata, workflow_type="infer", logging_file=False, **changed)
    workflow.initialize()
    assert not workflow.check_properties()
    run(config_file=config, meta_file=metadata, **changed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # of MONAI 1.6.1 for every bundle
@pytest.mark.usefixtures("_own_scripts")
def test_monai_gives_the_labels_of_predict(model_folder: Path, tmp_path: Path) -> None:
    """In three orientations and spacings, with several windows and mirror images, without post-processing."""
    model, settings = taught(model_folder), PredictionSettings(mirrored_axes=("x",))
    bundle = export_bundle(model, tmp_path / "bundle", make_card(model_folder), settings=settings)
    for name, (spacing, direction) in SCANS.items():
        write_volume(balls(spacing, direction), tmp_path / "scans" / f"{name}.nii.gz")
    run_with_monai(bundle, tmp_path / "scans", tmp_path / "out")
    for name in SCANS:
        ours = predict(model, read_volume(tmp_path / "scans" / f"{name}.nii.gz"), settings).labels
        theirs = read_volume(tmp_path / "out" / f"{name}_labels.nii.gz")
        assert theirs.geometry.is_same(ours.geometry)
        assert len(np.unique(ours.array)) == 3
        assert (ours.array == theirs.array).mean() >= 0.9999, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # of MONAI 1.6.1 for every bundle
@pytest.mark.usefixtures("_own_scripts")
def test_monai_gives_the_masks_of_overlapping_structures(model_folder: Path, tmp_path: Path) -> None:
    """With the intensities of a cohort, and the rectum nested in the bladder, which breaks most of its voxels."""
    model = taught(model_folder)
    plan = replace(
        model.plan,
        normalisation="ct",
        intensities=(Intensity(-300, 480, -1020, 320, 0, -1020, 320),),
        regions=Regions(("bladder", "rectum"), ((1,), (2,))),
        nesting=Nesting((("rectum", "bladder"),)),
        postprocessing=(),
    )
    heads = [own for name, own in model.network.named_parameters() if name.startswith("decoder.heads")]
    for parameter in heads:
        parameter.data = parameter.data[1:] - parameter.data[:1]
    model = replace(model, plan=plan)
    settings = PredictionSettings(mirroring=False)
    bundle = export_bundle(model, tmp_path / "bundle", make_card(model_folder), settings=settings)
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    assert config["postprocessing"]["nesting"] == [[1, 0]]
    write_volume(balls(*SCANS["finer"]), tmp_path / "scans" / "scan.nii.gz")
    run_with_monai(bundle, tmp_path / "scans", tmp_path / "out")
    import nibabel

    ours = predict(model, read_volume(tmp_path / "scans" / "scan.nii.gz"), settings)
    theirs = np.asarray(nibabel.Nifti1Image.from_filename(tmp_path / "out" / "scan_labels.nii.gz").dataobj).T
    for index, name in enumerate(model.structures):
        assert (ours.mask(name) == theirs[index].astype(bool)).mean() >= 0.9999
    assert ours.mask("bladder").any()


@pytest.mark.slow
@pytest.mark.usefixtures("_own_scripts")
def test_the_metadata_describe_the_network(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MONAI's own check runs the network on the shapes of the metadata; all required keys are there."""
    from monai.bundle import verify_net_in_out

    exported = export_model(model_folder, tmp_path / "bundle", ExportFormat.bundle)
    configs = exported.path / "configs"
    monkeypatch.chdir(exported.path)
    monkeypatch.syspath_prepend(str(exported.path))
    verify_net_in_out("network_def", str(configs / "metadata.json"), str(configs / "inference.json"), device="cpu")
    metadata = json.loads((configs / "metadata.json").read_text())
    required = "version monai_version pytorch_version numpy_version required_packages_version task description authors "
    assert set((required + "copyright network_data_format").split()) <= set(metadata)
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {
        "0": "background",
        "1": "bladder",
        "2": "rectum",
    }
    assert "gynbtnet" not in metadata["required_packages_version"]


def test_a_bundle_has_a_card_a_licence_and_no_pickle(model_folder: Path, tmp_path: Path) -> None:
    bundle = export_model(model_folder, tmp_path / "bundle", ExportFormat.bundle).path
    assert "library_name: monai" in (bundle / "docs" / "README.md").read_text()
    assert (bundle / "model_card.md").read_text() == (bundle / "docs" / "README.md").read_text()
    assert "licence not stated" in (bundle / "docs" / "license.txt").read_text()
    assert {path.suffix for path in (bundle / "models").iterdir()} == {".safetensors"}
    assert not any("import gynbtnet" in path.read_text() for path in (bundle / "scripts").iterdir())
    with pytest.raises(BadInput, match="earlier bundle; replace it with --force"):
        export_model(model_folder, bundle, ExportFormat.bundle)
    export_model(model_folder, bundle, ExportFormat.bundle, force=True)
    (bundle / "eval").mkdir()
    with pytest.raises(BadInput, match="contains 'eval', which isn't part of a bundle; give another folder"):
        export_model(model_folder, bundle, ExportFormat.bundle, force=True)
    (tmp_path / "other" / "configs").mkdir(parents=True)
    with pytest.raises(BadInput, match="contains 'configs', but no bundle; give another folder"):
        export_model(model_folder, tmp_path / "other", ExportFormat.bundle, force=True)
