"""Files and plans that aren't as nnU-Net writes them, or that GynBTNet doesn't know: one sentence each."""

import copy
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch

from gynbtnet.cli import main
from gynbtnet.imaging import StructureNames, read_ct_series, read_rtstruct, read_volume
from gynbtnet.inference import PredictionSettings
from gynbtnet.inference.models.model_archive import write_archive
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.models.nnunet.configuration import NnunetConfiguration
from gynbtnet.inference.models.nnunet.nnunet_folder_model import NnunetFolderModel
from gynbtnet.inference.models.nnunet.outputs import NnunetOutputs, parse_outputs, structures_of
from gynbtnet.inference.models.nnunet.trained_folder import TrainedFolder
from gynbtnet.networks import GynBTNet
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.runtime import BadInput

from .trained_folders import (
    LABELS,
    NAME,
    architecture,
    configuration,
    dataset_of,
    plans_of,
    scan_of_blobs,
    write_fold,
    write_trained,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plans = plans_of({"3d_fullres": configuration()})
    return write_trained(tmp_path_factory.mktemp("trained") / NAME, plans, dataset_of(), mirror_axes=(1, 2))


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / NAME))


def change_plans(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    plans = json.loads((folder / "plans.json").read_text())
    change(plans["configurations"]["3d_fullres"])
    (folder / "plans.json").write_text(json.dumps(plans))


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "normalisation": ({"normalization_schemes": ["Percentiles"]}, "CT is normalised by Percentiles; known are CTNorm"),
    "preprocessor": ({"preprocessor_name": "CropPreprocessor"}, "the preprocessor is CropPreprocessor"),
    "network": ({"architecture": {**architecture(), "network_class_name": "x.Primus"}}, "the network is Primus; known"),
    "part": ({"architecture": architecture(squeeze_excitation=True)}, "the part squeeze_excitation, which is unknown"),
    "blocks": ({"architecture": architecture(bottleneck_channels=4)}, "bottleneck blocks"),
    "norm": ({"architecture": architecture(norm_op="torch.nn.GroupNorm")}, "the norm is GroupNorm"),
    "activation": ({"architecture": architecture(nonlin="torch.nn.Softplus")}, "the activation is Softplus"),
    "resampling": ({"resampling_fn_data": "no_resampling_hack"}, "data are resampled by no_resampling_hack"),
    "old network": ({"architecture": None, "UNet_class_name": "x"}, "can't be predicted with"),
    "axes": ({"patch_size": [32, 32]}, "don't have the network's 3 axes"),
    "spacing": ({"spacing": [0, 1, 1]}, "spacing is three lengths"),
    "patch": ({"patch_size": [10**6, 10**6, 8]}, "more than"),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_unknown_is_refused_in_a_sentence(folder: Path, kind: str) -> None:
    changes, words = UNKNOWN[kind]
    change_plans(folder, lambda values: values.update(changes))
    with pytest.raises(BadInput, match=words) as error:
        load_model(folder)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_reader_writer": "NaturalImage2DIO"}, "the reader of images is NaturalImage2DIO"),
        ({"label_manager": "MyLabels"}, "the label manager is MyLabels"),
        ({"transpose_forward": [0, 0, 1]}, "expected an order of 0, 1 and 2"),
        ({"foreground_intensity_properties_per_channel": {}}, "lacks '0'"),
        ({"configurations": {"3d_fullres": {"inherits_from": "3d_fullres"}}}, "inherits from itself"),
        ({"configurations": {}}, "lacks '3d_fullres'"),
    ],
)
def test_plans_as_a_whole(folder: Path, changes: dict[str, Any], words: str) -> None:
    plans = json.loads((folder / "plans.json").read_text()) | changes
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(BadInput, match=words):
        load_model(folder)


