"""Bad input: one clear sentence, exit code 2, and nothing left that a later step would take for whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.imaging import (
    CTSeries,
    Geometry,
    Segmentation,
    StructureNames,
    Volume,
    write_ct_series,
    write_rtstruct,
    write_volume,
)
from gynbtnet.recipes import load_recipe, save_recipe

GRID = Geometry((6, 24, 24), (4.0, 3.0, 3.0), (-36.0, -36.0, 0.0))


def write_ct(folder: Path, seed: int = 1, patient: str = "A") -> CTSeries:
    noise = np.random.default_rng(seed).normal(40, 15, GRID.shape)
    noise[:, :4] = -1000  # air, as in every CT
    return write_ct_series(
        Volume(noise, GRID),
        folder,
        patient_id=patient,
        study_description="SYNTHETIC",
        series_description="SYNTHETIC noise",
        seed=seed,
    )


def write_contours(ct: CTSeries, path: Path, structure: str = "bladder") -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:4, 8:16, 8:16] = 1
    write_rtstruct(
        Segmentation(Volume(labels, ct.volume.geometry), (structure,)),
        ct,
        path,
        names=StructureNames.load(),
        label="TEST",
        description="SYNTHETIC test",
        software_version="0",
        automatic=False,
    )


def refused(result, *words: str) -> None:
    """One sentence on standard error with these words, exit code 2."""
    message = result.err.strip().splitlines()[-1]
    assert result.code == 2, result
    assert "Traceback" not in result.err
    assert message.startswith("gynbtnet: ")
    for word in words:
        assert word.lower() in message.lower(), f"{word!r} is not in {message!r}"


@pytest.fixture
def ingest(gynbtnet, tmp_path: Path):
    """Function that ingests ``tmp_path/export`` and checks that no cohort is left if it is refused."""

    def run(*options: object):
        (tmp_path / "export").mkdir(exist_ok=True)
        out = tmp_path / "cohort"
        result = gynbtnet("ingest", tmp_path / "export", "--out", out, "--structures", "bladder", *options)
        assert not (out / "cohort.json").exists()
        return result

    return run


def test_an_empty_folder(ingest) -> None:
    refused(ingest(), "export")


def test_a_folder_with_no_ct(ingest, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "letter.txt").write_text("no scan")
    refused(ingest(), "export", "CT")


def test_of_two_ct_series_the_wrong_one_asked_for(gynbtnet, tmp_path: Path, untrained_model: Path) -> None:
    write_ct(tmp_path / "scan" / "1", seed=1)
    write_ct(tmp_path / "scan" / "2", seed=2)
    out = tmp_path / "out"
    result = gynbtnet("predict", untrained_model, tmp_path / "scan", "--out", out, "--series", "1.2.3")
    refused(result, "no CT series 1.2.3", "--series")
    assert not (tmp_path / "out" / "scan").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inspect", "export", "--out", "picture.jpg"), ("picture.jpg", ".png")),
        (("inspect", "nothing"), ("no folder", "nothing")),
        (("convert", "export/RS.dcm", "--out", "x.nii.gz"), ("requires the CT", "--ct")),
        (("convert", "export/RS.dcm", "--ct", "export", "--out", "export/RS.dcm"), ("already exists", "--force")),
        (("convert", "export/RS.dcm", "--ct", "export", "--out", "x.nrrd", "--structures", "a,a"), ("a name twice",)),
        (("ingest", "export", "--out", "c", "--structures", "bladder", "--resample-labels"), ("--resample-labels",)),
        (
            ("ingest", "export", "--out", "c", "--structures", "bladder", "--pseudonymise", "c/key.csv"),
            ("would be in the cohort", "outside it"),
        ),
        (
            ("ingest", "export", "--out", "c", "--structures", "bladder", "--pseudonymise", "export/RS.dcm"),
            ("not a key of patients", "study_id"),
        ),
    ],
)
def test_options_that_do_not_fit(
    gynbtnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_contours(write_ct(tmp_path / "export" / "CT"), tmp_path / "export" / "RS.dcm")
    before = sorted(tmp_path.rglob("*"))
    refused(gynbtnet(*arguments), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_slice(ingest, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "export" / "CT")
    write_contours(ct, tmp_path / "export" / "RS.dcm")
    ct.files[3].unlink()
    refused(ingest(), "slice", "mm", "--allow-missing-slices")


def test_a_missing_slice_is_interpolated_where_the_user_says_so(gynbtnet, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "export" / "CT")
    write_contours(ct, tmp_path / "export" / "RS.dcm")
    ct.files[1].unlink()
    mend = ("--structures", "bladder", "--allow-missing-slices")
    result = gynbtnet("ingest", tmp_path / "export", "--out", tmp_path / "cohort", *mend)
    assert result.code == 0, result.err
    assert "patient-001_f1: Interpolated 1 slice(s)" in result.out


def test_contours_of_another_frame_of_reference(ingest, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "export" / "CT")
    write_contours(replace(ct, frame_of_reference_uid="1.2.3.4"), tmp_path / "export" / "RS.dcm")
    refused(ingest(), "frame of reference")


def test_a_structure_name_that_nothing_maps(ingest, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "export" / "CT")
    write_contours(ct, tmp_path / "export" / "RS.dcm", structure="Hohlraum")
    refused(ingest(), "Hohlraum", "alias")


def test_one_patient_only(gynbtnet, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "export" / "CT")
    write_contours(ct, tmp_path / "export" / "RS.dcm")
    cohort = tmp_path / "cohort"
    assert gynbtnet("ingest", tmp_path / "export", "--out", cohort, "--structures", "bladder").code == 0
    refused(gynbtnet("split", cohort, "--out", tmp_path / "split.json"), "patient")
    assert not (tmp_path / "split.json").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("task.training.epohs=3", ["task.training.epohs", "demo.yaml", "epochs"]),
        ("task.training.epochs=many", ["task.training.epochs", "many", "integer"]),
        ("task.plan.patch_size=[30, 48, 48]", ["task.plan", "16"]),
        ("task.plan.preset=XXL", ["task.plan.preset", "XXL", "XS"]),
        ("split.test=[1]", ["split.test"]),
        ("task.training.learning_rate=.nan", ["task.training.learning_rate"]),
        ("aliases=nowhere.yaml", ["aliases", "nowhere.yaml"]),
        ("=3", ["KEY=VALUE"]),
    ],
)
def test_a_recipe_with_a_mistake(gynbtnet, tmp_path: Path, change: str, words: list[str]) -> None:
    result = gynbtnet("run", "demo", "--set", change, "--cohort", tmp_path, "--out", tmp_path / "out")
    refused(result, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inspect", ""), ["An argument is empty", "variable"]),
        (("inspect", ".", "--out", ""), ["The value of --out is empty"]),
        (("inspect", ".", "--out="), ["The value of --out is empty"]),
        (("inspect", ".", "-o", ""), ["The value of -o is empty"]),
        (("--log-file=", "inspect", "."), ["The value of --log-file is empty"]),
    ],
)
def test_an_empty_argument_is_not_the_current_folder(gynbtnet, arguments: tuple[str, ...], words: list[str]) -> None:
    """As from a variable of the shell that isn't set."""
    refused(gynbtnet(*arguments), *words)


