"""Learning curves without training: runs, patients, choices, comparisons, page."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gynbtnet.datasets import Cohort, Split
from gynbtnet.experiment.curves.curve_figures import budget_figure
from gynbtnet.experiment.curves.curves_page import report_curves
from gynbtnet.experiment.curves.differences import difference_table, patient_values, settings_of_points
from gynbtnet.experiment.curves.earlier_stages import earlier_stages, planned_steps
from gynbtnet.experiment.curves.findings import missing_runs
from gynbtnet.experiment.curves.finished_elsewhere import take_finished_runs
from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.machines import check_machine, on_machine_of_pace
from gynbtnet.experiment.curves.run_list import CurveRun, all_runs
from gynbtnet.experiment.curves.run_record import read_record, read_records, record_diverged, write_tables
from gynbtnet.experiment.curves.setup import CurvesSetup, write_setup
from gynbtnet.experiment.curves.trace_curves import _Context, _run_all, best_candidate, check_budgets, choose_patients
from gynbtnet.experiment.scans import Ingested
from gynbtnet.experiment.trial import Trial
from gynbtnet.imaging import Repairs, StructureNames
from gynbtnet.recipes import CurvesDesign, CurvesRecipe, Pace, load_curves, save_recipe
from gynbtnet.runtime import BadInput, Diverged, write_json
from gynbtnet.training import Budget

STRUCTURES = ("bladder", "rectum")
LEVELS = {"gynbtnet": 0.85, "gynbtnet-from-scratch": 0.84, "nnunet": 0.60, "nnunet-chosen": 0.88}
"""True mean DSC of each simulated model."""


CHOSEN = {
    "gynbtnet": "rate-6e-3",
    "gynbtnet-from-scratch": "rate-1e-2",
    "nnunet": "published",
    "nnunet-chosen": "adamw-3e-3",
}


@pytest.fixture(scope="module")
def recipe() -> CurvesRecipe:
    shipped = load_curves("curves", ["curves.n_resamples=500"])
    return replace(shipped, models={name: model for name, model in shipped.models.items() if name in LEVELS})


@pytest.fixture(scope="module")
def setup(recipe: CurvesRecipe) -> CurvesSetup:
    return CurvesSetup(
        name="curves",
        description="",
        design=recipe.design,
        models=tuple(recipe.models),
        structures=STRUCTURES,
        runs=all_runs(recipe),
        learning=24,
        choosing=4,
        held_out=8,
        cases_held_out=16,
        stages={name: tuple(model.stages) for name, model in recipe.models.items()},
        synthetic=True,
        citations=(),
    )


@pytest.fixture
def ingested(cohort: Cohort) -> Ingested:
    split = Split(("p4",), (("p0",), ("p1", "p2", "p3")), 0)
    return Ingested(cohort, split, None, None, None, StructureNames.load(None), Repairs())


def in_unit(unit: str) -> CurvesDesign:
    """Return a design with budgets in a unit, of the machine that trains."""
    return CurvesDesign.model_validate({"unit": unit, "budgets": [240], "reference": "gynbtnet"})


def tables(setup: CurvesSetup) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate runs: nnunet has no long run, and all models are equally good with few patients."""
    random, points, scores = np.random.default_rng(0), [], []
    difficulty = random.normal(0, 0.03, 8)
    for run in setup.runs:
        if run.model == "nnunet" and run.budget > 6000:
            continue
        level = 0.7 if run.patients else LEVELS[run.model]
        level += random.normal(0, 0.003)
        points.append(
            {
                "run": run.name,
                "kind": run.kind,
                "model": run.model,
                "candidate": run.candidate or CHOSEN[run.model],
                "budget": run.budget,
                "patients": run.patients or 24,
                "all_patients": run.patients is None,
                "seed": run.seed,
                "draw": run.draw,
                "mean_dsc": level,
                "steps": setup.design.budget(run.budget, run.model).steps or int(run.budget),
                "version": "0",
                "cpu_seconds": run.budget * (3 if run.model == "nnunet" else 1),
                "earlier_steps": 0,
                "earlier_cpu_seconds": 3600.0 if run.model == "gynbtnet" else 0.0,
                "parameters": 3_600_000,
                "machine": "A" if run.seed else "B",
            }
        )
        for patient in range(8):
            for case in range(2):
                for structure, offset in zip(STRUCTURES, (0.02, -0.02), strict=True):
                    dsc = level + difficulty[patient] + offset + random.normal(0, 0.005)
                    scores.append(
                        {
                            "run": run.name,
                            "case": f"p{patient}_f{case}",
                            "patient": f"p{patient}",
                            "structure": structure,
                            "dsc": dsc,
                            "hd95_mm": 5.0,
                            "asd_mm": 1.0,
                            "missing_in": "none",
                        }
                    )
    return pd.DataFrame(points), pd.DataFrame(scores)