def all_changes(values: Any) -> list[tuple[Any, ...]]:
    """Return the path of every value in nested mappings and lists."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [path for key, value in items for path in ((key,), *((key, *rest) for rest in all_changes(value)))]


@pytest.mark.parametrize("bad", [None, "text", -1, 10**400, [], {}, [[1]], True, 0.5])
def test_any_damaged_value_is_refused_or_harmless(folder: Path, bad: Any) -> None:
    """Every single value of both files, replaced in turn, gives a sentence or a configuration."""
    whole = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("plans", "dataset")}
    for path in all_changes(whole):
        changed = copy.deepcopy(whole)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = bad
        if not all(isinstance(values, dict) for values in changed.values()):
            continue
        files = TrainedFolder(folder, (), changed["plans"], changed["dataset"])
        try:
            NnunetConfiguration.of(files, "3d_fullres")
        except BadInput as error:
            assert len(str(error)) < 1000


def test_files_are_found(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    assert isinstance(model, NnunetFolderModel)
    assert model.folder == folder and model.mirror_axes == ("y", "x") and model.weights == "checkpoint_final.pth"
    assert load_model(tmp_path).sha256 == load_model(folder / "fold_0").sha256 == model.sha256
    with pytest.raises(BadInput, match=r"No fold in .* contains checkpoint_best.pth"):
        load_model(folder, PredictionSettings(weights="best"))
    with pytest.raises(BadInput, match="asks for z, but"):
        load_model(folder, PredictionSettings(mirrored_axes=("z",)))
    shutil.copytree(folder, tmp_path / NAME.replace("3d_fullres", "2d"))
    with pytest.raises(BadInput, match="several trained folders"):
        load_model(tmp_path)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(BadInput, match=r"dataset.json is absent or damaged"):
        load_model(folder)
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(BadInput, match="not a table of values"):
        load_model(folder)


class Attack:
    """Runs a command when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch attacked",)


def test_a_checkpoint_is_not_executed(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    path = folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save(content | {"logging": Attack()}, path)
    with pytest.raises(BadInput, match="objects that would run code"):
        load_model(folder)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network_weights": {"a.weight": torch.zeros(1)}}, "may build another network"),
        ({"network_weights": None}, "lacks what nnU-Net writes"),
        ({"init_args": {}}, "lacks what nnU-Net writes"),
        ({"inference_allowed_mirroring_axes": (3,)}, "but its images have 3"),
    ],
)
def test_another_checkpoint(folder: Path, changes: dict[str, Any], words: str) -> None:
    path = folder / "fold_0" / "checkpoint_final.pth"
    torch.save(torch.load(path, weights_only=False) | changes, path)
    with pytest.raises(BadInput, match=words):
        load_model(folder)


def test_weights_of_another_size_or_not_numbers(folder: Path) -> None:
    change_plans(folder, lambda values: values.update(architecture=architecture(features_per_stage=[8, 12, 20])))
    with pytest.raises(BadInput, match="has shape"):
        load_model(folder)
    path = folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    next(iter(content["network_weights"].values()))[:] = torch.nan
    torch.save(content, path)
    with pytest.raises(BadInput, match="NaN"):
        load_model(folder)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"damaged or not a PyTorch checkpoint|was not read"):
        load_model(folder)


