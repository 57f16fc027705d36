"""A zipped model is the model, and a zip that is wrong, damaged or hostile is reported in a sentence."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_archive import DIGESTS, open_archive, write_archive
from gynbtnet.inference.models.model_loading import run_folders
from gynbtnet.runtime import BadInput

WEIGHTS = "weights_last.safetensors"


@pytest.fixture
def archive(model_folder: Path, tmp_path: Path) -> Path:
    (model_folder / "log.csv").write_text("a log of the training")
    return write_archive(model_folder, tmp_path / "model.zip", weights="last")


def rewritten(archive: Path, changes: dict[str, bytes | None], top: str = "") -> Path:
    """Write a copy of an archive with some files changed, added or left out, and all in a folder."""
    out = archive.with_name("changed.zip")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        contents = {name: source.read(name) for name in source.namelist()} | changes
        for name, content in contents.items():
            if content is not None:
                target.writestr(top + name, content)
    return out


@pytest.mark.parametrize("top", ["", "task/", "out/runs/task/"])
def test_a_zip_is_the_model_at_its_top_or_in_a_folder(archive: Path, model_folder: Path, top: str) -> None:
    path = rewritten(archive, {}, top)
    zipped, folder = Model.load(path, device="cpu"), Model.load(model_folder, device="cpu")
    assert (zipped.sha256, zipped.plan, zipped.folder) == (folder.sha256, folder.plan, path)
    for name, values in folder.network.state_dict().items():
        assert torch.equal(zipped.network.state_dict()[name], values)


@pytest.mark.parametrize("top", ["", "out/runs/"])
def test_a_zip_of_folds_without_a_common_plan_has_all_of_them(model_folder: Path, tmp_path: Path, top: str) -> None:
    for number in range(2):
        shutil.copytree(model_folder, tmp_path / "folds" / f"fold_{number}")
    path = rewritten(write_archive(tmp_path / "folds", tmp_path / "model.zip", weights="last"), {}, top)
    with open_archive(path) as folder:
        assert [fold.name for fold in run_folders(folder)] == ["fold_0", "fold_1"]


def test_the_same_model_gives_the_same_bytes_and_nothing_but_the_model(
    archive: Path, model_folder: Path, tmp_path: Path
) -> None:
    before = archive.read_bytes()
    (model_folder / "plans.json").touch()
    assert write_archive(model_folder, archive, weights="last", force=True).read_bytes() == before
    with zipfile.ZipFile(archive) as held:
        assert held.namelist() == [DIGESTS, "dataset.json", "plans.json", WEIGHTS]
    with pytest.raises(BadInput, match="exists already"):
        write_archive(model_folder, archive, weights="last")
    with pytest.raises(BadInput, match=r"does not end in \.zip"):
        write_archive(model_folder, tmp_path / "model", weights="last")
    with pytest.raises(BadInput, match="is a zip file already"):
        write_archive(archive, tmp_path / "second.zip", weights="last")


def test_a_model_of_several_folds_keeps_them(model_folder: Path, tmp_path: Path) -> None:
    for name in ("plans.json", "dataset.json", WEIGHTS):
        (model_folder / "fold_1").mkdir(exist_ok=True)
        (model_folder / "fold_1" / name).write_bytes((model_folder / name).read_bytes())
    with zipfile.ZipFile(write_archive(model_folder, tmp_path / "folds.zip", weights="best")) as held:
        assert {f"fold_1/{WEIGHTS}", "fold_1/plans.json", "plans.json"} <= set(held.namelist())


def test_a_damaged_file_is_reported(archive: Path, tmp_path: Path) -> None:
    complete = archive.read_bytes()
    offset = complete.index(b"safetensors") + 400_000
    for content, words in (
        (complete[: len(complete) // 2], "damaged or truncated"),
        (complete[:offset] + b"\0" * 64 + complete[offset + 64 :], "damaged or truncated"),
        (b"<!DOCTYPE html><html>Not found</html>", "is a web page and not a zip file"),
        (b"", "is not a zip file"),
        (b"\x80\x04\x95 a pickle", "is not a zip file"),
    ):
        path = tmp_path / "download.zip"
        path.write_bytes(content)
        with pytest.raises(BadInput, match=words):
            Model.load(path)


def test_a_wrong_model_is_reported(archive: Path, model_folder: Path) -> None:
    dataset = json.loads((model_folder / "dataset.json").read_text())
    del dataset["labels"]["rectum"]
    other = json.dumps(dataset).encode()
    changed: tuple[tuple[dict[str, bytes | None], str], ...] = (
        ({WEIGHTS: None}, "contains no model"),
        (
            {WEIGHTS: (model_folder / WEIGHTS).read_bytes()[:-8] + b"\0" * 8},
            f"{WEIGHTS} in .* is missing, or its SHA-256 differs",
        ),
        ({"dataset.json": other}, "dataset.json in .* is missing, or its SHA-256 differs"),
        ({DIGESTS: None, "dataset.json": other}, "does not hold the weights of the plan in its folder"),
        ({DIGESTS: None, "plans.json": None}, "no file .*changed.zip/plans.json"),
        ({DIGESTS: b"{}"}, "damaged or was edited"),
        ({DIGESTS: None, WEIGHTS: b"no weights"}, "is damaged or not a file of weights"),
    )
    for changes, words in changed:
        with pytest.raises(BadInput, match=words) as caught:
            Model.load(rewritten(archive, changes))
        assert "gynbtnet-model-" not in str(caught.value)


@pytest.mark.parametrize("name", ["../plans.json", "/etc/plans.json", "a/../../x", "..\\x", "C:\\x"])
def test_a_zip_that_names_files_outside_itself_is_refused(archive: Path, name: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = rewritten(archive, {name: b"harm"})
    with pytest.raises(BadInput, match="contains a path outside itself"):
        Model.load(path)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


def test_a_bomb_is_not_unpacked(archive: Path) -> None:
    with pytest.raises(BadInput, match=r"would grow from .* MB, more than any model"):
        Model.load(rewritten(archive, {WEIGHTS: bytes(200_000_000)}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4), st.floats(0.3, 1))
def test_any_damage_is_reported_or_harmless(
    small_archive: Path, bytes_changed: list[tuple[int, int]], kept: float
) -> None:
    content = bytearray(small_archive.read_bytes())
    for offset, value in bytes_changed:
        content[offset % len(content)] = value
    path = small_archive.with_name("damaged.zip")
    path.write_bytes(content[: int(len(content) * kept)] if kept < 0.6 else content)
    try:
        with open_archive(path) as folder:
            assert all(file.is_relative_to(folder) for file in folder.rglob("*"))
    except BadInput as error:
        assert str(path) in str(error)


@pytest.fixture
def small_archive(tmp_path: Path) -> Path:
    for name in ("plans.json", "dataset.json", WEIGHTS):
        (tmp_path / name).write_text(20 * name)
    return write_archive(tmp_path, tmp_path / "small.zip", weights="last")