@pytest.fixture(scope="module")
def folder(setup: CurvesSetup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("curves")
    points, scores = tables(setup)
    write_json(setup, CurvesFolder(out).setup)
    points.to_csv(out / "points.csv", index=False)
    scores.to_csv(out / "scores.csv", index=False)
    return out


def test_a_part_of_the_runs_shows_all_models(recipe: CurvesRecipe) -> None:
    runs = all_runs(recipe)
    assert len({run.name for run in runs}) == len(runs)
    tried = {
        name: set(model.candidates) if len(model.candidates) > 1 else set() for name, model in recipe.models.items()
    }
    first = runs[: sum(len(names) + 1 for names in tried.values())]
    assert {run.budget for run in first} == {240}
    assert {run.seed for run in first} == {0}
    assert [run.model for run in first if run.kind == "point"] == list(recipe.models)
    for number, run in enumerate(first):
        if run.kind == "point":
            before = {other.candidate for other in runs[:number] if other.model == run.model}
            assert before == tried[run.model], "settings are chosen first"
    budgets = [run.budget for run in runs if run.patients is None]
    assert budgets == sorted(budgets)
    long = [run for run in runs if run.budget == 6480]
    assert [run.model for run in long] == [name for name, model in recipe.models.items() if model.long]
    few = [run for run in runs if run.patients]
    assert {(run.patients, run.draw) for run in few} == {(n, draw) for n in (2, 5, 12) for draw in range(3)}
    assert {run.budget for run in few} == {240}


def test_draws_of_patients_are_nested_and_the_same_for_all_models(recipe: CurvesRecipe) -> None:
    folds = tuple(tuple(f"p{fold}{number}" for number in range(4)) for fold in range(7))
    split = Split(("t",), folds, 0)
    by_number: dict[tuple[int, int], set[str]] = {}
    for run in all_runs(recipe):
        patients = choose_patients(split, recipe.recipe.split, run)
        assert not {"t", *folds[0]}.intersection(patients)
        assert len(set(patients)) == len(patients) == (run.patients or 24)
        if run.patients:
            assert by_number.setdefault((run.seed, run.patients), set(patients)) == set(patients)
    for draw in range(3):
        assert by_number[draw, 2] < by_number[draw, 5] < by_number[draw, 12]
    assert len({tuple(sorted(by_number[draw, 5])) for draw in range(3)}) == 3
    with pytest.raises(BadInput, match="ask for 30 contoured patients, but there are 24"):
        choose_patients(split, recipe.recipe.split, CurveRun("point", "gynbtnet", 720, patients=30))


def test_stages_are_shared_by_models_that_need_the_same(recipe: CurvesRecipe) -> None:
    shipped = load_curves("curves")
    names = {}
    for name in ("gynbtnet", "gynbtnet-stage-1", "gynbtnet-stage-2"):
        model = shipped.models[name]
        variants = list(model.candidates.values())
        names[name] = [stage.name for stage in earlier_stages(variants[0], model.stages, 1)]
        for variant in variants:
            assert [stage.name for stage in earlier_stages(variant, model.stages, 1)] == names[name]
    assert names["gynbtnet"][0] == names["gynbtnet-stage-1"][0]
    assert names["gynbtnet"][1] != names["gynbtnet-stage-2"][0], "one starts from stage 1, the other from scratch"
    other = shipped.models["gynbtnet-stage-1"]
    first = next(iter(other.candidates.values()))
    assert earlier_stages(first, other.stages, 2)[0].name != names["gynbtnet-stage-1"][0]


def test_of_equal_candidates_the_first_is_chosen() -> None:
    assert best_candidate({"a": 0.5, "b": 0.7, "c": 0.7}) == "b"


def test_differences_are_those_that_were_simulated(setup: CurvesSetup) -> None:
    points, scores = tables(setup)
    table = difference_table(points, scores, setup)
    everyone = table[table["all_patients"] & (table["budget"] == 2160) & (table["structure"] == "mean")]
    rows = {str(row["other"]): row for row in everyone.to_dict("records")}
    assert rows.keys() == LEVELS.keys() - {"gynbtnet"}
    for other, row in rows.items():
        assert row["difference"] == pytest.approx(0.85 - LEVELS[other], abs=0.012)
        assert row["low"] < 0.85 - LEVELS[other] < row["high"]
    verdicts = {other: (row["better"], row["not_worse"], row["worse"]) for other, row in rows.items()}
    assert verdicts["nnunet"] == (True, True, False)
    assert verdicts["nnunet-chosen"] == (False, False, True)
    assert verdicts["gynbtnet-from-scratch"][1:] == (True, False)
    assert rows["nnunet"]["p"] == pytest.approx(2 / 2**8)
    assert rows["nnunet"]["p_holm"] == pytest.approx(3 * 2 / 2**8)
    single = table[table["budget"] == 6480]
    assert set(single["runs"]) == {1}
    assert not single[["better", "worse", "not_worse"]].to_numpy().any()
    means = scores.merge(points, on="run").groupby("run")["dsc"].mean()
    own = points[
        (points["model"] == "gynbtnet")
        & (points["budget"] == 240)
        & points["all_patients"]
        & (points["kind"] == "point")
    ]
    expected = means.loc[own["run"]].mean()
    shown = table[(table["budget"] == 240) & (table["structure"] == "mean")]["mean_dsc"]
    assert shown.iloc[0] == pytest.approx(expected)


def test_a_right_absence_is_perfect_if_another_run_is_wrong(setup: CurvesSetup) -> None:
    """Four of eight patients have no rectum; all runs of one model predict one there, those of the others don't."""
    points, scores = tables(setup)
    wrong = scores["run"].isin(points.loc[points["model"] == "nnunet", "run"])
    absent = scores["patient"].isin(["p0", "p1", "p2", "p3"]) & (scores["structure"] == STRUCTURES[1])
    scores["dsc"] = np.where(absent, np.where(wrong, 0.0, np.nan), 0.8)
    scores["hd95_mm"] = np.where(absent, np.where(wrong, 90.0, np.nan), 5.0)
    scores["missing_in"] = np.where(absent, np.where(wrong, "truth", "both"), "none")
    table = difference_table(points, scores, setup)
    everyone = table[table["all_patients"] & (table["budget"] == 2160) & (table["other"] == "nnunet")]
    shown = everyone.set_index("structure")[["held_out", "mean_dsc", "other_mean_dsc"]].T.to_dict("list")
    assert shown[STRUCTURES[1]] == pytest.approx([8, 0.9, 0.4])
    assert shown["mean"] == pytest.approx([8, 0.85, 0.6])
    without = scores[~wrong]
    right = difference_table(points[points["model"] != "nnunet"], without, setup)
    assert set(right.loc[right["structure"] == STRUCTURES[1], "held_out"]) == {4}
    setting = next(s for s in settings_of_points(points) if s.all_patients and s.budget == 2160)
    distances = patient_values(points, scores, setting, "hd95_mm")
    own = distances[(distances["structure"] == STRUCTURES[1]) & (distances["patient"] == "p0")]
    assert set(own.loc[own["model"] == "gynbtnet", "value"]) == {0}


def test_page_figures_and_tables_come_from_the_tables_alone(folder: Path) -> None:
    page = report_curves(folder)
    text = page.read_text()
    first = text.split("\n")[2]
    assert first.startswith(
        "**With all 24 contoured patients and 36 CPU minutes of training, gynbtnet has a mean DSC of"
    )
    assert "It is better than nnunet (" in first
    assert "It is worse than nnunet-chosen (" in first
    assert "With 2 contoured patients and 4 CPU minutes" in text
    assert "CPU minutes are those of one machine (AMD EPYC, family 26, model 2)" in text
    assert "A step of gynbtnet takes 0.38 CPU seconds; a step of the others takes longer: nnunet 3.3 times" in text
    assert text.index("**Not run yet: 1 of") < text.index("Synthetic data")
    assert "- point of nnunet: patients-all_budget-6480_seed-0" in text
    assert "| nnunet-chosen | adamw-1e-3 |" in text
    assert "Machines round differently, so that the same steps don't give the same weights on each. The runs: " in text
    assert "| nnunet | published | – | the only one |" in text
    names = ["curves.png", "curves.svg", "patients.png", "patients.svg", "differences.csv", "structures.csv"]
    before = {name: (folder / name).read_bytes() for name in [*names, page.name]}
    report_curves(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_the_time_of_the_task_is_marked_at_its_budgets(setup: CurvesSetup) -> None:
    points, _ = tables(setup)
    task, whole = budget_figure(points, setup).axes
    assert [label.get_text() for label in task.get_xticklabels()] == ["4", "12", "36", "108"]
    assert task.get_ylim() == whole.get_ylim()


def _rows(text: str, change: Callable[[list[str]], list[str]]) -> str:
    return "".join(change(text.splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("table", "damage", "words"),
    [
        ("points.csv", lambda text: "", "has no rows"),
        ("points.csv", lambda text: "[]", "has no rows"),
        ("points.csv", lambda text: _rows(text, lambda rows: rows[:1]), "has no rows"),
        ("points.csv", lambda text: _rows(text, lambda rows: rows[:-1]), r"points\.csv is damaged: it lacks the run"),
        (
            "points.csv",
            lambda text: text[: text.rindex(",")],
            r"row \d+ has \d+ cells, but",
        ),
        ("points.csv", lambda text: text.replace("seed,draw", "seed,seed"), "it has a column twice"),
        ("points.csv", lambda text: text.replace(",0.", ",-0.", 1), "column mean_dsc: Input should be greater"),
        ("points.csv", lambda text: text.replace(",240.0,", ",nan,", 1), "column budget"),
        ("scores.csv", lambda text: _rows(text, lambda rows: rows[:1]), "has no rows"),
        ("scores.csv", lambda text: text.replace("\n", ",\n").replace(",\n", "\n", 1), r"row 0 has (\d+) cells, but"),
        ("scores.csv", lambda text: text[: text.rindex(",")], r"row \d+ has \d+ cells, but"),
        ("scores.csv", lambda text: text.replace(",bladder,", ",liver,"), "liver is not a structure of these curves"),
        ("scores.csv", lambda text: text.replace("points/nnunet/", "points/unet/"), "is not one of this design"),
        ("scores.csv", lambda text: text + "\0", "absent or damaged|cells"),
    ],
)
def test_damaged_tables_are_reported(
    folder: Path, tmp_path: Path, table: str, damage: Callable[[str], str], words: str
) -> None:
    path = shutil.copytree(folder, tmp_path / "curves") / table
    path.write_text(damage(path.read_text()))
    with pytest.raises(BadInput, match=words):
        report_curves(path.parent)


@pytest.fixture
def elsewhere(recipe: CurvesRecipe, setup: CurvesSetup, tmp_path: Path) -> CurvesFolder:
    """Folder with the tables and recipes of three runs that another machine has finished."""
    folder = CurvesFolder(tmp_path / "elsewhere")
    points, scores = tables(setup)
    points = points[points["model"] == "nnunet-chosen"].head(3)
    for candidate, variant in recipe.models["nnunet-chosen"].candidates.items():
        save_recipe(variant, folder.recipe("nnunet-chosen", candidate))
    points.to_csv(folder.points, index=False)
    scores[scores["run"].isin(points["run"])].to_csv(folder.scores, index=False)
    return folder


def scored_patients(setup: CurvesSetup) -> dict[CurveRun, list[str]]:
    return {run: [f"p{number}" for number in range(8)] for run in setup.runs}


def test_runs_that_were_finished_elsewhere_count(
    recipe: CurvesRecipe, setup: CurvesSetup, elsewhere: CurvesFolder, tmp_path: Path
) -> None:
    here = CurvesFolder(tmp_path / "here")
    take_finished_runs(elsewhere.folder, recipe, scored_patients(setup), here)
    write_tables(here, setup.runs)
    for theirs, ours in ((elsewhere.points, here.points), (elsewhere.scores, here.scores)):
        pd.testing.assert_frame_equal(pd.read_csv(ours), pd.read_csv(theirs), check_like=True)
    record = here.record(setup.runs[[run.name for run in setup.runs].index(pd.read_csv(here.points)["run"][0])])
    record.write_text(record.read_text().replace('"machine": "B"', '"machine": "here"'))
    take_finished_runs(elsewhere.folder, recipe, scored_patients(setup), here)
    assert '"machine": "here"' in record.read_text()


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("points.csv", "search/nnunet-chosen", "search/unet", "is not one of this design"),
        ("points.csv", ",adamw-1e-3,", ",adamw,", "is not one of this design"),
        ("points.csv", ",240.0,", ",four minutes,", r"points\.csv is damaged: row 0, column budget"),
        ("points.csv", ",192,", ",190,", "did 190 steps instead of 192, which are its budget at the pace of AMD EPYC"),
        ("points.csv", ",0,0.0,", ",9,0.0,", "did 9 steps before the task instead of 0, at the pace of AMD EPYC"),
        ("scores.csv", ",p7,", ",p9,", "has scores of other patients"),
        ("scores.csv", ",bladder,", ",liver,", "has scores of other structures"),
        ("scores.csv", ",dsc,", ",dice,", "scores.csv is damaged: it has no column dsc"),
        ("scores.csv", "run,", "runs,", "scores.csv is damaged: it has no column run"),
        ("scores.csv", ",5.0,", ",five,", "a score is not a number"),
        ("scores.csv", ",5.0,", ",-5.0,", "a distance is negative or infinite"),
        ("scores.csv", ",5.0,", ",inf,", "a distance is negative or infinite"),
        ("scores.csv", ",p7_f1,p7,", ",p7_f1,,", "a row has no patient"),
        ("scores.csv", ",p7_f1,p7,", ",,p7,", "a row has no case"),
        ("scores.csv", ",p7_f1,p7,bladder,", ",p7_f1,p7,rectum,", "it has a structure of a case twice"),
        ("points.csv", ",240.0,", ",241.0,", "has other values in its row than in its name"),
        ("points.csv", "search/nnunet-chosen/adamw-3e-3", "search/nnunet-chosen/adamw-1e-3", "it has the run .* twice"),
        ("points.csv", "seed,draw", "seeds,draw", "points.csv is damaged: row 0, column seed"),
        ("scores.csv", "run,", '"', r"scores\.csv is absent or damaged"),
        ("recipes/nnunet-chosen/adamw-1e-3.yaml", "learning_rate: 0.001", "learning_rate: 0.002", "other settings"),
    ],
)
def test_runs_of_other_curves_are_refused(
    recipe: CurvesRecipe,
    setup: CurvesSetup,
    elsewhere: CurvesFolder,
    tmp_path: Path,
    table: str,
    old: str,
    new: str,
    words: str,
) -> None:
    path = elsewhere.folder / table
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1 if new == '"' else -1))
    with pytest.raises(BadInput, match=words):
        take_finished_runs(elsewhere.folder, recipe, scored_patients(setup), CurvesFolder(tmp_path / "here"))
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("unit", ["cpu_seconds", "gpu_seconds"])
@pytest.mark.parametrize("taken", [False, True])
def test_seconds_of_another_machine_are_not_continued(
    recipe: CurvesRecipe,
    setup: CurvesSetup,
    elsewhere: CurvesFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unit: str,
    taken: bool,
) -> None:
    """Finished runs are in tables of another folder, or have been taken from there."""
    here, tables = CurvesFolder(tmp_path / "here"), elsewhere.folder
    if taken:
        take_finished_runs(tables, recipe, scored_patients(setup), here)
    finished = None if taken else tables
    name = {"cpu_seconds": "processor", "gpu_seconds": "devices"}[unit]

    def check(machine: str, models: Sequence[str] = ("nnunet-chosen",), unit: str = unit) -> None:
        monkeypatch.setattr(f"gynbtnet.experiment.curves.machines.{name}", lambda: machine)
        check_machine(in_unit(unit), setup.runs, models, here, finished)

    check("B")
    with pytest.raises(BadInput, match=r"3 runs of these curves were trained on another machine \(B\).*one \(C\)"):
        check("C")
    check("C", unit="steps")
    check("C", models=())