def test_names_become_structures() -> None:
    assert structures_of(["Rectum", "rectum", "Bladder"]) == ("Rectum", "rectum", "bladder")
    assert structures_of(["a/b", "a b", "../x"]) == ("a_b_1", "a_b_2", "x")
    table = StructureNames({}, {"harnblase": "bladder"})
    assert structures_of(["Harnblase", "Bowel loops"], table) == ("bladder", "Bowel_loops")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"bladder": 1}, "no background"),
        ({"background": 0, "bladder": 2}, "not consecutively"),
        ({"background": 0}, "there are 0 labels"),
        ({"background": 0, "a": "1"}, "is not a label"),
        ({"background": 0, "a": []}, "no label"),
    ],
)
def test_labels_that_mean_nothing(labels: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_outputs({"labels": labels})


def test_regions_keep_their_order() -> None:
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    expected = NnunetOutputs(("whole", "core"), ("whole", "core"), (1, 2), (1, 2))
    assert parse_outputs({"labels": labels, "regions_class_order": [1, 2]}) == expected
    with pytest.raises(ValueError, match="1 numbers for 2 regions"):
        parse_outputs({"labels": labels, "regions_class_order": [1]})


def test_zip_files(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for path in (file for file in folder.rglob("*") if file.is_file()):
            archive.write(path, path.relative_to(tmp_path))
    with pytest.raises(BadInput, match="extract it"):
        load_model(tmp_path / "model.zip")
    with pytest.raises(BadInput, match="copied as it is"):
        write_archive(folder, tmp_path / "ours.zip", weights="last")


def test_our_network_trained_in_nnunet(tmp_path: Path) -> None:
    """NnunetGynBTNet, which our plans name, has the parameters of GynBTNet; its folder is predicted as any other."""
    torch.manual_seed(0)
    strides = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    network = GynBTNet("XS", outputs=4, strides=strides)
    own = {
        "network_class_name": "gynbtnet.networks.nnunet_network.NnunetGynBTNet",
        "arch_kwargs": {"preset": "XS", "strides": strides},
        "_kw_requires_import": [],
    }
    plans = plans_of({"3d_fullres": configuration(architecture=own, patch_size=[16, 32, 32])})
    folder = tmp_path / NAME
    write_fold(folder / "fold_0", network, mirror_axes=None)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_of()))
    result = load_model(folder).segment([scan_of_blobs((10, 40, 36))], PredictionSettings(roi="whole"))
    assert result.segmentation.structures == structures_of([name for name in LABELS if name != "background"])


def test_regions_of_the_scan(trained: Path) -> None:
    """Inside of the patient, labels are those of the whole scan; outside there are none."""
    scan = scan_of_blobs((12, 70, 64))
    _, y, x = np.indices(scan.array.shape)
    radius = np.hypot((y - 35) / 29, (x - 32) / 27)
    scan.array[radius > 1] = -1000
    model = load_model(trained)
    whole, body = (
        model.segment([scan], PredictionSettings(roi=roi, mirroring=False)).segmentation.labels.array
        for roi in ("whole", "body")
    )
    assert (body[radius < 0.8] == whole[radius < 0.8]).all()  # the body is found on a coarse grid
    assert (body > 0).sum() < (whole > 0).sum()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["gynbtnet", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_predict_writes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a DICOM series to RTSTRUCT, label map, preview and manifest, with one command."""
    coarse = configuration(spacing=[9.0, 12.0, 12.0], patch_size=[8, 24, 24])
    trained = write_trained(tmp_path / NAME, plans_of({"3d_fullres": coarse}), dataset_of())
    write_brachytherapy(tmp_path / "clinic", patients=1, fractions=1, spacing=(9, 12, 12), matrix=(8, 20, 24), seed=7)
    source = next(tmp_path.glob("clinic/*/*"))
    run(monkeypatch, "predict", trained, source, "--out", tmp_path / "out", "--fast")
    (out,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    pages = {"preview.png", "patient.html"}
    assert {path.name for path in out.iterdir()} == {"RS.dcm", "labels.nii.gz", "prediction.json"} | pages
    manifest = json.loads((out / "prediction.json").read_text())
    assert manifest["model"]["files"].keys() == {"fold_0/checkpoint_final.pth"}
    assert manifest["structures"][:2] == ["bladder", "rectum"]
    assert any("urinary_bladder is bladder" in note for note in manifest["notes"])
    assert manifest["settings"]["mirroring"] is False and set(manifest["predicted_dsc"].values()) == {None}
    series = read_ct_series(source)
    contours, _ = read_rtstruct(out / "RS.dcm", series, ("bladder", "rectum"), StructureNames.load())
    assert set(contours.structures) == {"bladder", "rectum"}
    assert pydicom.dcmread(out / "RS.dcm").StructureSetLabel.startswith("nnU-Net ")
    labels = read_volume(out / "labels.nii.gz")
    assert labels.geometry.is_same(series.volume.geometry)
