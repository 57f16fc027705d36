"""Every exported model has its card, and the command lists what is open in it."""

import shutil
import zipfile
from pathlib import Path

import pytest

from gynbtnet.exports import ExportFormat, export_model
from gynbtnet.inference import Model
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
