"""Every command as its help shows it, from the phantom to the report, with a recipe of a few steps."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from typer.main import get_command

from gynbtnet.cli import PANELS, app
from gynbtnet.datasets import Cohort, Split
from gynbtnet.imaging import read_volume
from gynbtnet.preparation import PreparedCohort, load_plan
from gynbtnet.recipes import load_recipe

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
IN_ORDER = (
    *("recipes", "phantom", "inspect", "convert", "run", "report", "tune", "benchmark", "compare"),
    *(
        "ingest",
        "describe",
        "split",
        "plan",
        "prepare",
        "import-nnunet",
        "pretrain",
        "finetune",
        "predict",
        "review",
        "learn",
        "node",
        "monitor",
        "export",
    ),
    *("evaluate", "dose", "commission", "doctor"),
)
SMALLER = {
    "phantom": "--patients 6 --fractions 1 --unlabelled 3 --organs 3 --spacing 6 5 5 --matrix 32 64 80",
    "tune": "--budget 2 --unit steps --candidates 2 --set prediction.preview=false",
    "benchmark": "--set prediction.preview=false",
}
"""Options that make an example quick, in addition to the recipe of a few steps."""

SLOW = ("tune", "benchmark", "compare", "commission", "monitor")
"""Commands whose examples train or segment several times, or need long."""

BEFORE = {"commission": "commission demo/steps/runs/task --init demo/steps/limits.yaml"}
"""Commands that write what an example reads."""


def example(command: str) -> list[str]:
    """Return the arguments in a command's help, for a recipe of a few steps and a small phantom."""
    match = re.fullmatch(r"Example: `gynbtnet (.*)`", COMMANDS[command].epilog)
    assert match, f"the help of {command} ends with no example"
    arguments = ["smoke" if word == "demo" else word for word in shlex.split(match[1])]
    return arguments + shlex.split(SMALLER.get(command, ""))


def test_every_command_has_an_example() -> None:
    assert sorted(COMMANDS) == sorted(IN_ORDER)
    for command in COMMANDS:
        assert example(command)[0] == command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(folder)
    yield folder / "demo"


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in IN_ORDER]
)
def test_example(command: str, gynbtnet, here: Path) -> None:
    if command in BEFORE:
        assert gynbtnet(*shlex.split(BEFORE[command])).code == 0
    result = gynbtnet(*example(command))
    assert result.code == 0, result.err
    assert "Traceback" not in result.err


def finetune_every_fold(here: Path, *changed: str) -> list[str]:
    """Return the arguments of the example of ``finetune``, with a cross-validation instead."""
    every = ["--every-fold", "--cohort", str(here / "steps" / "cohorts" / "task")]
    return [*example("finetune")[:-1], str(here / "steps" / "crossvalidation"), *every, *changed]


@pytest.mark.slow
def test_finetune_every_fold(gynbtnet, here: Path) -> None:
    """Two folds are enough; the example's split has five."""
    split, cohort = here / "steps" / "two_folds.json", here / "steps" / "cohorts" / "task"
    assert gynbtnet("split", cohort, "--out", split, "--folds", "2").code == 0
    result = gynbtnet(*finetune_every_fold(here, "--split", str(split), "--set", "prediction.preview=false"))
    assert result.code == 0, result.err
    out = here / "steps" / "crossvalidation"
    assert all((out / f"fold_{fold}" / "weights_best.safetensors").is_file() for fold in range(2))
    assert "median [quartiles]" in result.out and "| structure |" not in result.out  # tables of a terminal
    assert str(out / "evaluation" / "summary.md") in result.out.replace("\n", "")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--stage", "supervised"], "--every-fold needs --stage task, --split and --cohort"),
        (["--cohort", "nowhere"], "nowhere"),
    ],
)
def test_finetune_every_fold_with_wrong_arguments(gynbtnet, here: Path, changed: list[str], words: str) -> None:
    result = gynbtnet(*finetune_every_fold(here, *changed))
    assert result.code == 2
    assert words in " ".join(result.err.split())


def test_finetune_of_one_fold_takes_no_cohort(gynbtnet, here: Path) -> None:
    result = gynbtnet(*example("finetune"), "--cohort", here / "steps" / "cohorts" / "task")
    assert result.code == 2
    assert "--cohort and --jobs belong to --every-fold" in " ".join(result.err.split())


