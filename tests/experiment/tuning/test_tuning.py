"""Tuning on synthetic patients: what it writes, whom it never reads, and that a stopped one ends the same way."""

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gynbtnet.datasets import Cohort, Split
from gynbtnet.experiment.trial import run_trial
from gynbtnet.experiment.tuning import tuning_run as tuning_module
from gynbtnet.experiment.tuning.search_space import SearchSpace, ValueList, ValueRange
from gynbtnet.experiment.tuning.successive_halving import plan_rungs
from gynbtnet.experiment.tuning.tuned_patients import TunedPatients
from gynbtnet.experiment.tuning.tuning_run import Tuning, tune
from gynbtnet.experiment.tuning.tuning_table import BIAS, TrialRecord, TuningResult, explanation, ranked_rows
from gynbtnet.recipes import Recipe, load_recipe
from gynbtnet.runtime import BadInput, Diverged
from gynbtnet.training import Budget

SPLIT = Split(test=("p0", "p4"), folds=(("p1",), ("p2", "p3")), seed=0)
RATE, AXES, WARM_UP = "task.training.learning_rate", "task.training.mirror_axes", "task.training.warm_up_share"
SPACE: SearchSpace = {RATE: ValueRange(1e-4, 1e-2), AXES: ValueList((["x"], [])), WARM_UP: ValueList((0.0, 0.5))}
CHANGES = [
    *("structures=[ball]", "task.training.augmentation=light", "task.training.warm_up_epochs=1"),
    "prediction.preview=false",
]
_OPENED: list[str] | None = None


def note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _OPENED is not None:
        _OPENED.append(str(arguments[0]))


