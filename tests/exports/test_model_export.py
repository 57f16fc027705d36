"""Every exported model has its card, and the command lists what is open in it."""

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from gynbtnet.exports import ExportFormat, export_model
from gynbtnet.inference import Model, PredictionSettings, load_model, write_archive
from gynbtnet.runtime import BadInput

TITLE = "# GynBTNet XS"


def test_folders_have_a_card(model_folder: Path, tmp_path: Path) -> None:
    for form in (ExportFormat.nnunet, ExportFormat.encoder):
        exported = export_model(model_folder, tmp_path / form, form)
        assert exported.card == tmp_path / form / "model_card.md"
        assert TITLE in exported.card.read_text()
        assert "intended_use" in exported.open
        export_model(model_folder, tmp_path / form, form, force=True)


def test_a_zip_has_a_card_and_is_a_model(model_folder: Path, tmp_path: Path) -> None:
    (model_folder / "model_card.md").write_text("an older card")
    exported = export_model(model_folder, tmp_path / "model.zip", ExportFormat.zip)
    with zipfile.ZipFile(exported.path) as archive:
        assert TITLE in archive.read("model_card.md").decode()
    assert Model.load(exported.path, device="cpu").structures == ("bladder", "rectum")
    first = exported.path.read_bytes()
    assert export_model(model_folder, exported.path, ExportFormat.zip, force=True).path.read_bytes() == first
    with pytest.raises(BadInput, match="is a file already"):
        export_model(exported.path, tmp_path / "second.zip", ExportFormat.zip)


def test_a_card_is_next_to_a_file(model_folder: Path, tmp_path: Path) -> None:
    exported = export_model(model_folder, tmp_path / "weights.pth", ExportFormat.stunet)
    assert exported.card == tmp_path / "weights.model_card.md"
    assert TITLE in exported.card.read_text()
    exported.path.unlink()
    with pytest.raises(BadInput, match=r"weights\.model_card\.md exists already"):
        export_model(model_folder, tmp_path / "weights.pth", ExportFormat.stunet)
    export_model(model_folder, tmp_path / "weights.pth", ExportFormat.stunet, force=True)


def test_a_zip_is_exported_with_a_card(model_folder: Path, tmp_path: Path) -> None:
    zipped = export_model(model_folder, tmp_path / "model.zip", ExportFormat.zip).path
    exported = export_model(zipped, tmp_path / "weights.pth", ExportFormat.stunet)
    assert TITLE in exported.card.read_text()


def test_a_cross_validation_is_a_zip_only(model_folder: Path, tmp_path: Path) -> None:
    for number in range(2):
        shutil.copytree(model_folder, tmp_path / "folds" / f"fold_{number}")
    with pytest.raises(BadInput, match="is a cross-validation of 2 networks, and this format takes one; export each"):
        export_model(tmp_path / "folds", tmp_path / "bundle", ExportFormat.bundle)
    export_model(tmp_path / "folds", tmp_path / "model.zip", ExportFormat.zip)
    with pytest.raises(BadInput, match="such as fold_0"):
        export_model(tmp_path / "model.zip", tmp_path / "bundle", ExportFormat.bundle)
    assert not (tmp_path / "bundle").exists()


@pytest.fixture
def evaluated_with_best(model_folder: Path) -> Path:
    """Model that was evaluated with its best weights, which differ from the last ones."""
    weights = load_file(model_folder / "weights_last.safetensors")
    save_file({name: -value for name, value in weights.items()}, model_folder / "weights_best.safetensors")
    (model_folder / "prediction_settings.json").write_text('{"weights": "best"}')
    return model_folder


@pytest.mark.parametrize(("asked", "exported"), [(None, "best"), ("best", "best"), ("last", "last")])
def test_the_evaluated_weights_are_exported(
    evaluated_with_best: Path, tmp_path: Path, asked: Literal["last", "best"] | None, exported: str
) -> None:
    out = export_model(evaluated_with_best, tmp_path / "weights.pth", ExportFormat.stunet, weights=asked)
    digest = hashlib.sha256((evaluated_with_best / f"weights_{exported}.safetensors").read_bytes()).hexdigest()
    card = out.card.read_text()
    assert f"`weights_{exported}.safetensors`: `{digest}`" in card
    assert "region body, weights of the best validation score." in card
    (weights,) = torch.load(out.path, weights_only=True).values()
    tensor = load_file(evaluated_with_best / f"weights_{exported}.safetensors")["encoder.levels.0.0.conv1.weight"]
    assert any(torch.equal(tensor, value) for value in weights.values() if value.shape == tensor.shape)


def test_a_zip_has_the_weights_that_its_settings_name(evaluated_with_best: Path, tmp_path: Path) -> None:
    path = export_model(evaluated_with_best, tmp_path / "model.zip", ExportFormat.zip).path
    settings = PredictionSettings(weights="best", device="cpu")
    expected = load_model(evaluated_with_best, settings).sha256
    assert load_model(path, settings).sha256 == expected
    with pytest.raises(BadInput, match="evaluated with its best weights, which a zip file with --weights last lacks"):
        export_model(evaluated_with_best, tmp_path / "last.zip", ExportFormat.zip, weights="last")
    write_archive(evaluated_with_best, tmp_path / "earlier.zip", weights="last")  # as earlier versions exported it
    with pytest.raises(BadInput, match=r"no .*earlier.zip/weights_best.safetensors, which weights: best needs"):
        load_model(tmp_path / "earlier.zip", settings)
    assert load_model(tmp_path / "earlier.zip").sha256 != expected