def test_what_the_examples_left(here: Path) -> None:
    """After the examples above: one RTSTRUCT a test patient on its own CT, the report, and the steps' own results."""
    experiment = here / "experiment"
    split = Split.load(experiment / "split.json")
    cohort = Cohort.load(experiment / "cohorts" / "task")
    test = cohort.of_patients(split.test)
    assert len(test.cases) == 1
    for case in test.cases:
        prediction = experiment / "predictions" / "test" / case.id
        structures = pydicom.dcmread(prediction / "RS.dcm")
        ct = pydicom.dcmread(next(case.source.ct_folder.glob("*.dcm")), stop_before_pixels=True)
        assert structures.StudyInstanceUID == ct.StudyInstanceUID
        assert structures.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID == ct.FrameOfReferenceUID
        assert structures.ApprovalStatus == "UNAPPROVED"
        assert "SYNTHETIC" in structures.SeriesDescription
        assert read_volume(prediction / "labels.nii.gz").geometry.offset(case.geometry) < 1e-3
    checklist = (experiment / "claim.md").read_text()
    assert "| performance | mean DSC of 1 test scan: " in checklist
    assert "SYNTHETIC: no patient was scanned." in checklist
    assert f"{len(split.test)} for the test" in checklist
    assert checklist.count("*to be stated by the authors*") > 15
    page = (experiment / "report.html").read_text()
    assert "Synthetic data" in page
    assert "Stage 2" in page
    assert (here / "steps" / "contours" / "patient-001_f1" / "RS.dcm").is_file()
    assert (here / "steps" / "evaluation" / "summary.md").is_file()
    assert not list(here.rglob(".partial-*"))


@pytest.mark.slow
def test_what_the_comparison_left(here: Path) -> None:
    assert "gynbtnet with pretraining and, as gynbtnet-from-scratch" in (here / "comparison" / "table_2.md").read_text()


@pytest.mark.slow
def test_what_the_commissioning_left(here: Path) -> None:
    kit = json.loads((here / "steps" / "commissioning" / "commission.json").read_text())
    assert kit["results"]["local"]["training_checked"] and len(kit["results"]["limits"]) > 20
    assert {failure["outcome"] for failure in kit["results"]["planted"]} >= {"control", "refused"}


def test_test_patients_are_in_no_training(here: Path) -> None:
    experiment = here / "experiment"
    held_out = Split.load(experiment / "split.json").test
    for stage in ("pretraining", "task"):
        inputs = json.loads((experiment / "runs" / stage / "inputs.json").read_text())
        prepared = PreparedCohort.open(experiment / "prepared" / stage)
        assert sorted(inputs["training"] + inputs["validation"]) == sorted(case.key for case in prepared.cases)
        assert not set(prepared.patients) & set(held_out)


@pytest.mark.slow
def test_tuning_has_the_test_patients_of_the_run(here: Path) -> None:
    """They are held out by the same split, and the tuned recipe can be trained."""
    split = Split.load(here / "experiment" / "split.json")
    begun = json.loads((here / "tuning" / "tuning.json").read_text())
    assert tuple(begun["training"]) == split.training_patients(0)
    assert tuple(begun["validation"]) == split.validation_patients(0)
    for name in ("tuning", "experiment"):
        recipe = load_recipe(here / name / "recipe.yaml")
        assert recipe.task and recipe.supervised and recipe.pretraining


def test_run_states_its_postprocessing(here: Path) -> None:
    plan = load_plan(here / "experiment" / "runs" / "task")
    assert [(rule.structure, rule.largest_component) for rule in plan.postprocessing] == [
        (name, True) for name in ("bladder", "rectum", "uterus", "hr_ctv") if name in plan.structures
    ]
    (note,) = (note for note in plan.notes if note.startswith("Post-processing: "))
    assert "default" in note


def test_a_run_folder_is_complete_in_itself(here: Path) -> None:
    run = here / "experiment" / "runs" / "task"
    for name in ("recipe.yaml", "plans.json", "dataset.json", "environment.json", "inputs.json", "transfer.json"):
        assert (run / name).is_file()
    for name in ("log.csv", "weights_last.safetensors", "weights_best.safetensors", "tensorboard", "state"):
        assert (run / name).exists()


def test_help_shows_every_command_in_its_panel(gynbtnet) -> None:
    help_text = gynbtnet("--help").out
    panels = [help_text.index(f"─ {panel} ─") for panel in PANELS]
    assert panels == sorted(panels)
    names = [name for panel in PANELS.values() for name in panel]
    assert sorted(names) == sorted(IN_ORDER)
    commands = [help_text.index(f"│ {name} ") for name in names]
    assert commands == sorted(commands)


def test_version(gynbtnet) -> None:
    assert re.fullmatch(r"gynbtnet \d+\.\d+\.\d+\n", gynbtnet("--version").out)


def test_help_is_answered_without_loading_torch() -> None:
    code = "import sys; import gynbtnet.cli; print({'torch', 'SimpleITK', 'pandas', 'numpy'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded == "set()\n"
