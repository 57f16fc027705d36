"""nnU-Net itself on the split of a cohort: its input, resumed training, and its predictions."""

import csv
import itertools
import json
import math
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import matplotlib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

from gynbtnet.baselines import nnunet_training
from gynbtnet.baselines.nnunet_epochs import run_epochs
from gynbtnet.baselines.nnunet_library import DATASET, import_nnunet_library, link_or_copy
from gynbtnet.baselines.nnunet_model import NnUNetModel, _check_trusted
from gynbtnet.baselines.nnunet_plan_changes import GYNBTNET
from gynbtnet.baselines.nnunet_training import RECORD, _harmless_checkpoint, train_nnunet
from gynbtnet.baselines.nnunet_usage import UsageMeter
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.datasets import Cohort, Split, ingest, split_patients
from gynbtnet.imaging import read_volume
from gynbtnet.inference import PredictionSettings
from gynbtnet.networks import GynBTNet
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.runtime import BadInput, Diverged, Paused, file_lock
from gynbtnet.training import RunFolder

TINY = {"epochs": 2, "steps_per_epoch": 1, "validation_steps": 1, "checkpoint_interval_epochs": 1, "workers": 0}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("nnunet")
    write_brachytherapy(folder / "export", patients=3, fractions=1, spacing=(6, 5, 5), matrix=(24, 48, 56), seed=7)
    return ingest(folder / "export", folder / "cohort", structures=("hr_ctv", "bladder", "rectum")).cohort


@pytest.fixture(scope="module")
def split(cohort: Cohort) -> Split:
    return split_patients(cohort, test=1, folds=2)


def stopped_at(number: int) -> Callable[[UsageMeter], None]:
    """Return a meter's function that stops the process, as a kill does, in the given step of this start."""
    count, steps = UsageMeter.count_step, itertools.count(1)

    def count_or_stop(meter: UsageMeter) -> None:
        if next(steps) == number:
            raise KeyboardInterrupt
        count(meter)

    return count_or_stop


