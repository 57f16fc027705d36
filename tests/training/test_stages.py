import csv
import errno
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import yaml
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gynbtnet.networks import GynBTNet, write_stu_net
from gynbtnet.preparation import PreparedCase, PreparedCohort, load_plan, write_prepared_case
from gynbtnet.runtime import BadInput, Paused
from gynbtnet.training import checkpoint, cpu_bfloat16, devices, engine
from gynbtnet.training.context import TrainingContext
from gynbtnet.training.recording.run_log import RunLog
from gynbtnet.training.renamed_settings import RENAMED_SETTINGS
from gynbtnet.training.run_folder import LEGACY_VALUES
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings, TrainingSettings
from gynbtnet.training.stages import finetune, pretrain

QUICK: dict[str, Any] = {
    "epochs": 3,
    "steps_per_epoch": 2,
    "checkpoint_interval_epochs": 1,
    "validation_patches": 1,
    "learning_rate": 1e-3,
}
SIDES: dict[str, Any] = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}


def train(prepared: PreparedCohort, out: Path, **changes: Any) -> Path:
    return finetune(prepared, SegmentationSettings(**{**QUICK, **changes}), out, **SIDES)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole_run(prepared: PreparedCohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(prepared, tmp_path_factory.mktemp("runs") / "whole")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, crops: int) -> None:
    """Let the reading of patch number ``crops`` raise the error of Ctrl-C."""
    read, count = PreparedCase.crop, 0

    def crop(case: PreparedCase, *where: Any) -> Any:
        nonlocal count
        count += 1
        if count == crops:
            raise KeyboardInterrupt
        return read(case, *where)

    monkeypatch.setattr(PreparedCase, "crop", crop)


