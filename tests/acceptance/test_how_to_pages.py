"""The commands of the how-to pages, run in the order of the page on a small phantom.

What a page asks its reader to do between two commands is done here too. Commands that wait for a browser or for a
sender are left out, and ``predict --earlier``, which needs the reviews of two fractions: tests/adaptation tests it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
import torch
from pydicom.uid import generate_uid
from safetensors.torch import save_file

from gynbtnet.datasets import ingest
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.recipes import RECIPE_FOLDER

pytestmark = pytest.mark.slow

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
EARLIER = " --earlier "
WAITING = re.compile(r"review (?!.*--edited)|node (?!--init)")
STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
PHANTOM = "phantom phantom --kind brachytherapy --patients 5 --fractions 1 --spacing 6 5 5 --matrix 32 64 80"


def commands_of(page: Path) -> list[str]:
    """Return the commands in the fenced blocks of a page, without ``gynbtnet`` and comments."""
    blocks = re.findall(r"(?ms)^ *```(\w*)\n(.*?)^ *```$", page.read_text(encoding="utf-8"))
    lines = re.sub(r"\\\n\s*", "", "\n".join(block for language, block in blocks if not language)).splitlines()
    commands = (line.strip().partition("   #")[0] for line in lines)
    return [command.removeprefix("gynbtnet ") for command in commands if command.startswith("gynbtnet ")]


def contour_a_gallbladder(folder: Path) -> None:
    """Name the rectum of each patient as another structure, as the phantom has none that the package doesn't know."""
    export = folder / "EXPORT"
    phantom = export.resolve()
    export.unlink()
    shutil.copytree(phantom, export)
    for path in export.rglob("RS.dcm"):
        rtstruct = pydicom.dcmread(path)
        for roi in rtstruct.StructureSetROISequence:
            if roi.ROIName in ("Rectum", "RECT"):
                roi.ROIName = "Gallenblase"
        rtstruct.save_as(path)


def name_a_structure(folder: Path) -> None:
    with (folder / "aliases.yaml").open("a", encoding="utf-8") as file:
        file.write("gallbladder: [Gallenblase, GBL]\n")


def change_the_recipe(folder: Path) -> None:
    write_short_recipe(folder, "structures: [hr_ctv, bladder, gallbladder]\naliases: aliases.yaml")


def name_the_structures(folder: Path) -> None:
    write_short_recipe(folder, "structures: [bladder, hr_ctv]")


def write_short_recipe(folder: Path, structures: str) -> None:
    """Replace the reader's recipe by a training of a few steps instead of a day on a GPU."""
    text = (RECIPE_FOLDER / "smoke.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^structures: .*$", structures, text)
    assert changed != text
    (folder / "my_recipe.yaml").write_text(changed, encoding="utf-8")


def contour_once_more(folder: Path, reader: str = "SECOND_READER") -> None:
    """RTSTRUCTs of another reader, who agrees with the clinic's."""
    for path in (folder / "EXPORT").glob("*/fraction-1/RS.dcm"):
        rtstruct = pydicom.dcmread(path)
        rtstruct.SOPInstanceUID = rtstruct.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        target = folder / reader / path.parent.parent.name / path.name
        target.parent.mkdir(parents=True)
        rtstruct.save_as(target)


def contour_by_two_more(folder: Path) -> None:
    for reader in ("ben", "eva"):
        contour_once_more(folder, f"contours/{reader}")


def predict_a_patient(folder: Path) -> None:
    (folder / "RS_from_planning.dcm").symlink_to(folder / "NEW_PATIENT" / "fraction-1" / "RS.dcm")


