"""The wheel and the source package: their contents, and the commands of an installation without the extra ``train``."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.imaging import Geometry, Volume, write_volume
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan

ROOT = Path(__file__).parents[1]
TRAINING = ("lightning_fabric", "batchgeneratorsv2", "tensorboard")
BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING}:
            raise ModuleNotFoundError(name)
        return None
sys.meta_path.insert(0, Absent())
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {TRAINING} else find_spec(name, package)
"""
"""As ``sitecustomize.py``: the libraries of the extra ``train`` are not installed."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel and the source package."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def site(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the installed wheel, without the libraries of the extra ``train``."""
    folder = tmp_path_factory.mktemp("site")
    wheel = next(packages.glob("*.whl"))
    options = ["--no-deps", "--no-index", "--no-compile", "--quiet", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    (folder / "sitecustomize.py").write_text(BLOCK)
    return folder


def run(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command line in a folder that is not the checkout."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "gynbtnet", *map(str, arguments)]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_has_the_whole_package_and_nothing_else(packages: Path) -> None:
    names = set(zipfile.ZipFile(next(packages.glob("*.whl"))).namelist())
    source = ROOT / "src"
    files = {p.relative_to(source).as_posix() for p in (source / "gynbtnet").rglob("*") if p.is_file()}
    files = {name for name in files if "__pycache__" not in name and not name.endswith((".pyc", "~"))}
    assert files <= names
    assert all(name.startswith("gynbtnet/") or ".dist-info/" in name for name in names)


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """A copy of what a build needs, with the review page as the only package and without NiiVue."""
    project = tmp_path / "project"
    for name in ("tools", "licenses"):
        shutil.copytree(ROOT / name, project / name)
    for name in (".gitignore", "pyproject.toml", "README.md", "LICENSE", "package.json"):
        shutil.copyfile(ROOT / name, project / name)
    page = Path("src", "gynbtnet", "review", "page")
    shutil.copytree(ROOT / page, project / page, ignore=shutil.ignore_patterns("npm"))
    return project


def build(project: Path, *targets: str) -> str:
    """Build packages into ``dist`` and return what the build printed."""
    command = [sys.executable, "-m", "hatchling", "build", *(f"--target={target}" for target in targets)]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def npm_files(wheel: Path) -> dict[str, str]:
    """Return the files that npm brought into a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            Path(name).name: archive.read(name).decode()
            for name in archive.namelist()
            if name.startswith("gynbtnet/review/page/npm/")
        }


def test_the_packages_carry_niivue_if_npm_brought_it(small_project: Path) -> None:
    """Also a wheel that is built from the source package, which npm never reached."""
    built = small_project / "node_modules" / "@niivue" / "niivue" / "dist"
    built.mkdir(parents=True)
    (built / "niivue.umd.js").write_text("niivue")
    assert "NiiVue is absent" not in build(small_project, "wheel", "sdist")
    dist = small_project / "dist"
    direct = npm_files(next(dist.glob("*.whl")))
    assert direct == {"niivue.js": "niivue"}
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in Python 3.11.2
        archive.extractall(small_project / "unpacked", **safely)
    (unpacked,) = (small_project / "unpacked").iterdir()
    assert not (unpacked / "node_modules").exists()
    assert "NiiVue is absent" not in build(unpacked, "wheel")
    assert npm_files(next((unpacked / "dist").glob("*.whl"))) == direct


def test_without_niivue_one_sentence_says_so(small_project: Path) -> None:
    printed = build(small_project, "wheel")
    assert "NiiVue is absent" in printed and "`npm ci`" in printed
    assert npm_files(next((small_project / "dist").glob("*.whl"))) == {}


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]["@niivue/niivue"]
    assert packages["node_modules/@niivue/niivue"]["version"] == wanted
    assert all("resolved" not in entry and entry["integrity"] for entry in packages.values())


def test_the_packages_carry_the_licences_of_what_npm_brings(packages: Path) -> None:
    """The text of each package in NiiVue's file, and its SPDX identifier in the metadata."""
    archive = zipfile.ZipFile(next(packages.glob("*.whl")))
    files = {name.partition("/licenses/")[2]: name for name in archive.namelist() if ".dist-info/licenses/" in name}
    assert files.keys() == {"LICENSE", "licenses/niivue.txt"}
    licences = archive.read(files["licenses/niivue.txt"]).decode()
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    brought = {name.removeprefix("node_modules/"): entry for name, entry in lock.items() if name}
    for name, entry in brought.items():
        assert entry.get("optional") or f"\n{name} ({entry['license']})\n" in licences, name
        for text in (ROOT / "node_modules" / name).glob("[lL][iI][cC][eE][nN][sScC][eE]*"):
            assert " ".join(text.read_text().split()) in " ".join(licences.split())
    identifiers = re.findall(r"^-{80}\n.* \((\S+)\)\n\n", licences, re.MULTILINE)
    metadata = email.message_from_bytes(archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))))
    assert metadata["License-Expression"].split(" AND ") == ["Apache-2.0", *sorted(set(identifiers))]


