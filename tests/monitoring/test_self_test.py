"""The constancy check: the same model gives the same voxels, another gives others, and what has changed is stated."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from gynbtnet.cli import app
from gynbtnet.imaging import StructureMasks
from gynbtnet.inference import load_model
from gynbtnet.monitoring import self_test as module
from gynbtnet.monitoring.self_test import SelfTest, compare_self_tests, read_self_test, record_self_test, run_self_test
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.runtime import BadInput

SMALL = {"_SPACING": (8.0, 8.0, 8.0), "_MATRIX": (16, 32, 40)}
WHOLE = {name: getattr(module, name) for name in SMALL}


@pytest.fixture(scope="module", autouse=True)
def small_scan() -> Iterator[None]:
    """Let the phantom have a 24th of the voxels; one test has all of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(module, name, value)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    save_plan(Plan(("bladder",), (8.0, 8.0, 8.0), "zscore", None, (16, 32, 32), 2, "XS", strides), folder)
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=2).state_dict(), folder / "weights_last.safetensors")
    return folder


@pytest.fixture(scope="module")
def recorded(model: Path, small_scan: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records") / "record"
    record_self_test(run_self_test(load_model(model)), folder)
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, ["monitor", *map(str, arguments)])


def test_the_same_model_gives_the_same_voxels(model, recorded):
    result = run("--self-test", model, "--out", recorded)
    assert (result.exit_code, result.exception) == (0, None)
    assert "Same voxels as on" in result.output and "Changed" not in result.output


@pytest.mark.parametrize(("used", "changed", "code"), [("last", "last", 3), ("best", "best", 3), ("best", "last", 0)])
def test_other_weights_are_exit_code_3(model, tmp_path, used, changed, code):
    """The weights count that ``predict`` takes: those that the model was evaluated with."""
    folder = shutil.copytree(model, tmp_path / "model")
    shutil.copy(folder / "weights_last.safetensors", folder / "weights_best.safetensors")
    (folder / "prediction_settings.json").write_text(json.dumps({"weights": used, "overlap": 0.25}))
    assert run("--self-test", folder, "--record", "--out", tmp_path / "record").exit_code == 0
    settings = json.loads(read_self_test(tmp_path / "record").record.conditions["settings"])
    assert (settings["weights"], settings["overlap"]) == (used, 0.25)
    path = folder / f"weights_{changed}.safetensors"
    save_file({name: -value for name, value in load_file(path).items()}, path)
    result = run("--self-test", folder, "--out", tmp_path / "record")
    assert result.exit_code == code, result.output
    assert ("Changed: weights (SHA-256)" in result.output) == ("voxels differ" in result.output) == bool(code)


def test_differences_are_counted_by_structure(recorded):
    before = read_self_test(recorded)
    mask = before.masks.mask("bladder").copy()
    mask[0, 0, :3] ^= True
    masks = StructureMasks.of({"bladder": mask}, before.masks.bits.geometry)
    conditions = {**before.record.conditions, "torch": "99", "cuDNN": "1"}
    difference = compare_self_tests(before, SelfTest(replace(before.record, conditions=conditions), masks))
    assert difference.voxels == {"bladder": 3} and not difference.same_voxels
    assert difference.changes == (f"torch: {torch.__version__} → 99", "cuDNN: none → 1")
    assert compare_self_tests(before, before).same_voxels


def test_a_record_is_not_replaced_and_not_trusted_if_it_was_edited(model, recorded, tmp_path):
    again = run("--self-test", model, "--record", "--out", recorded)
    assert isinstance(again.exception, BadInput) and "isn't replaced" in str(again.exception)
    absent = run("--self-test", model, "--out", tmp_path / "absent")
    assert isinstance(absent.exception, BadInput) and "on the day of commissioning" in str(absent.exception)
    edited = tmp_path / "edited"
    edited.mkdir()
    for file in recorded.iterdir():
        (edited / file.name).write_bytes(file.read_bytes())
    record = json.loads((edited / "self_test.json").read_text())
    (edited / "self_test.json").write_text(json.dumps(record | {"masks_sha256": "0" * 64}))
    with pytest.raises(BadInput, match="other voxels than"):
        read_self_test(edited)


@pytest.fixture
def whole_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setattr(module, name, value)


def test_a_record_of_another_scan_is_refused(recorded: Path, whole_scan: None) -> None:
    with pytest.raises(BadInput, match="another synthetic scan"):
        read_self_test(recorded)


@pytest.mark.slow
def test_the_whole_scan_gives_the_same_voxels(model: Path, whole_scan: None, tmp_path: Path) -> None:
    assert run("--self-test", model, "--record", "--out", tmp_path / "record").exit_code == 0
    assert read_self_test(tmp_path / "record").masks.bits.geometry.shape == (40, 96, 128)
    assert run("--self-test", model, "--out", tmp_path / "record").exit_code == 0