def make_a_dataset_of_nnunet(folder: Path) -> None:
    """Raw and preprocessed as nnU-Net has them, its own file of folds, and what its prediction would have written."""
    pytest.importorskip("nnunetv2", reason="the page needs the extra gynbtnet[nnunet]")
    cohort = ingest(folder / "EXPORT", folder / "ingested", structures=STRUCTURES).cohort
    raw, preprocessed = (folder / f"nnUNet_{kind}" / "Dataset500_Pelvis" for kind in ("raw", "preprocessed"))
    for name in ("imagesTr", "labelsTr"):
        shutil.copytree(cohort.folder / name, raw / name)
    description = json.loads((cohort.folder / "dataset.json").read_text())
    description["labels"]["urinary_bladder"] = description["labels"].pop("bladder")
    (raw / "dataset.json").write_text(json.dumps(description))
    shutil.copytree(raw / "labelsTr", folder / "FOLDER_OF_NNUNET")
    shutil.copy(raw / "dataset.json", folder / "FOLDER_OF_NNUNET")
    program = str(Path(sys.executable).with_name("nnUNetv2_plan_and_preprocess"))
    folders = {f"nnUNet_{kind}": str(folder / f"nnUNet_{kind}") for kind in ("raw", "preprocessed", "results")}
    command = [program, "-d", "500", "-c", "3d_fullres", "-np", "1", "-npfp", "1"]
    subprocess.run(command, check=True, env=os.environ | folders, capture_output=True)
    cases = [case.id for case in cohort.cases]
    write_folds(cases, preprocessed / "splits_final.json")
    write_folds(cases[1:], folder / "splits_final.json")


def write_folds(cases: list[str], path: Path) -> None:
    """Write folds as nnU-Net does: each case validates in one of them and trains in the others."""
    folds = [{"train": [other for other in cases if other not in held], "val": held} for held in (cases[:2], cases[2:])]
    path.write_text(json.dumps(folds))


BETWEEN: dict[tuple[str, str], Callable[[Path], None]] = {
    ("add-a-structure", "inspect"): contour_a_gallbladder,
    ("add-a-structure", "ingest"): name_a_structure,
    ("add-a-structure", "run"): change_the_recipe,
    ("nnunet-dataset", "recipes copy"): make_a_dataset_of_nnunet,
    ("nnunet-dataset", "run"): name_the_structures,
    ("trust", "evaluate SECOND_READER"): contour_once_more,
    ("trust", "evaluate predictions cohort --reader"): contour_by_two_more,
    ("review", "review"): predict_a_patient,
}
"""Steps of the reader before a command, by page and beginning of the command."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a model of five structures that is not trained; the phantom joins it."""
    folder = tmp_path_factory.mktemp("how-to")
    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    save_plan(Plan(STRUCTURES, (6.0, 5.0, 5.0), "zscore", None, (16, 32, 32), 2, "XS", strides), folder / "MODEL")
    torch.manual_seed(0)
    outputs = len(STRUCTURES) + 1
    save_file(GynBTNet("XS", outputs=outputs).state_dict(), folder / "MODEL" / "weights_last.safetensors")
    return folder


@pytest.fixture
def here(shared: Path, tmp_path: Path, gynbtnet, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder in which the names of the pages exist."""
    monkeypatch.chdir(shared)
    if not (shared / "phantom").exists():
        assert gynbtnet(*shlex.split(PHANTOM)).code == 0
    export = shared / "phantom" / "brachytherapy"
    places = {"EXPORT": export, "PATIENT": export / "PHANTOM-001", "NEW_PATIENT": export / "PHANTOM-001"}
    for name, target in (places | {"MODEL": shared / "MODEL"}).items():
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "page",
    ["contour-a-patient", "review", "dose-of-a-patient", "trust", "recipe", "add-a-structure", "nnunet-dataset"],
)
def test_the_commands_of_a_page_work_in_order(page: str, gynbtnet, here: Path) -> None:
    commands = commands_of(PAGES / f"{page}.md")
    assert commands
    if page == "review":
        assert gynbtnet(*shlex.split("predict MODEL NEW_PATIENT --out contours")).code == 0
    for command in commands:
        if EARLIER in command:
            continue
        for (of_page, start), act in BETWEEN.items():
            if of_page == page and command.startswith(start) and not WAITING.match(command):
                act(here)
        if WAITING.match(command):
            continue
        result = gynbtnet(*shlex.split(command))
        assert result.code == 0, f"{command}: {result.err}"
        assert "Traceback" not in result.err


def test_the_pages_have_the_commands_that_wait() -> None:
    waiting = {command for page in PAGES.glob("*.md") for command in commands_of(page) if WAITING.match(command)}
    assert {"review contours/patient-001_f1", "node node.yaml", "review --node node.yaml"} <= waiting
