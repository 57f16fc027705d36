"""Cohorts as a user makes, shows and splits them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.image import imread

from gynbtnet.datasets import Cohort, Split

from .test_bad_input import refused, write_contours, write_ct

KINDS = ("tandem and ring", "T&O")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Ten patients with two fractions each, and a table of their applicators."""
    rows = ["folder,patient,fraction,applicator"]
    for number in range(20):
        patient, fraction = f"P{number // 2}", number % 2 + 1
        folder = tmp_path / "export" / patient / f"Fx{fraction}"
        write_contours(write_ct(folder / "CT", seed=number, patient=patient), folder / "RS.dcm")
        rows.append(f"{patient}/Fx{fraction},{patient},{fraction},{KINDS[number // 2 % 2]}")
    (tmp_path / "patients.csv").write_text("\n".join(rows))
    return tmp_path / "export"


@pytest.fixture
def ingest(gynbtnet, export: Path, tmp_path: Path) -> Callable:
    def run(*options: object):
        table = ("--patient-id-from", tmp_path / "patients.csv")
        bladder = ("--structures", "bladder")
        return gynbtnet("ingest", export, "--out", tmp_path / "cohort", *bladder, *table, *options)

    return run


@pytest.mark.slow
def test_from_a_table_to_folds_with_applicators(gynbtnet, ingest: Callable, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = ingest("--dry-run")
    assert result.code == 0, result.err
    assert "20 scans of 10 patients would be ingested; nothing was written" in result.out
    assert sorted(tmp_path.rglob("*")) == before
    assert ingest("--jobs", 2).code == 0
    result = gynbtnet("describe", tmp_path / "cohort", "--out", tmp_path / "cohort.png")
    assert result.code == 0, result.err
    assert "tandem+ovoids" in result.out and "mm³" in result.out
    assert imread(tmp_path / "cohort.png").std() > 0.05
    result = gynbtnet("split", tmp_path / "cohort", "--out", tmp_path / "split.json", "--folds", 4)
    assert "tandem+ring: 1 in the test set, 1, 1, 1, 1 in the folds" in result.out
    folds = json.loads((tmp_path / "splits_final.json").read_text())
    assert [len(fold["val"]) for fold in folds] == [4, 4, 4, 4]
    result = gynbtnet(
        *(
            "split",
            tmp_path / "cohort",
            "--from",
            tmp_path / "splits_final.json",
            "--out",
            tmp_path / "again" / "s.json",
        )
    )
    assert result.code == 0, result.err
    assert Split.load(tmp_path / "again" / "s.json") == Split.load(tmp_path / "split.json")


def test_files_of_nnunets_folds_are_not_replaced(gynbtnet, ingest: Callable, tmp_path: Path) -> None:
    ingest()
    ids = [case.id for case in Cohort.load(tmp_path / "cohort").cases]
    folds = tmp_path / "splits_final.json"
    folds.write_text(json.dumps([{"train": ids[8:16], "val": ids[:8]}, {"train": ids[:8], "val": ids[8:16]}]))
    before = folds.read_bytes()
    split = ("split", tmp_path / "cohort", "--out")
    refused(gynbtnet(*split, folds), "has the name of nnU-Net's file")
    refused(gynbtnet(*split, tmp_path / "split.json", "--from", folds), "splits_final.json would be replaced")
    assert folds.read_bytes() == before and not (tmp_path / "split.json").exists()
    assert gynbtnet(*split, tmp_path / "made" / "split.json", "--from", folds).code == 0


def test_an_argument_that_is_not_utf8_is_refused(gynbtnet, tmp_path: Path) -> None:
    out = os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.nii.gz")
    refused(gynbtnet("convert", tmp_path, "--out", out), "M?ller.nii.gz is not UTF-8")


def test_a_patient_on_both_sides_of_a_fold_is_refused(gynbtnet, ingest: Callable, tmp_path: Path) -> None:
    ingest()
    ids = [case.id for case in Cohort.load(tmp_path / "cohort").cases]
    folds = [{"train": ids[1:], "val": ids[:1]}, {"train": ids[:1], "val": ids[1:]}]
    (tmp_path / "folds.json").write_text(json.dumps(folds))
    result = gynbtnet(
        *("split", tmp_path / "cohort", "--from", tmp_path / "folds.json", "--out", tmp_path / "split.json")
    )
    refused(result, "1 patient on both sides")
    assert not (tmp_path / "split.json").exists()


@pytest.mark.slow
def test_one_failing_scan_stops_no_other(ingest: Callable, export: Path, tmp_path: Path) -> None:
    sorted((export / "P3" / "Fx1" / "CT").iterdir())[3].unlink()
    result = ingest("--jobs", 2)
    assert result.code == 1
    assert "Traceback" not in result.err
    (line,) = [line for line in result.err.splitlines() if line.startswith("unreadable: ")]
    assert "P3/Fx1" in line and "--allow-missing-slices" in line
    assert len(Cohort.load(tmp_path / "cohort").cases) == 19
    report = json.loads((tmp_path / "cohort" / "integrity.json").read_text())
    assert [problem["kind"] for problem in report["problems"]] == ["unreadable"]
    assert ingest("--allow-missing-slices").code == 0
    assert len(Cohort.load(tmp_path / "cohort").cases) == 20


def test_a_scan_under_two_names_is_told(gynbtnet, tmp_path: Path) -> None:
    for patient in ("A", "B"):
        write_ct(tmp_path / "scans" / patient, seed=1, patient=patient)
    write_ct(tmp_path / "scans" / "C", seed=2, patient="C")
    arguments = ("ingest", tmp_path / "scans", "--out", tmp_path / "cohort", "--layout", "scans")
    result = gynbtnet(*arguments)
    assert result.code == 1
    assert "duplicate: The scan in" in result.err
    assert len(Cohort.load(tmp_path / "cohort").patients) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("describe", "NOWHERE"), ("There is no folder",)),
        (("describe", "NOWHERE", "--out", "picture.jpg"), ("picture.jpg", ".png")),
        (
            ("ingest", "HERE", "--out", "OUT", "--structures", "a", "--patient-id-from", "{who}"),
            ("not a pattern", "{patient}"),
        ),
        (("ingest", "HERE", "--out", "OUT", "--layout", "scans", "--channels", "CT,CT"), ("--channels", "twice")),
        (
            ("ingest", "HERE", "--out", "OUT", "--layout", "tcia-covid", "--allow-gantry-tilt"),
            ("doesn't use", "--allow-"),
        ),
    ],
)
def test_mistakes_are_reported(gynbtnet, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    write_contours(write_ct(tmp_path / "here" / "CT"), tmp_path / "here" / "RS.dcm")
    paths = {"OUT": tmp_path / "out", "NOWHERE": tmp_path / "nowhere", "HERE": tmp_path / "here"}
    result = gynbtnet(*(paths.get(word, word) for word in arguments))
    refused(result, *words)
    assert not (tmp_path / "out").exists()