# a run reads 2 × 2 patches to train, then 1 to validate (and 1 to draw in the last epoch)
@pytest.mark.parametrize(("crops", "epochs_kept"), [(4, 0), (8, 1), (15, 2)])
def test_an_interrupted_run_ends_with_the_same_weights(
    prepared: PreparedCohort,
    whole_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    crops: int,
    epochs_kept: int,
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, crops)
        with pytest.raises(KeyboardInterrupt):
            train(prepared, tmp_path / "run")
    assert len(rows(tmp_path / "run")) == epochs_kept
    train(prepared, tmp_path / "run", workers=1)
    printed = " ".join(capfd.readouterr().err.split())
    assert (f"resumed after epoch {epochs_kept}/3; checkpoints are in {tmp_path / 'run' / 'state'}" in printed) == (
        epochs_kept > 0
    )
    assert "epoch 3/3, loss" in printed
    for name in ("weights_last.safetensors", "weights_best.safetensors", "state/epoch_000003/optimizer.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole_run / name).read_bytes(), name
    timed = {"seconds", "cpu_seconds", "images_per_second", "data_wait_share", "memory_gb"}
    resumed, uninterrupted = (
        [{k: v for k, v in row.items() if k not in timed} for row in rows(run)] for run in (tmp_path / "run", whole_run)
    )
    assert resumed == uninterrupted
    assert len(json.loads((tmp_path / "run" / "environment.json").read_text())) == 2


KILLED = """
import sys
from pathlib import Path
from gynbtnet.preparation import PreparedCohort
from gynbtnet.training import settings, stages

stage, kind, prepared, out, values = sys.argv[1:]
asked = getattr(settings, kind).model_validate_json(values)
sides = {"training_ids": ["ball_0", "ball_1"], "validation_ids": ["ball_2"]}
getattr(stages, stage)(PreparedCohort.open(Path(prepared)), asked, Path(out), **sides)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "kind"), [(pretrain, PretrainingSettings), (finetune, SegmentationSettings)])
def test_a_killed_process_ends_with_the_same_weights(
    prepared: PreparedCohort, tmp_path: Path, stage: Any, kind: type[TrainingSettings]
) -> None:
    asked = {
        **QUICK,
        "epochs": 12,
        "gradient_accumulation_steps": 2,
        "checkpoint_interval_epochs": 2,
        "warm_up_epochs": 2,
        "patience": 11,
    }
    settings = kind(**asked)
    stage(prepared, settings, tmp_path / "whole", **SIDES)
    run, random = tmp_path / "run", np.random.default_rng(0)
    command = [sys.executable, "-c", KILLED, stage.__name__, kind.__name__]
    command += [str(prepared.folder), str(run), settings.model_dump_json()]
    for epochs in (1, 4, 6, 7, 10):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not (run / "log.csv").exists() or len(rows(run)) < epochs:
            assert process.poll() is None, "the run ended before it was killed"
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    for name in ("weights_last.safetensors", "weights_best.safetensors", "state/epoch_000012/optimizer.safetensors"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert [int(row["epoch"]) for row in rows(run)] == list(range(1, 13))


BETTER: dict[str, Any] = {
    "weight_decay_on": "weights",
    "freeze_idle_biases": True,
    "initialisation": "he",
    "warm_up_share": 0.3,
}
BETTER_STAGES: list[tuple[Any, TrainingSettings]] = [
    (pretrain, PretrainingSettings(**QUICK, **BETTER, crops="body")),
    (pretrain, PretrainingSettings(**QUICK, **BETTER, encoder="dense")),
    (finetune, SegmentationSettings(**QUICK, **BETTER, supervise_coarsest=False, foreground_rule="last_of_batch")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "settings"), BETTER_STAGES)
def test_an_interrupted_run_with_other_settings_ends_with_the_same_weights(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Any, settings: TrainingSettings
) -> None:
    whole = stage(prepared, settings, tmp_path / "whole", **SIDES)
    with monkeypatch.context() as patched:
        interrupt_at(patched, 8)
        with pytest.raises(KeyboardInterrupt):
            stage(prepared, settings, tmp_path / "run", **SIDES)
    stage(prepared, settings, tmp_path / "run", **SIDES)
    for name in ("weights_last.safetensors", "weights_best.safetensors", "state/epoch_000003/optimizer.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes(), name
    assert float(rows(whole)[0]["learning_rate"]) == pytest.approx(1e-3 * 2 / 3)  # 2 of 6 steps
    weights, moments = (
        load_file(whole / name) for name in ("weights_last.safetensors", "state/epoch_000003/optimizer.safetensors")
    )
    idle = [name for name in weights if name.endswith(("conv1.bias", "conv2.bias"))]
    assert idle
    assert all(not weights[name].any() and f"{name}:exp_avg" not in moments for name in idle)  # as He leaves them


def test_a_short_run_that_is_nearly_all_warm_up_keeps_its_last_step(prepared: PreparedCohort, tmp_path: Path) -> None:
    settings = SegmentationSettings(**{**QUICK, "epochs": 1}, warm_up_share=0.9)  # of 2 steps, which rounds to both
    run = finetune(prepared, settings, tmp_path / "run", **SIDES)
    assert float(rows(run)[-1]["learning_rate"]) == pytest.approx(settings.learning_rate)


@pytest.mark.slow
def test_the_weights_of_a_run_with_frozen_parts_are_read_by_any_other(prepared: PreparedCohort, tmp_path: Path) -> None:
    first = finetune(prepared, BETTER_STAGES[-1][1], tmp_path / "first", **SIDES)  # type: ignore[arg-type]
    second = finetune(prepared, SegmentationSettings(**QUICK), tmp_path / "second", **SIDES, start=first)
    assert json.loads((second / "transfer.json").read_text())["share"] == 1
    third = finetune(prepared, BETTER_STAGES[-1][1], tmp_path / "third", **SIDES, start=second)  # type: ignore[arg-type]
    before, after = (load_file(run / "weights_last.safetensors") for run in (second, third))
    name = "encoder.levels.1.0.conv1.bias"
    assert before[name].any()
    assert torch.equal(before[name], after[name])  # frozen with the values that it came with


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "kind"), [(pretrain, PretrainingSettings), (finetune, SegmentationSettings)])
def test_a_run_from_before_a_setting_existed_resumes_unchanged(
    prepared: PreparedCohort, tmp_path: Path, stage: Any, kind: type[TrainingSettings]
) -> None:
    before: dict[str, Any] = {name: value for name, value in LEGACY_VALUES.items() if name in kind.model_fields}
    run = stage(prepared, kind(**QUICK, **before), tmp_path / "run", **SIDES)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for name in before:
        del recipe["settings"][name]
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    untouched = contents(run)
    stage(prepared, kind(**QUICK, **before), run, **SIDES)
    assert contents(run) == untouched
    with pytest.raises(BadInput, match=r"made with settings\.weight_decay_on = all, but now .* = weights"):
        stage(prepared, kind(**QUICK, **{**before, "weight_decay_on": "weights"}), run, **SIDES)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "kind"), [(pretrain, PretrainingSettings), (finetune, SegmentationSettings)])
def test_a_run_with_former_names_of_settings_resumes(
    prepared: PreparedCohort, tmp_path: Path, stage: Any, kind: type[TrainingSettings]
) -> None:
    run = stage(prepared, kind(**QUICK), tmp_path / "run", **SIDES)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for (group, former), today in RENAMED_SETTINGS.items():
        if group == "training" and today in recipe["settings"]:
            recipe["settings"][former] = recipe["settings"].pop(today)
    assert "clip" in recipe["settings"]
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    untouched = contents(run)
    stage(prepared, kind(**QUICK), run, **SIDES)
    assert contents(run) == untouched
    with pytest.raises(BadInput, match=r"made with settings\.max_grad_norm = 12\.0, but now .* = 3\.0"):
        stage(prepared, kind(**QUICK, max_grad_norm=3), run, **SIDES)


def test_defaults_keep_what_runs_did_but_for_epsilon() -> None:
    fields = PretrainingSettings.model_fields | SegmentationSettings.model_fields
    before = {name: tuple(value) if isinstance(value, list) else value for name, value in LEGACY_VALUES.items()}
    changed = {name for name, value in before.items() if fields[name].default != value}
    assert changed == {"target_epsilon_hu"}


@pytest.mark.parametrize(
    ("settings", "lacking", "words"),
    [
        ({}, {"units": ()}, "HU per unit of the prepared image are unknown for 2 of 2 .* target_epsilon_hu to null"),
        (
            {"crops": "body"},
            {"body_known": False},
            "voxels of the body are unknown for 2 of 2 .* prepare the scans again",
        ),
    ],
)
def test_scans_without_the_information_that_stage_1_needs(
    prepared: PreparedCohort, tmp_path: Path, settings: dict[str, Any], lacking: dict[str, Any], words: str
) -> None:
    bare = replace(prepared, cases=tuple(replace(case, **lacking) for case in prepared.cases))
    with pytest.raises(BadInput, match=words):
        pretrain(bare, PretrainingSettings(**QUICK, **settings), tmp_path / "run", **SIDES)
    assert not (tmp_path / "run").exists()
    paper = {"target_epsilon_hu": None, "crops": "anywhere"}
    assert pretrain(bare, PretrainingSettings(**QUICK, **paper), tmp_path / "run", **SIDES).is_dir()


@pytest.mark.slow
def test_without_a_terminal_training_prints_one_line_per_epoch(prepared: PreparedCohort, tmp_path: Path) -> None:
    settings = SegmentationSettings(**{**QUICK, "validation_interval_epochs": 2})
    command = [sys.executable, "-c", KILLED, "finetune", "SegmentationSettings", str(prepared.folder)]
    command += [str(tmp_path / "run"), settings.model_dump_json()]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == ""
    assert "ball_" not in ended.stderr
    dice = r", dice_mean \d\.\d{3}"
    expected = [
        rf"Training run: epoch {number}/3, loss \d\.\d{{3}}{score}, \d+\.\d s(, left \d+:\d\d:\d\d)?"
        for number, score in ((1, ""), (2, dice), (3, dice))
    ]
    lines = [line for line in ended.stderr.splitlines() if line.startswith("Training run")]
    assert all(re.fullmatch(*pair) for pair in zip(expected, lines, strict=True)), lines


def test_a_finished_run_is_left_alone(prepared: PreparedCohort, whole_run: Path) -> None:
    before = contents(whole_run)
    train(prepared, whole_run)
    assert contents(whole_run) == before


def test_a_run_folder_is_complete_in_itself(whole_run: Path) -> None:
    assert yaml.safe_load((whole_run / "recipe.yaml").read_text())["settings"]["learning_rate"] == 1e-3
    inputs = json.loads((whole_run / "inputs.json").read_text())
    assert inputs == {"training": ["digest 0", "digest 1"], "validation": ["digest 2"], "start": None}
    assert json.loads((whole_run / "environment.json").read_text())[0]["torch"] == torch.__version__
    plan = load_plan(whole_run)
    network = GynBTNet(plan.preset, outputs=len(plan.structures) + 1, strides=plan.strides)
    network.load_state_dict(load_file(whole_run / "weights_best.safetensors"))
    assert [row["epoch"] for row in rows(whole_run)] == ["1", "2", "3"]
    assert (whole_run / "pictures" / "epoch_0003.png").stat().st_size > 1000
    board = EventAccumulator(str(whole_run / "tensorboard"))
    board.Reload()
    losses = [event.value for event in board.Scalars("training/loss")]
    assert {tag.split("/")[0] for tag in board.Tags()["scalars"]} == {"training", "validation"}
    assert board.Tags()["images"] == ["validation/patches"]
    assert b"learning_rate" in board.Tensors("settings/text_summary")[0].tensor_proto.string_val[0]
    assert losses == pytest.approx([float(row["loss"]) for row in rows(whole_run)], rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "named"), [({"learning_rate": 1e-4}, r"settings\.learning_rate"), ({"epochs": 4}, r"settings\.epochs")]
)
def test_another_recipe_is_refused(
    prepared: PreparedCohort, whole_run: Path, changes: dict[str, Any], named: str
) -> None:
    before = contents(whole_run)
    with pytest.raises(BadInput, match=f"was made with {named} ="):
        train(prepared, whole_run, **changes)
    assert contents(whole_run) == before


def test_a_longer_run_is_refused_with_the_way_to_train_longer(prepared: PreparedCohort, whole_run: Path) -> None:
    with pytest.raises(BadInput, match=rf"start a new run from its weights with --start {whole_run}"):
        train(prepared, whole_run, epochs=4)
    with pytest.raises(BadInput, match=r"another output folder\.$"):
        train(prepared, whole_run, learning_rate=1e-4)


def test_other_scans_and_another_plan_are_refused(prepared: PreparedCohort, whole_run: Path) -> None:
    changed = replace(prepared, cases=(replace(prepared.cases[0], key="another digest"), *prepared.cases[1:]))
    with pytest.raises(BadInput, match=r"made from other inputs \(training\)") as error:
        train(changed, whole_run)
    assert "ball" not in str(error.value).replace(str(whole_run), "")
    larger = replace(prepared, plan=replace(prepared.plan, patch_size=(16, 32, 48)))
    with pytest.raises(BadInput, match=r"made with plan\.patch_size"):
        train(larger, whole_run)


@pytest.mark.parametrize(("stage", "kind"), [(pretrain, PretrainingSettings), (finetune, SegmentationSettings)])
def test_another_program_is_refused_while_one_trains(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Any, kind: type[TrainingSettings]
) -> None:
    calls = []

    def start_again(context: TrainingContext) -> None:
        calls.append(context)
        if len(calls) == 1:
            with pytest.raises(BadInput, match=rf"Another program trains in {context.run.path}; wait until it has"):
                stage(prepared, kind(**QUICK), tmp_path / "run", **SIDES)
            stage(prepared, kind(**QUICK), tmp_path / "other", **SIDES)

    monkeypatch.setattr("gynbtnet.training.stages.fit", start_again)
    for _ in range(2):
        stage(prepared, kind(**QUICK), tmp_path / "run", **SIDES)
    assert len(calls) == 3


def test_a_folder_of_something_else_is_refused(prepared: PreparedCohort, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"no recipe\.yaml of a run"):
        train(prepared, tmp_path)
    assert contents(tmp_path) == {"letters.txt": b"mine"}


@pytest.mark.parametrize(
    ("training", "validation", "words"),
    [
        ([], ["ball_2"], "To train on: 0"),
        (["ball_0", "ball_2"], ["ball_2"], "in both lists: 1"),
        (["ball_0", "ball_7"], ["ball_8"], "not prepared: 2"),
    ],
)
def test_cases_that_do_not_fit(
    prepared: PreparedCohort, tmp_path: Path, training: list[str], validation: list[str], words: str
) -> None:
    settings = SegmentationSettings(**QUICK)
    with pytest.raises(BadInput, match=words):
        finetune(prepared, settings, tmp_path / "run", training_ids=training, validation_ids=validation)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("validation", [["ball_2"], []])
def test_a_prepared_case_that_nobody_names_takes_no_part(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: list[str]
) -> None:
    read, seen = PreparedCase.crop, set()

    def crop(case: PreparedCase, *where: Any) -> Any:
        seen.add(case.id)
        return read(case, *where)

    monkeypatch.setattr(PreparedCase, "crop", crop)
    settings = SegmentationSettings(**{**QUICK, "epochs": 1})
    finetune(prepared, settings, tmp_path / "run", training_ids=["ball_0"], validation_ids=validation)
    assert seen == {"ball_0", *validation}


def test_contours_are_needed(prepared: PreparedCohort, tmp_path: Path) -> None:
    bare = replace(prepared, cases=tuple(replace(case, labelled=False) for case in prepared.cases))
    with pytest.raises(BadInput, match=r"Without contours in .*: 3 of 3 prepared scans"):
        train(bare, tmp_path / "run")


def test_a_full_disk_costs_no_older_checkpoint(
    prepared: PreparedCohort, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
        nonlocal written
        written += "optimizer" in path.name
        if written == 2:
            path.write_bytes(b"cut sho")
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(tensors, path)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_file", save)
        with pytest.raises(OSError, match="No space left"):
            train(prepared, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "state").iterdir()] == ["epoch_000001"]
    assert not (tmp_path / "run" / "weights_last.safetensors").exists()
    train(prepared, tmp_path / "run")
    last = "weights_last.safetensors"
    assert (tmp_path / "run" / last).read_bytes() == (whole_run / last).read_bytes()


@pytest.mark.parametrize(("ratio", "masked"), [(0.06, 0), (0.95, 8)])
def test_a_mask_that_leaves_nothing_to_learn_makes_no_run(
    prepared: PreparedCohort, tmp_path: Path, ratio: float, masked: int
) -> None:
    """A patch of 16×32×32 has 2×2×2 cells of 8×16×16."""
    small = replace(prepared, plan=replace(prepared.plan, strides=((1, 1, 1), *[(2, 2, 2)] * 3, (1, 2, 2))))
    with pytest.raises(BadInput, match=rf"mask_ratio {ratio} masks {masked} of the 8 cells of a patch"):
        pretrain(small, PretrainingSettings(**QUICK, mask_ratio=ratio), tmp_path / "run", **SIDES)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (PretrainingSettings, {"mask_ratio": 0}),
        (SegmentationSettings, {"learning_rate": 1e38}),
        (PretrainingSettings, {"learning_rate": 1e38}),
    ],
)
def test_settings_that_nothing_can_learn_with(kind: type[TrainingSettings], changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        kind(**changes)


def test_a_damaged_checkpoint_is_reported(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 8)
        with pytest.raises(KeyboardInterrupt):
            train(prepared, tmp_path / "run")
    (tmp_path / "run" / "state" / "epoch_000001" / "weights.safetensors").write_bytes(b"cut sho")
    with pytest.raises(BadInput, match=r"epoch_000001 can't be read"):
        train(prepared, tmp_path / "run")


def _changed_progress(**changes: Any) -> Callable[[Path], None]:
    def change(state: Path) -> None:
        values = json.loads((state / "progress.json").read_text())
        (state / "progress.json").write_text(json.dumps(values | changes))

    return change


def _changed_moment(name: str, changed: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    def change(state: Path) -> None:
        moments = load_file(state / "optimizer.safetensors")
        key = next(key for key in moments if key.endswith(name))
        value = changed(moments.pop(key))
        save_file(moments if value is None else moments | {key: value}, state / "optimizer.safetensors")

    return change


@pytest.mark.parametrize(
    "change",
    [
        _changed_progress(epoch="x"),
        _changed_progress(epoch=-1),
        _changed_progress(epoch=2),
        _changed_progress(best="x"),
        _changed_progress(best_epoch=7),
        _changed_progress(patches_at_once=0),
        _changed_progress(loss_scale=[1]),
        _changed_moment(":exp_avg", lambda values: None),
        _changed_moment(":exp_avg_sq", lambda values: values.flatten()[:1]),
        _changed_moment(":exp_avg", lambda values: values * torch.nan),
        _changed_moment(":exp_avg", lambda values: values.to(torch.int32)),
        _changed_moment(":step", lambda values: values[None]),
    ],
)
def test_a_checkpoint_with_odd_values_is_reported(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 8)
        with pytest.raises(KeyboardInterrupt):
            train(prepared, tmp_path / "run")
    change(tmp_path / "run" / "state" / "epoch_000001")
    with pytest.raises(BadInput, match=r"epoch_000001 can't be read"):
        train(prepared, tmp_path / "run")


@pytest.mark.parametrize("content", ["epoch\nx\n", "a,b\n1,2\n", "epoch,odd\n1,2\n", "epoch\n1,2,3\n"])
def test_a_damaged_log_is_reported(prepared: PreparedCohort, whole_run: Path, tmp_path: Path, content: str) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    (run / "log.csv").write_text(content)
    with pytest.raises(BadInput, match=r"log\.csv is damaged or was edited"):
        RunLog(run, ("loss",), 3)


@pytest.mark.parametrize("name", ["recipe.yaml", "inputs.json", "environment.json"])
@pytest.mark.parametrize("content", [b"", b"[cut sho", b"\xff\xfe"])
def test_a_damaged_run_folder_is_reported(
    prepared: PreparedCohort, whole_run: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run", ignore=shutil.ignore_patterns("state"))
    (run / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{name} is damaged"):
        train(prepared, run)


def test_missing_inputs_are_reported(prepared: PreparedCohort, whole_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    (run / "inputs.json").unlink()
    with pytest.raises(BadInput, match=r"There is no file .*inputs\.json"):
        train(prepared, run)


def test_a_loss_that_is_not_finite_is_reported(prepared: PreparedCohort, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lower learning_rate"):
        train(prepared, tmp_path / "run", learning_rate=1000, max_grad_norm=None)
    assert not (tmp_path / "run" / "weights_last.safetensors").exists()


def test_accumulated_batches_weigh_as_one_large(prepared: PreparedCohort, tmp_path: Path) -> None:
    common: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 1, "deep_supervision": False}
    halved = replace(prepared, plan=replace(prepared.plan, batch_size=1))
    large = train(prepared, tmp_path / "large", **common)
    small = train(halved, tmp_path / "small", gradient_accumulation_steps=2, **common)
    one, other = (load_file(run / "weights_last.safetensors") for run in (large, small))
    # Adam's first step is the gradient's sign: all but the gradients that are zero to rounding agree
    moved = torch.cat([(one[name] - other[name]).abs().flatten() for name in one])
    assert float((moved < 1e-5).float().mean()) > 0.97


def test_learns_the_ball(prepared: PreparedCohort, tmp_path: Path) -> None:
    run = train(prepared, tmp_path / "run", epochs=3, steps_per_epoch=10, augmentation="light", validation_patches=4)
    dice = [float(row["dice_mean"]) for row in rows(run)]
    assert dice[-1] > 0.8
    assert float(rows(run)[-1]["dice_ball"]) == dice[-1]


def test_without_deep_supervision_the_finest_head_alone_is_trained(prepared: PreparedCohort, tmp_path: Path) -> None:
    """Heads are numbered from coarse to fine."""
    quick = {"epochs": 2, "steps_per_epoch": 2, "augmentation": "light", "deep_supervision": False}
    first = train(prepared, tmp_path / "first", **quick, learning_rate=1e-12)
    trained = load_file(train(prepared, tmp_path / "run", **quick) / "weights_last.safetensors")
    drawn = load_file(first / "weights_last.safetensors")
    heads = sorted(name for name in drawn if name.startswith("decoder.heads.") and name.endswith("weight"))
    moved = [float((trained[name] - drawn[name]).abs().max()) for name in heads]
    assert moved[-1] > 1e-4
    assert max(moved[:-1]) < 1e-9


def test_without_validation_the_training_loss_decides(prepared: PreparedCohort, tmp_path: Path) -> None:
    settings = SegmentationSettings(**QUICK)
    run = finetune(prepared, settings, tmp_path / "run", training_ids=["ball_0", "ball_1"], validation_ids=[])
    assert (run / "weights_best.safetensors").exists()
    assert rows(run)[-1]["dice_mean"] == ""


def test_pretraining_learns_and_its_encoder_is_transferred(prepared: PreparedCohort, tmp_path: Path) -> None:
    bare = replace(
        prepared, cases=tuple(replace(case, labelled=False, foreground_labels=()) for case in prepared.cases)
    )
    settings = PretrainingSettings(**{**QUICK, "epochs": 2, "steps_per_epoch": 6, "normalise_target": False})
    first = pretrain(bare, settings, tmp_path / "pretrained", **SIDES)
    losses = [float(row["validation_loss"]) for row in rows(first)]
    assert losses[-1] < losses[0]
    assert (first / "pictures" / "epoch_0002.png").stat().st_size > 1000
    assert load_plan(first).structures == ()

    tuning = SegmentationSettings(**{**QUICK, "epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-12})
    second = finetune(prepared, tuning, tmp_path / "second", **SIDES, start=first)
    before, after = load_file(first / "weights_last.safetensors"), load_file(second / "weights_last.safetensors")
    encoder = [name for name in after if name.startswith("encoder.")]
    assert encoder
    assert all(torch.allclose(after[name], before[name], atol=1e-9) for name in encoder)
    assert json.loads((second / "transfer.json").read_text())["share"] == 1.0

    third = finetune(
        prepared,
        tuning.model_copy(update={"seed": 1}),
        tmp_path / "third",
        **SIDES,
        start=second,
    )
    last = load_file(third / "weights_last.safetensors")
    kept = [name for name in last if not name.startswith("decoder.heads.")]
    assert all(torch.allclose(last[name], after[name], atol=1e-9) for name in kept)
    assert not torch.allclose(last["decoder.heads.0.weight"], after["decoder.heads.0.weight"], atol=1e-3)


def test_a_run_starts_from_a_file_of_stu_nets(prepared: PreparedCohort, tmp_path: Path) -> None:
    """It has 104 classes: everything except the heads is transferred."""
    plan = prepared.plan
    with torch.random.fork_rng():
        theirs = GynBTNet(plan.preset, outputs=105, strides=plan.strides)
    write_stu_net(theirs.state_dict(), tmp_path / "published.model")
    tuning = SegmentationSettings(**{**QUICK, "epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-12})
    run = finetune(prepared, tuning, tmp_path / "run", **SIDES, start=tmp_path / "published.model")
    report = json.loads((run / "transfer.json").read_text())
    assert report["share"] == 1.0
    assert report["skipped"]
    assert all("decoder.heads." in name for name in report["skipped"])
    last = load_file(run / "weights_last.safetensors")
    for name, values in theirs.state_dict().items():
        if not name.startswith("decoder.heads."):
            assert torch.allclose(last[name], values, atol=1e-9), name


def test_a_model_is_trained_on_with_its_heads(prepared: PreparedCohort, whole_run: Path, tmp_path: Path) -> None:
    tuning = SegmentationSettings(
        **{**QUICK, "epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-12, "new_head_scale": 0.1}
    )
    run = finetune(prepared, tuning, tmp_path / "run", **SIDES, start=whole_run, keep_heads=True)
    before, after = (load_file(folder / "weights_last.safetensors") for folder in (whole_run, run))
    assert any("decoder.heads." in name for name in before)
    assert all(torch.allclose(after[name], values, atol=1e-9) for name, values in before.items())
    report = json.loads((run / "transfer.json").read_text())
    assert (report["parts"], report["share"], report["skipped"]) == ("all", 1, {})
    with pytest.raises(BadInput, match=r"other inputs \(heads\)"):
        finetune(prepared, tuning, run, **SIDES, start=whole_run)
    others = replace(prepared, plan=replace(prepared.plan, structures=("box",)))
    with pytest.raises(BadInput, match="the same structures in the same order"):
        finetune(others, tuning, tmp_path / "others", **SIDES, start=whole_run, keep_heads=True)


def test_channels_of_the_start_are_matched_by_the_plans_names(prepared: PreparedCohort, tmp_path: Path) -> None:
    """A CT model is trained further with MR as the first channel and CT as the second."""
    tuning = SegmentationSettings(**{**QUICK, "epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-12})
    first = finetune(prepared, tuning, tmp_path / "first", **SIDES)
    cases = []
    for case in prepared.cases:
        image, labels = case.crop((0, 0, 0), case.shape)
        both = np.concatenate([np.zeros_like(image), image])
        pair = replace(case, folder=tmp_path / "pairs", pad_values=(0.0, *case.pad_values))
        write_prepared_case(pair, both, labels, dict(case.foreground), prepared.plan.patch_size)
        cases.append(pair)
    pairs = replace(prepared, cases=tuple(cases), plan=replace(prepared.plan, channels=("MR", "CT")))
    second = finetune(pairs, tuning, tmp_path / "second", **SIDES, start=first)
    before, after = (load_file(run / "weights_last.safetensors") for run in (first, second))
    name = "encoder.levels.0.0.conv1.weight"
    assert torch.allclose(after[name][:, 1:], before[name], atol=1e-9)
    assert after[name][:, 0].abs().max() < 1e-9
    assert json.loads((second / "transfer.json").read_text())["channels"] == [
        "MR: new, its filters start at zero",
        "CT: filters taken over",
    ]


def test_an_encoder_with_batch_norm_continues_with_instance_norm(prepared: PreparedCohort, tmp_path: Path) -> None:
    settings = PretrainingSettings(**{**QUICK, "epochs": 1}, norm="batch")
    first = pretrain(prepared, settings, tmp_path / "pretrained", **SIDES)
    tuning = SegmentationSettings(**{**QUICK, "epochs": 1, "steps_per_epoch": 1})
    second = finetune(prepared, tuning, tmp_path / "second", **SIDES, start=first)
    report = json.loads((second / "transfer.json").read_text())
    assert report["share"] == 1.0
    left = {name.rsplit(".", 1)[1] for name in report["skipped"] if name.startswith("encoder.")}
    assert left == {"running_mean", "running_var", "num_batches_tracked"}


def test_pretraining_resumes_exactly(prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PretrainingSettings(**QUICK)
    whole = pretrain(prepared, settings, tmp_path / "whole", **SIDES)
    with monkeypatch.context() as patched:
        interrupt_at(patched, 8)
        with pytest.raises(KeyboardInterrupt):
            pretrain(prepared, settings, tmp_path / "run", **SIDES)
    run = pretrain(prepared, settings, tmp_path / "run", **SIDES)
    last = "weights_last.safetensors"
    assert (run / last).read_bytes() == (whole / last).read_bytes()


@pytest.mark.parametrize(
    ("cuda", "bfloat16", "accelerator", "expected"),
    [
        (False, False, "auto", "32-true"),
        (True, False, "auto", "16-mixed"),
        (True, True, "auto", "bf16-mixed"),
        (True, True, "cpu", "32-true"),
    ],
)
def test_the_number_format_that_the_device_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, bfloat16: bool, accelerator: str, expected: str
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16 or including_emulation)
    monkeypatch.setattr(devices, "Fabric", lambda **settings: asked.update(settings) or Mock())
    devices.start_devices(TrainingSettings(accelerator=accelerator))
    assert asked["precision"] == expected


@pytest.mark.parametrize("precision", ["auto", "bf16-mixed"])
def test_bfloat16_with_an_old_cudnn_is_refused(monkeypatch: pytest.MonkeyPatch, precision: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(devices, "Fabric", lambda **settings: Mock())
    with pytest.raises(BadInput, match=r"bfloat16 on this GPU\. .*wrong with cuDNN 9\.10\.2\. .*16-mixed"):
        devices.start_devices(TrainingSettings(precision=precision))
    devices.start_devices(TrainingSettings(precision="16-mixed"))
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction


@pytest.mark.parametrize(
    ("capabilities", "error", "words"),
    [
        ({}, 0.0, "can't be used on this CPU. It has no AMX"),
        ({"amx_bf16": False}, 0.0, "can't be used on this CPU. It has no AMX"),
        ({"amx_bf16": True}, float("nan"), "The gradient of a convolution on a grid of 2×4×4 is wrong there"),
        ({"amx_bf16": True}, 0.5, "The gradient of a convolution on a grid of 2×4×4 is wrong there"),
    ],
)
def test_bfloat16_on_an_unsuitable_cpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], error: float, words: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(cpu_bfloat16, "_gradient_error", lambda grid: error)
    monkeypatch.setattr(devices, "Fabric", lambda **settings: Mock())
    with pytest.raises(BadInput, match=words):
        devices.start_devices(TrainingSettings(precision="bf16-mixed", accelerator="cpu"))
    devices.start_devices(TrainingSettings(precision="auto", accelerator="cpu"))


def test_bfloat16_on_a_cpu_with_right_gradients_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    monkeypatch.setattr(cpu_bfloat16, "_gradient_error", lambda grid: 0.005)
    monkeypatch.setattr(devices, "Fabric", lambda **settings: asked.update(settings) or Mock())
    devices.start_devices(TrainingSettings(precision="bf16-mixed", accelerator="cpu"))
    assert asked["precision"] == "bf16-mixed"


def test_the_error_of_a_gradient_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bfloat16's rounding the error is zero, and a wrong gradient is found."""
    monkeypatch.setattr(torch, "bfloat16", torch.float64)
    assert cpu_bfloat16._gradient_error((2, 4, 4)) == 0
    exact, calls = torch.autograd.grad, 0

    def wrong_first(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        values, weight = exact(*arguments)
        return (values, 2 * weight) if calls == 1 else (values, weight)

    monkeypatch.setattr(torch.autograd, "grad", wrong_first)
    assert cpu_bfloat16._gradient_error((2, 4, 4)) == pytest.approx(1)


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(BadInput, match="16-mixed needs a GPU"):
        devices.start_devices(TrainingSettings(precision="16-mixed", accelerator="cpu"))


@pytest.mark.skipif(cpu_bfloat16.cpu_bfloat16_problem() is not None, reason="needs a CPU with AMX")
@pytest.mark.parametrize("stage", ["finetune", "pretrain"])
def test_bfloat16_on_a_cpu_with_amx_learns_as_single_precision(
    prepared: PreparedCohort, tmp_path: Path, stage: str
) -> None:
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        if stage == "finetune":
            run = train(prepared, tmp_path / precision, precision=precision, accelerator="cpu")
        else:
            settings = PretrainingSettings(**QUICK, precision=precision, accelerator="cpu")
            run = pretrain(prepared, settings, tmp_path / precision, **SIDES)
        losses[precision] = [float(row["loss"]) for row in rows(run)]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)
    assert losses["bf16-mixed"] != losses["32-true"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_absent_device_is_reported(prepared: PreparedCohort, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no CUDA device"):
        train(prepared, tmp_path / "run", accelerator="cuda")


def test_a_start_that_is_no_run(prepared: PreparedCohort, tmp_path: Path) -> None:
    settings = SegmentationSettings(**QUICK)
    with pytest.raises(BadInput, match=r"There is no .*weights_last\.safetensors"):
        finetune(prepared, settings, tmp_path / "run", **SIDES, start=tmp_path)


def test_a_start_that_has_not_ended_or_is_damaged(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at(patched, 8)
        with pytest.raises(KeyboardInterrupt):
            train(prepared, tmp_path / "start")
    settings = SegmentationSettings(**QUICK)
    for words in (r"There is no .*weights_last", r"weights_last\.safetensors is damaged"):
        with pytest.raises(BadInput, match=words):
            finetune(prepared, settings, tmp_path / "run", **SIDES, start=tmp_path / "start")
        assert not (tmp_path / "run").exists()
        (tmp_path / "start" / "weights_last.safetensors").write_bytes(b"cut sho")


def test_a_run_ends_after_its_warm_up() -> None:
    with pytest.raises(ValidationError, match="warm_up_epochs is 3, expected less than epochs, 3"):
        SegmentationSettings(**QUICK, warm_up_epochs=3)


def test_out_of_patience_a_run_has_ended(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best weights are those of the epoch before the scores decreased."""
    scores = iter([0.5, 0.6, 0.1, 0.1, 0.1, 0.9])
    monkeypatch.setattr(
        "gynbtnet.training.objectives.segmentation_objective.SegmentationObjective.validate",
        lambda self, patches: dict.fromkeys(self.score_names, next(scores)),
    )
    run = train(prepared, tmp_path / "run", epochs=9, patience=2, checkpoint_interval_epochs=9)
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3", "4"]
    progress = checkpoint.read_progress(run / "state")
    assert (progress.epoch, progress.best_epoch, progress.ended) == (4, 2, True)
    assert progress.best == pytest.approx(0.9 * 0.5 + 0.1 * 0.6)
    assert progress.smoothed == pytest.approx(0.9 * (0.9 * 0.51 + 0.1 * 0.1) + 0.1 * 0.1)
    before = contents(run)
    train(prepared, run, epochs=9, patience=2, checkpoint_interval_epochs=9)
    assert contents(run) == before
    assert (run / "weights_last.safetensors").read_bytes() != (run / "weights_best.safetensors").read_bytes()


def test_a_run_out_of_time_resumes_if_it_is_started_again(
    prepared: PreparedCohort, whole_run: Path, tmp_path: Path
) -> None:
    for epochs in (1, 2):
        with pytest.raises(Paused, match=rf"used up after {epochs} of 3 epochs .* run the same command again"):
            train(prepared, tmp_path / "run", time_budget_hours=1e-9, checkpoint_interval_epochs=3)
        assert not (tmp_path / "run" / "weights_last.safetensors").exists()
    train(prepared, tmp_path / "run", time_budget_hours=1e-9)
    for name in ("weights_last.safetensors", "weights_best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole_run / name).read_bytes(), name


def test_a_structure_without_contours_does_not_change_the_loss(
    prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No scan has contours of the ball. Its absence is unknown everywhere, so that the loss is zero."""
    read = PreparedCase.crop

    def crop(case: PreparedCase, *where: Any) -> Any:
        image, labels = read(case, *where)
        return image, np.zeros_like(labels)

    monkeypatch.setattr(PreparedCase, "crop", crop)
    cases = tuple(replace(case, missing=("ball",), foreground_labels=()) for case in prepared.cases)
    run = train(replace(prepared, cases=cases), tmp_path / "run", epochs=1)
    assert float(rows(run)[0]["loss"]) == pytest.approx(0, abs=1e-6)
    assert rows(run)[0]["dice_ball"] == "nan"


@pytest.mark.parametrize(("asked", "before", "expected"), [(False, 1, 6), (True, 2, 2), (True, 4, 2), (True, 1, 1)])
def test_a_resumed_run_computes_as_many_patches_at_once_as_before(asked: bool, before: int, expected: int) -> None:
    """If they divide its share of the batch, which may differ on other devices."""
    settings, progress = SegmentationSettings(auto_micro_batch=asked), checkpoint.Progress(patches_at_once=before)
    context = Mock(batches=Mock(batch_size=6), settings=settings)
    assert engine._patches_at_once(context, progress) == expected


@pytest.mark.slow
def test_a_loss_scale_is_restored(prepared: PreparedCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float16 on a CPU, with the optimiser and the clipping of a GPU: the scale grows after every step."""
    monkeypatch.setattr(torch.nn.Parameter, "is_cuda", True, raising=False)
    scalers = []

    def start(settings: TrainingSettings) -> Fabric:
        scalers.append(torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=1))
        return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler=scalers[-1]))

    monkeypatch.setattr("gynbtnet.training.stages.start_devices", start)
    for epochs in (1, 2):
        with pytest.raises(Paused):
            train(prepared, tmp_path / "run", time_budget_hours=1e-9, deep_supervision=False)
        progress = checkpoint.read_progress(tmp_path / "run" / "state")
        assert progress.loss_scale["scale"] == scalers[-1].get_scale()
        assert scalers[-1].get_scale() == 2.0 * 2 ** (2 * epochs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # Inductor's own
def test_a_compiled_network_learns_the_same(prepared: PreparedCohort, whole_run: Path, tmp_path: Path) -> None:
    run = train(prepared, tmp_path / "run", compile=True)
    assert float(rows(run)[0]["loss"]) == pytest.approx(float(rows(whole_run)[0]["loss"]), rel=1e-4)
    assert (
        load_file(run / "weights_last.safetensors").keys() == load_file(whole_run / "weights_last.safetensors").keys()
    )


def test_validation_returns_its_scores_and_leaves_its_arguments_alone() -> None:
    """Only epochs that are due have scores; the best weights depend on them, or without validation on the loss."""
    objective = Mock(network=torch.nn.Linear(1, 1))
    objective.validate.return_value = {"dice_mean": 0.5}
    objective.score = lambda scores: scores["dice_mean"]
    settings = TrainingSettings(epochs=5, steps_per_epoch=1, validation_interval_epochs=2, validation_patches=1)
    patches: Any = [{"image": torch.zeros(1)}]
    fabric = Fabric(accelerator="cpu", devices=1)
    batches = Mock(batch_size=1, devices=1)
    context = TrainingContext(fabric, objective, batches, patches, settings, Mock())
    scores = [engine._validate(context, checkpoint.Progress(epoch=epoch)) for epoch in range(1, 6)]
    assert scores == [{}, {"dice_mean": 0.5}, {}, {"dice_mean": 0.5}, {"dice_mean": 0.5}]
    without = replace(context, validation=None)
    assert engine._validate(without, checkpoint.Progress(epoch=2)) == {}
    assert engine._score(context, scores[0], 3.0) is None
    assert engine._score(context, scores[1], 3.0) == 0.5
    assert engine._score(without, {}, 3.0) == -3.0