sys.addaudithook(note_opened)


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Collect the paths of all files that Python opens inside the block."""
    global _OPENED
    paths: list[str] = []
    _OPENED = paths
    try:
        yield paths
    finally:
        _OPENED = None


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("smoke", CHANGES)


@pytest.fixture(scope="module")
def tuning(recipe: Recipe) -> Tuning:
    return Tuning(recipe, "task", SPACE, Budget(steps=24), candidates=6)


@pytest.fixture(scope="module")
def patients(cohort: Cohort) -> TunedPatients:
    """Training and validation patients of a cohort in which no file of a test patient can be read."""
    for case in cohort.of_patients(SPLIT.test).cases:
        for path in case.files:
            path.write_bytes(b"unreadable")
    return TunedPatients.of_fold(Cohort.load(cohort.folder), SPLIT, 0)


@pytest.fixture(scope="module")
def done(tuning: Tuning, patients: TunedPatients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuning") / "out"
    with opened_files() as paths:
        tune(tuning, patients, out)
    assert len(paths) > 100
    tested = [path for path in paths for patient in SPLIT.test if f"{patient}_f1" in path]
    assert tested == []
    return out


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_trial_has_its_scores_and_its_cost(done: Path) -> None:
    rows = rows_of(done)
    assert [(row["rung"], row["candidate"]) for row in rows[:6]] == [("1", str(number)) for number in range(6)]
    assert [(row["rung"], row["budget_steps"], row["steps"]) for row in rows] == [("1", "2.0", "2")] * 6 + [
        ("2", "6.0", "6")
    ] * 2
    for row in rows:
        folder = done / "trials" / f"rung_{row['rung']}" / f"candidate_{row['candidate']}"
        with (folder / "evaluation" / "scores.csv").open(newline="") as file:
            scores = list(csv.DictReader(file))
        assert [score["patient"] for score in scores] == ["p1"]
        assert float(row["mean_dsc"]) == float(row["dsc_ball"]) == float(scores[0]["dsc"])
        assert float(row["cpu_seconds"]) > 0
        assert {path.name for path in (folder / "predictions").iterdir()} == {"p1_f1"}


@pytest.mark.slow
def test_the_recipe_is_that_of_the_best_candidate(done: Path, recipe: Recipe) -> None:
    rows = rows_of(done)
    best = max(rows[6:], key=lambda row: float(row["mean_dsc"]))
    assert {row["candidate"] for row in rows[6:]} == {
        row["candidate"] for row in sorted(rows[:6], key=lambda row: -float(row["mean_dsc"]))[:2]
    }
    tuned = load_recipe(done / "recipe.yaml").stage("task").training
    assert tuned.learning_rate == float(best[RATE])
    assert list(tuned.mirror_axes) == ([] if best[AXES] == "–" else best[AXES].split())
    assert tuned.warm_up_share == float(best[WARM_UP])
    kept = {"learning_rate", "mirror_axes", "warm_up_share", "warm_up_epochs"}
    assert tuned.model_dump(exclude=kept) == recipe.stage("task").training.model_dump(exclude=kept)


def test_candidate_0_has_the_own_settings(done: Path, recipe: Recipe) -> None:
    own = recipe.stage("task").training
    first = rows_of(done)[0]
    assert (own.warm_up_epochs, own.epochs) == (1, 2)  # as the same share of a budget
    assert (float(first[RATE]), first[AXES], float(first[WARM_UP])) == (own.learning_rate, "z y x", 0.5)
    trained = json.loads((done / "trials" / "rung_1" / "candidate_0" / "trial.json").read_text())["recipe"]
    assert trained["task"]["training"]["budget"]["steps"] == 2


def test_recipe_and_table_describe_the_search(done: Path) -> None:
    table, recipe = (done / "table.md").read_text(), (done / "recipe.yaml").read_text()
    for text in (table, recipe):
        assert "24 steps of training in all (rung 1: 6 candidates × 2 steps; rung 2: 2 candidates × 6 steps)" in text
        assert "Trained on 2 patients" in text and "over 1 validation patient. No scan of a test patient" in text
        assert BIAS in text
    assert recipe.startswith("# Written by gynbtnet tune with seed 0: no. ")
    assert "| no. | rung | steps | CPU s | DSC | rate | mirror | warm-up |" in table
    assert sum(line.startswith("| ") and line[2].isdigit() for line in table.splitlines()) == 6


def test_a_second_call_keeps_all_files(done: Path, tuning: Tuning, patients: TunedPatients) -> None:
    files = [path for path in (done / "trials").rglob("*") if path.is_file()]
    before, table = {path: path.stat().st_mtime_ns for path in files}, (done / "table.md").read_text()
    tune(tuning, patients, done)
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert (done / "table.md").read_text() == table


@pytest.mark.slow
def test_a_tuning_that_was_killed_ends_the_same_way(
    done: Path, tuning: Tuning, patients: TunedPatients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in turn: before the score of a trial is written, before a rung, before the tables, before the recipe."""
    out = tmp_path / "out"
    shutil.copytree(done, out, ignore=shutil.ignore_patterns("candidate_[45]", "rung_2", "*.md", "trials.csv"))
    (out / "recipe.yaml").unlink()
    for name, number in (("write_json", 1), ("run_trial", 3), ("save_tables", 1), ("save_recipe", 1)):
        function, calls = getattr(tuning_module, name), 0

        def killed(*arguments: Any, function: Any = function, number: int = number, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                raise KeyboardInterrupt
            return function(*arguments, **named)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(tuning_module, name, killed)
            tune(tuning, patients, out)
        assert not (out / "recipe.yaml").exists()
    tune(tuning, patients, out)
    assert (out / "recipe.yaml").read_text() == (done / "recipe.yaml").read_text()
    without_time = [[{**row, "cpu_seconds": ""} for row in rows_of(folder)] for folder in (out, done)]
    assert without_time[0] == without_time[1]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"budget": Budget(steps=30)}, "was begun with budget.steps = 24, but now budget.steps = 30"),
        ({"seed": 1}, "was begun with seed = 0, but now seed = 1"),
        ({"candidates": 5}, "was begun with candidates = 6, but now candidates = 5"),
        (
            {"space": {**SPACE, WARM_UP: ValueList((0.0, 0.1))}},
            r"was begun with search.*warm_up_share.values = \[0.0, 0.5\]",
        ),
    ],
)
def test_another_tuning_in_the_same_folder(
    done: Path, tuning: Tuning, patients: TunedPatients, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        tune(replace(tuning, **changed), patients, done)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"space": {"task.training.epochs": ValueList((1, 2))}}, "epochs can't be searched"),
        ({"space": {"task.training.budget.steps": ValueList((1, 2))}}, "budget.steps can't be searched"),
        ({"space": {"task.training.devices": ValueList((1, 2))}, "candidates": 2}, "A tuning trains on one device"),
        ({"start": Path("absent")}, "There is no absent/weights_last.safetensors; expected --start"),
        ({"space": {"split.seed": ValueList((1, 2))}}, "split.seed can't be searched"),
        ({"space": {"task.training.rate": ValueList((1, 2))}}, "rate in the search space is not a setting"),
        ({"space": {"task.plan.patch_size": ValueList(([16, 32, 32], [20, 20, 20]))}, "candidates": 2}, "multiple"),
        ({"budget": Budget(steps=5)}, "5 steps are too few for 6 candidates"),
        ({"budget": Budget(gpu_seconds=5)}, "--unit gpu-seconds needs a GPU; give --unit cpu-seconds or steps"),
        ({"stage": "nnunet"}, "has no nnunet stage"),
    ],
)
def test_a_tuning_that_is_not_possible(
    tuning: Tuning, patients: TunedPatients, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        tune(replace(tuning, **changed), patients, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_training_that_diverges_is_the_worst(
    tuning: Tuning, patients: TunedPatients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(trial: Any, *arguments: Any, **named: Any) -> Any:
        if trial.recipe.task.training.learning_rate == 1000:
            raise Diverged("The loss became nan.")
        return run_trial(trial, *arguments, **named)

    monkeypatch.setattr(tuning_module, "run_trial", diverge)
    space: SearchSpace = {RATE: ValueList((1000.0,))}
    result = tune(replace(tuning, space=space, candidates=2, budget=Budget(steps=2)), patients, tmp_path / "out")
    assert result.order == (0, 1) and result.last_trial(1).score is None
    assert "No. 1: Its loss did not remain finite." in (tmp_path / "out" / "table.md").read_text()
    assert ranked_rows(result)[1][1][3:5] == ["–", "–"]


def test_nothing_is_chosen_if_every_training_diverges(
    tuning: Tuning, patients: TunedPatients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*arguments: Any, **named: Any) -> Any:
        raise Diverged("The loss became nan.")

    monkeypatch.setattr(tuning_module, "run_trial", diverge)
    with pytest.raises(BadInput, match=r"No trial in .* could be scored"):
        tune(tuning, patients, tmp_path / "out")
    assert not (tmp_path / "out" / "recipe.yaml").exists()


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([[0.3, 0.2, 0.04, 0, 0, 0], [0.5, 0.4]], None),
        ([[0.3, 0.04, 0.01, 0, 0, 0], [0.5, 0.4]], "Only 1 of 6 candidates in rung 1 reached a DSC of 0.05"),
        ([[0.3, 0.2, 0, 0, 0, 0], [0.01, 0.0]], "Only 0 of 2 candidates in rung 2 reached"),
    ],
)
def test_a_choice_by_chance_is_reported(scores: list[list[float]], words: str | None) -> None:
    trials = tuple(
        TrialRecord(rung, candidate, {RATE: 1e-3}, score)
        for rung, row in zip(plan_rungs(6, 24), scores, strict=True)
        for candidate, score in enumerate(row)
    )
    sentences = explanation(TuningResult("demo", "task", "steps", 24, 0, 20, 5, trials))
    assert sentences[3] == BIAS
    assert (words is None and len(sentences) == 4) or sentences[4].startswith(str(words))


def test_the_default_table_fits_80_columns() -> None:
    settings = {
        "task.training.learning_rate": 0.00055,
        "task.training.warm_up_share": 0.05,
        "task.training.mirror_axes": ["z", "y", "x"],
        "task.training.weight_decay": 3e-5,
        "task.plan.patch_size": [112, 128, 128],
        "task.plan.batch_size": 12,
    }
    rung = plan_rungs(27, 1e6)[2]
    trial = TrialRecord(rung, 26, settings, 0.8765, {}, 123456, 123456.7)
    heads, rows = ranked_rows(TuningResult("demo", "task", "steps", 1e6, 0, 20, 5, (trial,)))
    widths = [max(len(head), *(len(row[i]) for row in rows)) for i, head in enumerate(heads)]
    assert sum(widths) + len(widths) <= 80
