"""Names and paths as they occur: printed unchanged, and matched for any coding of accents."""

import sys
import unicodedata
from pathlib import Path
from typing import Literal

import pydicom
import pytest

from gynbtnet.cli import main
from gynbtnet.datasets import PatientKey, ingest
from gynbtnet.imaging import read_label_names
from gynbtnet.runtime import console as progress_console
from gynbtnet.runtime import track

from .battery import CASES, boxes
from .builders import CT, rtstruct

P = "CLOSED_PLANAR"
BRACKETS = ("Iso 45 [cGy]", "CTV [old]")


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Run a command; return its exit code and its output."""
    monkeypatch.setattr(sys, "argv", ["gynbtnet", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, printed.err


@pytest.fixture
def export(tmp_path: Path) -> Path:
    CASES["name_in_brackets"][0](tmp_path / "export")
    return tmp_path / "export"


def test_names_in_brackets_are_printed_whole_by_every_command(export, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = (
        ("inspect", export, "--out", tmp_path / "seen.png"),
        ("convert", export / "RS.dcm", "--ct", export, "--out", tmp_path / "labels.nii.gz"),
        ("ingest", export, "--out", tmp_path / "cohort", "--structures", "bladder"),
        ("describe", tmp_path / "cohort", "--out", tmp_path / "cohort.png"),
    )
    for arguments in commands:
        code, out, _ = run(monkeypatch, capsys, *arguments)
        assert code == 0, arguments
        for name in BRACKETS:
            assert name in out, (arguments, name)


NAMES = (
    "[/red]",
    "[bold]Bladder old[/bold]",
    "[link=x]",
    ":smile:",
    "[",
    "a\\[b]",
    "100%",
    "PTV {1}",
    "PTV $\\frac$",
    "$x_$",
)


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path, monkeypatch, capsys):
    ct = CT(tmp_path / "[red]")
    box = boxes(ct, range(2, 10), 25, 30, 8, 15)
    others = [(number, name, box) for number, name in enumerate(NAMES, start=2)]
    rtstruct(tmp_path / "[red]" / "RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15)), *others])
    folder, out = tmp_path / "[red]", tmp_path / "[bold]o[bold].nii.gz"
    code, printed, _ = run(monkeypatch, capsys, "convert", folder / "RS.dcm", "--ct", folder, "--out", out)
    assert code == 0
    assert ", ".join(f"“{name}”" for name in NAMES) in printed
    assert f"Wrote {out}" in printed
    code, printed, _ = run(monkeypatch, capsys, "inspect", tmp_path, "--out", tmp_path / "[dim].png")
    assert code == 0
    for name in (*NAMES, f"The figure is {tmp_path / '[dim].png'}", "[red]/RS.dcm"):
        assert name in printed
    code, _, error = run(
        monkeypatch, capsys, "convert", folder / "[/x].dcm", "--ct", folder, "--out", tmp_path / "p.nii"
    )
    assert code == 2
    assert f"There is no file {folder / '[/x].dcm'}" in error


def test_titles_of_progress_bars_are_printed_as_they_are():
    with progress_console.capture() as captured:
        assert list(track([1, 2], "[/x] :smile:")) == [1, 2]
    assert "[/x] :smile:" in captured.get()


def test_a_long_name_is_not_broken(tmp_path, monkeypatch, capsys):
    ct = CT(tmp_path)
    name = "a name of many words that is longer than the column of a table"
    rtstruct(tmp_path / "RS.dcm", ct, [(1, name, boxes(ct, range(2, 10), 10, 19, 8, 15))])
    monkeypatch.setenv("COLUMNS", "60")
    assert name in run(monkeypatch, capsys, "inspect", tmp_path, "--out", tmp_path / "seen.png")[1]


def test_a_roi_that_the_scan_cannot_hold_leaves_the_organs_in_the_inspection(tmp_path, monkeypatch, capsys):
    CASES["couch_beyond_scan"][0](tmp_path)
    code, out, _ = run(monkeypatch, capsys, "inspect", tmp_path, "--out", tmp_path / "seen.png")
    assert code == 0
    assert "“Couch” = ? (16 contours), “Bladder” = bladder (8 contours)" in out
    assert "beyond the first or last slice" not in out


@pytest.mark.parametrize("name", ["膀胱", "방광", "กระเพาะ"])
def test_names_in_any_script_are_shown_without_a_warning(tmp_path, monkeypatch, capsys, name):
    """Warnings are errors here; a font without the characters would warn of each."""
    ct = CT(tmp_path)
    rois = [(1, name, boxes(ct, range(2, 10), 10, 19, 8, 15))]
    rtstruct(tmp_path / "RS.dcm", ct, rois, name_charset="ISO_IR 192")
    code, out, err = run(monkeypatch, capsys, "inspect", tmp_path, "--out", tmp_path / "seen.png")
    assert code == 0
    assert f"“{name}” = ? (8 contours)" in out
    assert "Glyph" not in err


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_folders_of_patients_match_however_accents_are_coded(tmp_path, form):
    """macOS names folders in decomposed Unicode; tables and patterns are typed in composed one."""
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    folder = tmp_path / "in" / unicodedata.normalize(form, "Bär_é1") / "CT"
    ct = CT(folder)
    rtstruct(folder / "RS.dcm", ct, [(1, "Bladder", boxes(ct, range(2, 10), 10, 19, 8, 15))])
    table = tmp_path / "table.csv"
    named = unicodedata.normalize(other, "Bär_é1")
    table.write_text(f"folder,patient\n{named},{named}\n", encoding="utf-8")
    for number, patient_id_from in enumerate((str(table), unicodedata.normalize(other, "{patient}_é1"))):
        cohort = ingest(
            tmp_path / "in", tmp_path / f"cohort{number}", structures=("bladder",), patient_id_from=patient_id_from
        ).cohort
        assert [case.patient for case in cohort.cases] == ["patient-001"]
        key = PatientKey.load(tmp_path / f"cohort{number}" / "patients.csv")
        assert key.study_id(named if number == 0 else unicodedata.normalize(form, "Bär")) == "patient-001"


def test_a_patient_keeps_the_study_id_however_accents_are_coded(tmp_path):
    names = [unicodedata.normalize("NFD", "Bär"), unicodedata.normalize("NFC", "Bär"), "Z"]
    key = PatientKey(tmp_path / "patients.csv").with_patients(names)
    assert list(key.study_ids.values()) == ["patient-001", "patient-002"]
    key.save()
    again = PatientKey.load(tmp_path / "patients.csv").with_patients([unicodedata.normalize("NFD", "Bär"), "A"])
    assert again.study_id(unicodedata.normalize("NFD", "Bär")) == "patient-001"
    assert again.study_id("A") == "patient-003"


def test_structures_are_asked_for_however_accents_are_coded(tmp_path, monkeypatch, capsys):
    ct = CT(tmp_path)
    name = unicodedata.normalize("NFD", "Blasé")
    rtstruct(tmp_path / "RS.dcm", ct, [(1, name, boxes(ct, range(2, 10), 10, 19, 8, 15))], name_charset="ISO_IR 192")
    assert unicodedata.is_normalized(
        "NFD", str(pydicom.dcmread(tmp_path / "RS.dcm").StructureSetROISequence[0].ROIName)
    )
    arguments = (
        "--ct",
        tmp_path,
        "--out",
        tmp_path / "o.nii.gz",
        "--structures",
        unicodedata.normalize("NFC", "Blasé"),
    )
    code, out, _ = run(monkeypatch, capsys, "convert", tmp_path / "RS.dcm", *arguments)
    assert (code, out) == (0, f"Wrote {tmp_path / 'o.nii.gz'}\n")
    assert read_label_names(tmp_path / "o.nii.gz") == (unicodedata.normalize("NFC", "Blasé"),)