def test_complete_curves_are_reported_on_any_machine(setup: CurvesSetup, tmp_path: Path) -> None:
    points, _ = tables(setup)
    points.to_csv(tmp_path / "points.csv", index=False)
    runs, here = [run for run in setup.runs if run.name in set(points["run"])], CurvesFolder(tmp_path / "here")
    check_machine(in_unit("cpu_seconds"), runs, list(setup.models), here, tmp_path)
    with pytest.raises(BadInput, match="another machine"):
        check_machine(in_unit("cpu_seconds"), setup.runs, list(setup.models), here, tmp_path)


def test_with_a_pace_every_machine_continues(recipe: CurvesRecipe, setup: CurvesSetup, tmp_path: Path) -> None:
    points, _ = tables(setup)
    points.to_csv(tmp_path / "points.csv", index=False)
    assert recipe.design.pace is not None
    check_machine(recipe.design, setup.runs, list(setup.models), CurvesFolder(tmp_path / "here"), tmp_path)


def test_stages_before_the_task_have_the_steps_of_the_pace(recipe: CurvesRecipe) -> None:
    model = recipe.models["gynbtnet"]
    variant, pace = next(iter(model.candidates.values())), Pace(machine="A", task={}, stages={"pretraining": 2.5})
    seconds = variant.stage("pretraining").training.budget
    (run,) = earlier_stages(variant, ["pretraining"], 1, pace)
    assert seconds is not None and seconds.cpu_seconds == 600
    assert run.settings.training.budget == Budget(steps=1500)
    (unpaced,) = earlier_stages(variant, ["pretraining"], 1)
    assert unpaced.settings.training.budget == seconds
    assert run.name != unpaced.name, "other weights have another folder"