def test_the_wheel_asks_for_training_libraries_only_with_the_extra(packages: Path) -> None:
    archive = zipfile.ZipFile(next(packages.glob("*.whl")))
    metadata = email.message_from_bytes(archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))))
    required = metadata.get_all("Requires-Dist") or []
    base = [line for line in required if "extra ==" not in line]
    assert not any(line.startswith(("lightning", "batchgenerators", "tensorboard")) for line in base)
    extra = [line for line in required if "extra == 'train'" in line]
    assert len(extra) == len(TRAINING)
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    entry_points = archive.read(next(n for n in archive.namelist() if n.endswith("entry_points.txt"))).decode()
    assert "gynbtnet = gynbtnet.cli:main" in entry_points


def test_the_source_package_can_be_built_and_tested(packages: Path) -> None:
    with tarfile.open(next(packages.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt", "constraints-tested.txt"} <= names
    assert {"src/gynbtnet/__init__.py", "tests/test_distribution.py", "docs/index.md"} <= names


def test_the_installed_commands_explain_themselves(site: Path) -> None:
    result = run(site, "--help")
    assert result.returncode == 0 and "predict" in result.stdout, result.stderr
    doctor = run(site, "doctor", site)
    assert "pip install gynbtnet[train]" in doctor.stdout, doctor.stderr


@pytest.mark.parametrize(
    "command", [("pretrain", "scans", "demo"), ("finetune", "prepared", "demo", "--stage", "task"), ("tune", "demo")]
)
def test_a_training_command_names_the_extra_in_one_sentence(site: Path, command: tuple[str, ...]) -> None:
    more = ("--cohort", "export", "--budget", "9") if command[0] == "tune" else ()
    result = run(site, *command, *more, "--out", "out")
    assert result.returncode == 2
    assert "`pip install gynbtnet[train]`" in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_predict_needs_no_training_library(site: Path, tmp_path: Path) -> None:
    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    (tmp_path / "model").mkdir()
    save_plan(Plan(("bladder",), (4.0, 3.0, 3.0), "zscore", None, (16, 32, 32), 2, "XS", strides), tmp_path / "model")
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=2).state_dict(), tmp_path / "model" / "weights_last.safetensors")
    array = np.random.default_rng(0).integers(-1000, 200, (24, 40, 40)).astype(np.int16)
    write_volume(Volume(array, Geometry(array.shape, (4.0, 3.0, 3.0))), tmp_path / "scan.nii.gz")
    result = run(site, "predict", tmp_path / "model", tmp_path / "scan.nii.gz", "--out", tmp_path / "out", "--fast")
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "out").glob("*/labels.nii.gz"))) == 1
    assert "review before use" in result.stdout
