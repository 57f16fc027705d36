"""The commands of the how-to pages, run in the order of the page on a small phantom.

What a page asks its reader to do between two commands is done here too. Commands that wait for a browser or for a
sender are left out, and ``predict --earlier``, which needs the reviews of two fractions: tests/adaptation tests it.
"""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

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


def name_a_structure(folder: Path) -> None:
    with (folder / "aliases.yaml").open("a", encoding="utf-8") as file:
        file.write("gallbladder: [Gallenblase, GBL]\n")


def change_the_recipe(folder: Path) -> None:
    """Another structure, and a training of a few steps instead of a day on a GPU."""
    text = (RECIPE_FOLDER / "smoke.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"(?m)^structures: .*$", "structures: [hr_ctv, bladder, uterus]\naliases: aliases.yaml", text)
    assert changed != text
    (folder / "my_recipe.yaml").write_text(changed, encoding="utf-8")


def contour_once_more(folder: Path) -> None:
    shutil.copytree(folder / "predictions", folder / "SECOND_READER")


def contour_by_two_more(folder: Path) -> None:
    for reader in ("ben", "eva"):
        shutil.copytree(folder / "SECOND_READER", folder / "contours" / reader)


def predict_a_patient(folder: Path) -> None:
    (folder / "RS_from_planning.dcm").symlink_to(folder / "NEW_PATIENT" / "fraction-1" / "RS.dcm")


BETWEEN: dict[tuple[str, str], Callable[[Path], None]] = {
    ("add-a-structure", "ingest"): name_a_structure,
    ("add-a-structure", "run"): change_the_recipe,
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
    "page", ["contour-a-patient", "review", "dose-of-a-patient", "trust", "recipe", "add-a-structure"]
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