@pytest.mark.parametrize(("steps", "taken"), [(192, True), (180, True), (205, True), (150, False), (240, False)])
def test_steps_of_the_machine_of_the_pace_may_vary(
    recipe: CurvesRecipe, setup: CurvesSetup, elsewhere: CurvesFolder, tmp_path: Path, steps: int, taken: bool
) -> None:
    """Its first runs had budgets in seconds."""
    assert recipe.design.pace is not None
    points = pd.read_csv(elsewhere.points).assign(machine=recipe.design.pace.machine, steps=steps)
    points.to_csv(elsewhere.points, index=False)
    arguments = elsewhere.folder, recipe, scored_patients(setup), CurvesFolder(tmp_path / "here")
    if taken:
        take_finished_runs(*arguments)
    else:
        with pytest.raises(BadInput, match=f"did {steps} steps instead of 192"):
            take_finished_runs(*arguments)


def test_a_pace_of_cpu_seconds_is_refused_on_a_gpu(
    recipe: CurvesRecipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(BadInput, match=r"gynbtnet would train on a GPU, but curves\.pace"):
        check_budgets(recipe, ["gynbtnet"])
    unpaced = replace(recipe, design=recipe.design.model_copy(update={"pace": None}))
    check_budgets(unpaced, ["gynbtnet"])
    monkeypatch.undo()
    with pytest.raises(BadInput, match=r"^curves\.unit gpu_seconds needs a GPU; set it to cpu_seconds or steps\.$"):
        check_budgets(replace(recipe, design=in_unit("gpu_seconds")), ["gynbtnet"])


def test_seconds_of_the_stages_before_the_task(recipe: CurvesRecipe, ingested: Ingested, tmp_path: Path) -> None:
    assert recipe.design.pace is not None
    setup = write_setup(recipe, ingested, CurvesFolder(tmp_path))
    assert setup.earlier_seconds == dict.fromkeys(LEVELS, 0) | {"gynbtnet": pytest.approx(1200)}
    variant = next(iter(recipe.models["gynbtnet"].candidates.values()))
    assert planned_steps(variant, ["pretraining", "supervised"], recipe.design.pace) == {
        "pretraining": 1740,
        "supervised": 1560,
    }


def test_times_of_other_machines_are_those_of_the_budget(setup: CurvesSetup) -> None:
    points = tables(setup)[0].assign(steps=lambda table: table["budget"])
    pace = Pace(machine="A", task=dict.fromkeys(setup.models, 1.0))
    design = setup.design.model_copy(update={"pace": pace})
    with_stages = dict.fromkeys(setup.models, 0.0) | {"gynbtnet": 1200.0}
    table = on_machine_of_pace(points, replace(setup, design=design, earlier_seconds=with_stages))
    there = table
    assert (there["cpu_seconds"] == there["budget"]).all(), "also on the machine of the pace, which did the same steps"
    assert set(there.loc[there["model"] == "gynbtnet", "earlier_cpu_seconds"]) == {1200.0}
    assert set(there.loc[there["model"] != "gynbtnet", "earlier_cpu_seconds"]) == {0.0}
    in_seconds = points.assign(steps=points["steps"] + 1)
    here = points["machine"] == "A"
    again = on_machine_of_pace(in_seconds, replace(setup, design=design))
    assert again[here].equals(in_seconds[here]), "measured, since the steps vary"
    assert (again.loc[~here, "cpu_seconds"] == points.loc[~here, "budget"] + 1).all()
    unpaced = replace(setup, design=setup.design.model_copy(update={"pace": None}))
    assert on_machine_of_pace(points, unpaced).equals(points)


def test_tables_that_a_spreadsheet_has_saved_are_read(folder: Path, tmp_path: Path) -> None:
    saved = shutil.copytree(folder, tmp_path / "curves")
    for name in ("points.csv", "scores.csv"):
        text = (saved / name).read_text()
        (saved / name).write_text("\ufeff" + text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert report_curves(saved).read_text() == report_curves(folder).read_text()


def test_names_that_look_like_numbers_stay_as_they_are(
    recipe: CurvesRecipe, setup: CurvesSetup, elsewhere: CurvesFolder, tmp_path: Path
) -> None:
    path = elsewhere.scores
    path.write_text(re.sub(r"\bp(\d)", r"00\1", path.read_text()))
    scored = {run: [f"00{number}" for number in range(8)] for run in setup.runs}
    here = CurvesFolder(tmp_path / "here")
    take_finished_runs(elsewhere.folder, recipe, scored, here)
    write_tables(here, setup.runs)
    assert set(pd.read_csv(here.scores, dtype=str)["patient"]) == set(scored[setup.runs[0]])


def test_candidates_are_written_down_before_the_first_run(
    recipe: CurvesRecipe, ingested: Ingested, tmp_path: Path
) -> None:
    folder = CurvesFolder(tmp_path)
    model = recipe.models["nnunet-chosen"]
    recipe = replace(recipe, models={model.name: model})
    write_setup(recipe, ingested, folder)
    write_setup(recipe, ingested, folder)
    fewer = replace(model, candidates={"adamw-3e-3": model.candidates["adamw-3e-3"]})
    with pytest.raises(BadInput, match=r"were begun with the candidates .* of nnunet-chosen"):
        write_setup(replace(recipe, models={model.name: fewer}), ingested, folder)


def test_resamples_may_change_and_the_margin_may_not(recipe: CurvesRecipe, ingested: Ingested, tmp_path: Path) -> None:
    """Curves that were begun with 10,000 resamples are drawn again with others; the margin was written down."""
    folder = CurvesFolder(tmp_path)
    write_setup(replace(recipe, design=recipe.design.model_copy(update={"n_resamples": 10_000})), ingested, folder)
    assert write_setup(recipe, ingested, folder).design == recipe.design
    with pytest.raises(BadInput, match="were begun with another design"):
        write_setup(replace(recipe, design=recipe.design.model_copy(update={"margin": 0.05})), ingested, folder)


def test_a_diverged_candidate_is_the_worst_and_a_diverged_point_stops_no_other(
    recipe: CurvesRecipe, setup: CurvesSetup, ingested: Ingested, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, tried = CurvesFolder(tmp_path), []
    first, second, *_ = recipe.models["nnunet-chosen"].candidates

    def run(trial: Trial, cohort: Cohort, out: Path, **_: Any) -> Any:
        tried.append((trial.model, out.name))
        if out.name == first or trial.model == "nnunet":
            raise Diverged("The loss became nan.")

    def record(run: CurveRun, candidate: str, patients: int, _: Any, costs: Any, machine: str, folder: Any) -> None:
        scored = ingested.cohort.of_patients(ingested.split.test)
        record_diverged(run, candidate, patients, scored, machine, folder)
        found = read_record(folder, run)
        assert found
        write_json(replace(found, mean_dsc=0.5, steps=3), folder.record(run))

    monkeypatch.setattr("gynbtnet.experiment.curves.trace_curves.run_trial", run)
    monkeypatch.setattr("gynbtnet.experiment.curves.trace_curves.record_run", record)
    runs = [run for run in setup.runs if run.model.startswith("nnunet") and run.budget == setup.design.budgets[0]]
    runs = [run for run in runs if run.seed == 0 and run.patients is None]
    with pytest.raises(Diverged, match=r"loss of 1 run of the curves .* others are done\. The first: The loss became"):
        _run_all(_Context(recipe, ingested, folders, None, 1), runs)
    assert len(tried) == len(runs)
    written = {run: read_record(folders, run) for run in runs}
    assert {run.model for run, found in written.items() if found is None} == {"nnunet"}
    assert written[CurveRun("search", "nnunet-chosen", runs[0].budget, candidate=first)].mean_dsc is None
    assert written[CurveRun("point", "nnunet-chosen", runs[0].budget)].candidate == second
    write_tables(folders, runs)
    assert [record.diverged for record in read_records(folders.points, "")].count(True) == 1


def test_a_candidate_that_diverged_elsewhere_counts(
    recipe: CurvesRecipe, setup: CurvesSetup, elsewhere: CurvesFolder, tmp_path: Path
) -> None:
    points = pd.read_csv(elsewhere.points)
    points.loc[0, ["mean_dsc", "steps"]] = (np.nan, 0)
    points.to_csv(elsewhere.points, index=False)
    here = CurvesFolder(tmp_path / "here")
    take_finished_runs(elsewhere.folder, recipe, scored_patients(setup), here)
    write_tables(here, setup.runs)
    assert [record.diverged for record in read_records(here.points, "")].count(True) == 1


def test_a_single_model_is_compared_with_none(setup: CurvesSetup, tmp_path: Path) -> None:
    points, scores = tables(setup)
    points = points[points["model"] == "gynbtnet"]
    runs = tuple(run for run in setup.runs if run.model == "gynbtnet")
    write_json(replace(setup, models=("gynbtnet",), runs=runs), CurvesFolder(tmp_path).setup)
    points.to_csv(tmp_path / "points.csv", index=False)
    scores[scores["run"].isin(points["run"])].to_csv(tmp_path / "scores.csv", index=False)
    text = report_curves(tmp_path).read_text()
    assert "gynbtnet is the only model, so nothing is compared." in text
    assert "not finished" not in text
    assert "Holm" not in text


def test_a_page_of_the_first_runs(setup: CurvesSetup, tmp_path: Path) -> None:
    points, scores = tables(setup)
    write_json(setup, CurvesFolder(tmp_path).setup)
    started = points[(points["seed"] == 0) & (points["budget"] == 240)].head(4)
    started.to_csv(tmp_path / "points.csv", index=False)
    scores[scores["run"].isin(started["run"])].to_csv(tmp_path / "scores.csv", index=False)
    text = report_curves(tmp_path).read_text()
    assert text.count("nothing can be compared yet") == 2
    assert len(missing_runs(started, setup)) == len(setup.runs) - 4
    (tmp_path / "points.csv").unlink()
    with pytest.raises(BadInput, match=r"points\.csv is absent or damaged"):
        report_curves(tmp_path)
    (tmp_path / "curves.json").write_text(json.dumps({"name": 1}))
    with pytest.raises(BadInput, match=r"curves\.json is damaged or was edited"):
        report_curves(tmp_path)