def begun(cohort: Cohort, split: Split, out: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Make a run that consists only of its record."""

    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(nnunet_training, "_plan_and_preprocess", stop)
    monkeypatch.setattr(nnunet_training, "check_trainer", lambda name: None)
    monkeypatch.setattr("gynbtnet.runtime.optional_dependencies.find_spec", lambda name: object())
    train_nnunet(cohort, split, 0, NnUNetSettings(**{**TINY, **changes}), out)


def test_a_run_is_taken_up_only_as_it_was_made(
    cohort: Cohort, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changes in ({}, {"workers": 3, "checkpoint_interval_epochs": 7}):
        with pytest.raises(KeyboardInterrupt):
            begun(cohort, split, tmp_path / "run", monkeypatch, **changes)
    with pytest.raises(BadInput, match="was made with epochs = 2, but now epochs = 5"):
        begun(cohort, split, tmp_path / "run", monkeypatch, epochs=5)
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    first_settings = ("epochs", "steps_per_epoch", "validation_steps", "planner", "gpu_memory_gb", "spacing", "workers")
    record["settings"] = {name: record["settings"][name] for name in first_settings}
    (tmp_path / "run" / RECORD).write_text(json.dumps(record))
    with pytest.raises(KeyboardInterrupt):  # the record of an earlier version
        begun(cohort, split, tmp_path / "run", monkeypatch)
    with pytest.raises(BadInput, match=r"was made with learning_rate = None, but now learning_rate = 0\.003"):
        begun(cohort, split, tmp_path / "run", monkeypatch, learning_rate=3e-3)
    other = Split(split.test, split.folds[::-1], split.seed)
    with pytest.raises(BadInput, match=r"other inputs \(folds\)"):
        begun(cohort, other, tmp_path / "run", monkeypatch)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="no nnU-Net training"):
        begun(cohort, split, tmp_path / "letters", monkeypatch)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["mine.txt"]
    with file_lock(tmp_path / "run" / ".lock"), pytest.raises(BadInput, match=r"Another program trains in .*run; wait"):
        begun(cohort, split, tmp_path / "run", monkeypatch)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_before_its_checkpoint(tmp_path: Path, loss: float) -> None:
    trainer = MagicMock(current_epoch=4, dataloader_train=itertools.repeat(None))
    trainer.train_step.side_effect = [{"loss": np.float32(1)}, {"loss": np.float32(loss)}]
    settings = NnUNetSettings(**SHORT)
    with pytest.raises(Diverged, match=rf"became {loss} in epoch 5 of the run in {tmp_path}"):
        run_epochs(trainer, settings, MagicMock(seconds=1.0), RunFolder(tmp_path), lambda: 0.0, MagicMock())
    trainer.on_epoch_end.assert_not_called()


def test_a_missing_nnunet_is_reported(
    cohort: Cohort, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gynbtnet.runtime.optional_dependencies.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"needs nnunetv2.*gynbtnet\[nnunet\]"):
        train_nnunet(cohort, split, 0, NnUNetSettings(**TINY), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_environment_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gynbtnet.runtime.optional_dependencies.find_spec", lambda name: object())
    raw, results = "nnUNet_raw", "nnUNet_results"
    monkeypatch.setenv(raw, "mine")
    monkeypatch.delenv(results, raising=False)
    with pytest.raises(KeyError), import_nnunet_library(tmp_path / "log.txt", nnUNet_raw="ours", nnUNet_results="ours"):
        assert os.environ[raw] == os.environ[results] == "ours"
        print("chatter")
        raise KeyError
    assert os.environ[raw] == "mine"
    assert results not in os.environ
    assert (tmp_path / "log.txt").read_text() == "chatter\n"


def test_links_lead_to_the_scan_and_are_copies_if_links_are_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan").write_bytes(b"voxels")
    link_or_copy(tmp_path / "scan", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()

    def forbidden(*_: object) -> None:
        raise OSError("a privilege is not held")

    monkeypatch.setattr(Path, "symlink_to", forbidden)
    link_or_copy(tmp_path / "scan", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "link").read_bytes() == b"voxels"


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": np.float32(2), "mean": np.float64(1), "weights": torch.ones(2)}, tmp_path / "good")
    with _harmless_checkpoint(tmp_path / "good"):
        pass
    torch.save({"epoch": Harmful()}, tmp_path / "bad")
    (tmp_path / "cut").write_bytes(pickle.dumps([1, 2], protocol=2)[:-4])
    for name in ("bad", "cut"):
        with pytest.raises(BadInput, match="damaged, or contains more than weights"):
            _harmless_checkpoint(tmp_path / name).__enter__()


def test_plans_name_nothing_but_layers_and_our_network() -> None:
    def plans(
        operation: str, network: str = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    ) -> dict[str, object]:
        architecture = {
            "network_class_name": network,
            "arch_kwargs": {"conv_op": operation, "dropout_op": None},
            "_kw_requires_import": ["conv_op", "dropout_op"],
        }
        return {"configurations": {"3d_fullres": {"architecture": architecture}}}

    _check_trusted(plans("torch.nn.modules.conv.Conv3d"))
    _check_trusted(plans("torch.nn.modules.conv.Conv3d", GYNBTNET))
    with pytest.raises(ValueError, match=r"names os\.system"):
        _check_trusted(plans("os.system", GYNBTNET))
    for other in ("gynbtnet.runtime.atomic_files.atomic_write", f"{GYNBTNET}.to", "os.system"):
        with pytest.raises(ValueError, match=f"names {other}"):
            _check_trusted(plans("torch.nn.modules.conv.Conv3d", other))


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no .*weights_last\.safetensors"):
        NnUNetModel.load(tmp_path)


@pytest.mark.slow
def test_spacing_and_memory_are_the_planners(
    cohort: Cohort, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nnunet_training, "_train", stop)
    spacing, voxels = (6.0, 7.5, 5.0), []
    for gigabytes in (8, 0.05):
        out = tmp_path / f"{gigabytes}"
        settings = NnUNetSettings(**TINY, spacing=spacing, gpu_memory_gb=gigabytes)
        with pytest.raises(KeyboardInterrupt):
            train_nnunet(cohort, split, 0, settings, out)
        (path,) = (out / "preprocessed" / DATASET).glob("*lans.json")
        plans = json.loads(path.read_text())
        planned = plans["configurations"]["3d_fullres"]
        placed = dict(zip(plans["transpose_forward"], planned["spacing"], strict=True))
        assert tuple(placed[axis] for axis in range(3)) == spacing
        voxels.append(int(np.prod(planned["patch_size"])) * planned["batch_size"])
    assert voxels[1] < voxels[0]
    shown = capfd.readouterr().err
    assert "\r" not in shown  # lines, as there is no terminal
    for task in ("extracting dataset fingerprint", "preprocessing cases"):
        assert shown.count(f"nnU-Net: {task} 2/2") == 2


@pytest.mark.slow
def test_from_a_split_to_contours(
    cohort: Cohort, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")
    settings, out = NnUNetSettings(**TINY, mirror_axes=("x",)), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(UsageMeter, "count_step", stopped_at(2))
        with pytest.raises(KeyboardInterrupt):
            train_nnunet(cohort, split, 0, settings, out)
    assert not (out / "fold_0" / "weights_last.safetensors").exists()
    fold = train_nnunet(cohort, split, 0, settings, out)
    starts = json.loads((fold / "environment.json").read_text())
    assert [start["epochs_done"] for start in starts] == [0, 1]
    with (fold / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "1"), ("2", "2")]
    assert 0 < float(rows[0]["cpu_seconds"]) < float(rows[1]["cpu_seconds"])
    assert 0 <= float(rows[1]["pseudo_dice"]) <= 1
    assert not any(name.startswith("nnUNet_") for name in os.environ)

    test, seen = cohort.of_patients(split.test), cohort.of_patients(set(cohort.patients).difference(split.test))
    raw, preprocessed = out / "raw" / DATASET, out / "preprocessed" / DATASET
    assert {path.name for path in (raw / "imagesTr").iterdir()} == {case.image.name for case in seen.cases}
    assert json.loads((raw / "dataset.json").read_text())["numTraining"] == len(seen.cases)
    assert json.loads((preprocessed / "splits_final.json").read_text()) == split.nnunet_folds(cohort)
    assert not any(case.id in str(path) for case in test.cases for path in out.rglob("*"))

    model = NnUNetModel.load(fold, device="cpu")
    assert model.structures == cohort.structures
    assert (model.mirror_axes, model.trained_axes) == (("x",), (2,))
    with pytest.raises(BadInput, match=r"asks for z, but .* was trained with x mirrored"):
        model.segment([read_volume(test.cases[0].image)], PredictionSettings(mirrored_axes=("z",)))
    case = test.cases[0]
    capfd.readouterr()
    contours = model.segment([read_volume(case.image)], PredictionSettings())
    shown = capfd.readouterr().err
    assert "Predicting" in shown and "\r" not in shown
    assert contours.segmentation.labels.geometry.is_same(case.geometry)
    theirs = own_prediction(out, [0], case.image, tmp_path / "theirs")
    assert np.array_equal(contours.segmentation.labels.array, theirs)

    made = (out / "preprocessed" / "done.json").stat().st_mtime_ns
    other = train_nnunet(cohort, split, 1, settings, out)
    assert (out / "preprocessed" / "done.json").stat().st_mtime_ns == made
    both = NnUNetModel.load(fold, other, device="cpu")
    assert both.folder == out
    assert len({both.sha256, model.sha256, NnUNetModel.load(other, device="cpu").sha256}) == 3
    together = both.segment([read_volume(case.image)], PredictionSettings()).segmentation.labels.array
    assert np.array_equal(together, own_prediction(out, [0, 1], case.image, tmp_path / "theirs of both"))
    assert not np.array_equal(together, theirs)

    (fold / RECORD).write_text((fold / RECORD).read_text().replace("mirroring_axes", "axes"))
    with pytest.raises(BadInput, match="don't belong together"):
        NnUNetModel.load(fold)
    (other / "plans.json").write_text("{}")
    with pytest.raises(BadInput, match="trained by different plans"):
        NnUNetModel.load(fold, other)


@pytest.mark.slow
def test_epochs_are_those_of_its_own_loop(
    cohort: Cohort, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")
    settings = NnUNetSettings(**TINY, gpu_memory_gb=0.05, spacing=(6.0, 5.0, 5.0))

    def weights(out: Path) -> dict[str, torch.Tensor]:
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002, nnU-Net draws from the global generator
        torch.manual_seed(0)
        return load_file(train_nnunet(cohort, split, 0, settings, out) / "weights_last.safetensors")

    ours = weights(tmp_path / "ours")
    monkeypatch.setattr(nnunet_training, "run_epochs", lambda trainer, *_: trainer.run_training())
    theirs = weights(tmp_path / "theirs")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


SHORT: dict[str, Any] = {
    "steps_per_epoch": 2,
    "validation_steps": 1,
    "workers": 0,
    "network": "gynbtnet",
    "patch_size": (16, 32, 32),
}
"""Settings of a training of seconds, without its budget."""


@pytest.mark.slow
def test_a_run_whose_time_is_over_pauses_and_is_continued(cohort: Cohort, split: Split, tmp_path: Path) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")
    settings = NnUNetSettings(**SHORT, checkpoint_interval_epochs=50, budget={"steps": 7}, time_budget_hours=1e-3)
    with pytest.raises(Paused, match=r"0\.001 h is used up after 2 steps of nnU-Net in .*fold_0; run the same command"):
        train_nnunet(cohort, split, 0, settings, tmp_path / "run")
    unlimited = settings.model_copy(update={"time_budget_hours": None})
    fold = train_nnunet(cohort, split, 0, unlimited, tmp_path / "run")
    with (fold / "log.csv").open(newline="") as file:
        assert [(row["epoch"], row["step"]) for row in csv.DictReader(file)] == [
            *(("1", "2"), ("2", "4"), ("3", "6"), ("4", "7")),
        ]


@pytest.mark.slow
def test_a_budget_ends_a_killed_run_where_it_would_have_ended(
    cohort: Cohort, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")
    settings = NnUNetSettings(
        **SHORT,
        checkpoint_interval_epochs=1,
        budget={"cpu_seconds": 30},
        schedule="cosine",
        optimiser="adamw",
        learning_rate=3e-3,
        trainer="nnUNetTrainerNoMirroring",
    )
    monkeypatch.setattr("gynbtnet.baselines.nnunet_usage.time.process_time", ticking(10))
    with monkeypatch.context() as patched:
        patched.setattr(UsageMeter, "count_step", stopped_at(3))
        with pytest.raises(KeyboardInterrupt):
            train_nnunet(cohort, split, 0, settings, tmp_path / "run")
    (checkpoint,) = (tmp_path / "run" / "results").rglob("checkpoint_latest.pth")
    with _harmless_checkpoint(checkpoint):
        usage = torch.load(checkpoint, weights_only=True)["init_args"]["gynbtnet_usage"]
    fold = train_nnunet(cohort, split, 0, settings, tmp_path / "run")
    with (fold / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert usage["steps"] == 2
    assert usage["cpu_seconds"] == float(rows[0]["cpu_seconds"])
    assert [row["epoch"] for row in rows] == [str(number + 1) for number in range(len(rows))]
    assert float(rows[-2]["cpu_seconds"]) < 30 <= float(rows[-1]["cpu_seconds"])
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 1e-3

    record, parameters = json.loads((fold / RECORD).read_text()), load_file(fold / "weights_last.safetensors")
    assert (record["mirror_axes"], record["mirroring_axes"]) == ([], None)
    (start, *_) = json.loads((fold / "environment.json").read_text())
    assert start["parameters"] == sum(value.numel() for value in parameters.values())
    assert start["parameters"] == sum(p.numel() for p in GynBTNet("XS", outputs=4).parameters())
    model, case = NnUNetModel.load(fold, device="cpu"), cohort.of_patients(split.test).cases[0]
    assert (model.mirror_axes, model.trained_axes) == ((), ())
    contours = model.segment([read_volume(case.image)], PredictionSettings())
    assert contours.segmentation.labels.geometry.is_same(case.geometry)


def ticking(seconds: float) -> Callable[[], float]:
    """Return a clock on which each reading takes a tenth of ``seconds``."""
    readings = itertools.count()
    return lambda: next(readings) * seconds / 10


def test_its_style_of_curves_stays_its_own() -> None:
    before = dict(matplotlib.rcParams)
    with import_nnunet_library():
        seaborn = pytest.importorskip("seaborn")
        seaborn.set_theme(font_scale=2.5)
        assert matplotlib.rcParams["ytick.labelsize"] != before["ytick.labelsize"]
    assert dict(matplotlib.rcParams) == before


def own_prediction(
    out: Path, folds: list[int], image: Path, target: Path, *, probabilities: bool = False
) -> np.ndarray:
    """Compare with the predictions of unmodified nnU-Net from its own checkpoints, from file to file."""
    with import_nnunet_library():
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        checkpoints = [next(out.rglob(f"fold_{fold}/checkpoint_final.pth")) for fold in folds]
        saved = [torch.load(checkpoint, map_location="cpu", weights_only=False) for checkpoint in checkpoints]
        folder = checkpoints[0].parents[1]
        plans, dataset = (json.loads((folder / name).read_text()) for name in ("plans.json", "dataset.json"))
        manager = PlansManager(plans)
        configuration = manager.get_configuration("3d_fullres")
        outputs = manager.get_label_manager(dataset).num_segmentation_heads
        network = nnUNetTrainer.build_network_architecture(
            manager, configuration, 1, outputs, enable_deep_supervision=False
        )
        predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        mirrored = saved[0]["inference_allowed_mirroring_axes"]
        weights = [checkpoint["network_weights"] for checkpoint in saved]
        predictor.manual_initialization(network, manager, configuration, weights, dataset, "nnUNetTrainer", mirrored)
        predictor.predict_from_files_sequential([[str(image)]], [str(target)], save_probabilities=probabilities)
    return sitk.GetArrayFromImage(sitk.ReadImage(f"{target}.nii.gz"))
