"""`gynbtnet predict --earlier` writes the adaptation into the manifest and leaves the model as it is."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from gynbtnet.cli import app
from gynbtnet.datasets import Cohort, ingest
from gynbtnet.imaging import StructureNames
from gynbtnet.networks import GynBTNet
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.runtime import BadInput, sha256_of

STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
LEAST_GAIN, STEPS = 0.005, 2


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three fractions of a phantom patient, a cohort of them, and a model without training."""
    folder = tmp_path_factory.mktemp("patient")
    write_brachytherapy(folder / "scans", patients=1, fractions=3, spacing=(12.0, 10.0, 10.0), matrix=(16, 32, 40))
    ingest(folder / "scans", folder / "cohort", structures=STRUCTURES)
    (folder / "model").mkdir()
    plan = Plan(STRUCTURES, (12.0, 10.0, 10.0), "zscore", None, (16, 32, 32), 1, "XS", STRIDES)
    save_plan(plan, folder / "model")
    torch.manual_seed(0)
    state = GynBTNet("XS", outputs=len(STRUCTURES) + 1, strides=STRIDES).state_dict()
    save_file(state, folder / "model" / "weights_last.safetensors")
    return folder


def predict_fraction(patient: Path, number: int, out: Path) -> Result:
    scan = patient / "scans" / "PHANTOM-001" / f"fraction-{number}" / "CT"
    command = ["predict", patient / "model", scan, "--earlier", patient / "cohort", "--earlier-steps", STEPS]
    options = ["--no-mirroring", "--roi", "whole", "--output", "nifti", "--set", "preview=false", "--out", out]
    return CliRunner().invoke(app, [str(word) for word in (*command, *options)])


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_manifest_states_the_adaptation_and_the_model_stays_as_it_is(patient: Path, tmp_path: Path) -> None:
    before = digests(patient / "model")
    ended = predict_fraction(patient, 3, tmp_path)
    assert ended.exit_code == 0, ended.output
    assert digests(patient / "model") == before
    (written,) = tmp_path.rglob("prediction.json")
    manifest = json.loads(written.read_text())
    adaptation = manifest["adaptation"]
    cases = Cohort.load(patient / "cohort").cases
    earlier = [case.sha256 for case in cases if case.fraction < 3]
    assert adaptation["fractions"] == earlier
    assert set(adaptation["check"]) == set(STRUCTURES)
    gains = {name: dsc["adapted"] - dsc["unadapted"] for name, dsc in adaptation["check"].items()}
    assert adaptation["structures"] == [name for name in STRUCTURES if gains[name] >= LEAST_GAIN]
    assert adaptation["steps"] == (STEPS if adaptation["structures"] else 0)
    assert adaptation["trial_steps"] == STEPS and "fitted into" not in ended.output
    assert adaptation["seed"] == 0 and 0 < adaptation["seconds"] <= 60
    assert all(manifest["predicted_dsc"][name] is None for name in adaptation["structures"])
    for name in STRUCTURES:
        shown = StructureNames.load().display_name(name)
        source = "the adapted copy" if name in adaptation["structures"] else "the model: not better by 0.005"
        dsc = adaptation["check"][name]
        row = rf"{shown} +{dsc['unadapted']:.3f} +{dsc['adapted']:.3f} +{source}"
        assert re.search(row, ended.output), ended.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--jobs", "2"], r"one scan in one process; leave --jobs and --cluster out"),
        ([], r"one scan, not to 2; give one DICOM series"),
    ],
)
def test_earlier_is_for_one_scan(patient: Path, tmp_path: Path, options: list[str], words: str) -> None:
    scans = [patient / "scans" / "PHANTOM-001" / f"fraction-{number}" / "CT" for number in (2, 3)]
    command = ["predict", patient / "model", *scans[: 1 if options else 2], "--earlier", patient / "cohort", *options]
    ended = CliRunner().invoke(app, [str(word) for word in (*command, "--out", tmp_path)])
    assert isinstance(ended.exception, BadInput) and re.search(words, str(ended.exception))


def test_a_cohort_whose_key_is_elsewhere_is_refused(patient: Path, tmp_path: Path) -> None:
    (patient / "cohort" / "patients.csv").rename(tmp_path / "patients.csv")
    try:
        ended = predict_fraction(patient, 3, tmp_path)
    finally:
        (tmp_path / "patients.csv").rename(patient / "cohort" / "patients.csv")
    assert isinstance(ended.exception, BadInput) and "The key patients.csv of the patients isn't in" in str(
        ended.exception
    )


def test_the_first_fraction_has_no_earlier_one(patient: Path, tmp_path: Path) -> None:
    ended = predict_fraction(patient, 1, tmp_path)
    assert isinstance(ended.exception, BadInput)
    assert "has no earlier reviewed scan of this patient" in str(ended.exception)
    assert not list(tmp_path.rglob("prediction.json"))