def test_names_that_would_be_replaced_are_reported_before_the_search(gynbtnet, tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text("bladder: [BLA]\n")
    result = gynbtnet("inspect", tmp_path, "--out", tmp_path / "a.png", "--write-aliases", tmp_path / "names.yaml")
    refused(result, "names.yaml exists", "confirmed")
    assert result.out == ""
    assert not (tmp_path / "a.png").exists()


def test_no_such_recipe(gynbtnet, tmp_path: Path) -> None:
    refused(gynbtnet("run", "nothing", "--cohort", tmp_path, "--out", tmp_path / "out"), "nothing", "demo")


def test_an_experiment_among_its_scans(gynbtnet, tmp_path: Path) -> None:
    write_ct(tmp_path / "export" / "CT")
    result = gynbtnet(
        *("run", "smoke", "--set", "supervised=null", "--cohort", tmp_path / "export"),
        *("--out", tmp_path / "export" / "experiment"),
    )
    refused(result, "among its scans")
    assert not (tmp_path / "export" / "experiment").exists()


def test_an_experiment_begun_with_another_recipe(gynbtnet, tmp_path: Path) -> None:
    out = tmp_path / "experiment"
    save_recipe(load_recipe("smoke", ["supervised=null"]), out / "recipe.yaml")
    before = (out / "recipe.yaml").read_bytes()
    (tmp_path / "export").mkdir()
    result = gynbtnet("run", "demo", "--set", "supervised=null", "--cohort", tmp_path / "export", "--out", out)
    refused(result, "begun with other settings under name")
    assert (out / "recipe.yaml").read_bytes() == before


def test_scans_for_a_stage_that_is_left_out(gynbtnet, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    result = gynbtnet(
        *("run", "smoke", "--set", "supervised=null", "--cohort", tmp_path / "export"),
        *("--supervised", tmp_path / "export", "--out", tmp_path / "out"),
    )
    refused(result, "--supervised", "doesn't have")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("phantom", "OUT", "--fractions", "²"), ["--fractions"]),
        (("phantom", "OUT", "--fractions", "none"), ["--fractions"]),
        (("split", "NOWHERE", "--out", "OUT"), ["There is no folder"]),
        (("split", "NOWHERE", "--out", "OUT", "--test", "half"), ["--test is half"]),
        (("doctor", "NOWHERE"), ["There is no folder"]),
        (("report", "NOWHERE"), ["experiment"]),
        (("ingest", "NOWHERE", "--out", "OUT", "--structures", "HR-CTV,hr_ctv"), ["twice"]),
        (("ingest", "NOWHERE", "--out", "OUT", "--structures", "bladder,bladder"), ["twice"]),
        (("ingest", "NOWHERE", "--out", "OUT", "--layout", "scans", "--structures", "bladder"), ["--structures"]),
        (("ingest", "NOWHERE", "--out", "OUT", "--layout", "scans", "--aliases", "ALIASES"), ["--aliases"]),
        (("predict", "NOWHERE", "NOWHERE", "--out", "OUT"), ["model"]),
        (("predict", "NOWHERE", "NOWHERE", "--out", "OUT", "--set", "prediction.overlap=2"), ["overlap"]),
        (("evaluate", "NOWHERE", "NOWHERE", "--out", "OUT"), ["There is no folder"]),
        (("prepare", "NOWHERE", "NOWHERE", "--out", "NOWHERE"), ["cohort itself"]),
    ],
)
def test_a_mistake_on_the_command_line(gynbtnet, tmp_path: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    (tmp_path / "aliases.yaml").write_text("hr_ctv: [target]")
    paths = {"OUT": tmp_path / "out", "NOWHERE": tmp_path / "nowhere", "ALIASES": tmp_path / "aliases.yaml"}
    refused(gynbtnet(*(paths.get(word, word) for word in arguments)), *words)
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file(gynbtnet, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    ct = write_ct(tmp_path / "export" / "CT")
    write_contours(ct, tmp_path / "export" / "RS.dcm")
    refused(gynbtnet("ingest", tmp_path / "export", "--out", tmp_path / "out", "--structures", "bladder"), "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_clinics_own_files_are_not_replaced_by_a_prediction(gynbtnet, tmp_path: Path, untrained_model: Path) -> None:
    write_ct(tmp_path / "ct" / "patient")
    own = tmp_path / "out" / "patient-001_f1" / "RS.dcm"
    own.parent.mkdir(parents=True)
    own.write_text("drawn by hand")
    refused(gynbtnet("predict", untrained_model, tmp_path / "ct" / "patient", "--out", tmp_path / "out"), "replaced")
    assert own.read_text() == "drawn by hand"


def test_another_scans_prediction_is_not_replaced(gynbtnet, tmp_path: Path, untrained_model: Path) -> None:
    """Scans of two patients get two folders, two image files of one name the same one."""
    out = tmp_path / "out"
    for seed, patient in ((1, "A"), (2, "B")):
        ct = write_ct(tmp_path / patient / "CT", seed=seed, patient=patient)
        write_volume(ct.volume, tmp_path / patient / "pelvis.nii.gz")
        assert gynbtnet("predict", untrained_model, tmp_path / patient / "CT", "--out", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["patient-001_f1", "patient-002_f1", "patients.csv"]
    first, second = (tmp_path / patient / "pelvis.nii.gz" for patient in "AB")
    assert gynbtnet("predict", untrained_model, first, "--out", out).code == 0
    before = (out / "pelvis" / "prediction.json").read_bytes()
    refused(gynbtnet("predict", untrained_model, second, "--out", out), "another scan")
    assert (out / "pelvis" / "prediction.json").read_bytes() == before
    assert gynbtnet("predict", untrained_model, first, "--out", out).code == 0


def test_a_mended_mistake_goes_on_in_the_same_folder(gynbtnet, tmp_path: Path) -> None:
    ct = write_ct(tmp_path / "export" / "CT")
    write_contours(ct, tmp_path / "export" / "RS.dcm", structure="Hohlraum")
    arguments = ("run", "smoke", "--set", "supervised=null", "--cohort", tmp_path / "export", "--out", tmp_path / "out")
    refused(gynbtnet(*arguments), "Hohlraum")
    result = gynbtnet(*arguments, "--set", "structures=[bladder]")
    assert "begun with other settings" not in result.err
