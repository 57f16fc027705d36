"""The pinned versions fit every build of PyTorch, also one for CUDA, and the tested versions are complete."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
CUDA_BUILDS = {"2.6.0": "3.2.0", "2.9.0": "3.5.0", "2.13.0": "3.7.1"}
"""The triton that torch's CUDA builds of these versions require."""


def extra() -> SpecifierSet:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (line,) = project["optional-dependencies"]["gpu"]
    return Requirement(line).specifier


def test_triton_is_not_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {re.split(r"[=<>~! ]", line)[0] for line in lines if line and not line.startswith("#")}
    assert pinned == {"torch", "torchvision"}


@pytest.mark.parametrize("torch_version", CUDA_BUILDS)
def test_the_extra_accepts_the_triton_of_a_cuda_build(torch_version: str) -> None:
    assert CUDA_BUILDS[torch_version] in extra()


def test_the_extra_accepts_the_triton_of_the_installed_torch() -> None:
    """A build for CPUs requires none."""
    for line in requires("torch") or ():
        required = Requirement(line)
        if required.name == "triton":
            assert all(clause.version in extra() for clause in required.specifier)


def test_the_tested_versions_are_complete() -> None:
    """Newer libraries may be installed now; none may be missing from the list, and none on it may be unused."""
    result = subprocess.run([sys.executable, "tools/tested_versions.py"], cwd=ROOT, capture_output=True, check=True)
    listed = (ROOT / "constraints-tested.txt").read_text(encoding="utf-8")
    assert names_in(listed) == names_in(result.stdout.decode())
    assert {"aiohttp", "batchgeneratorsv2", "pynetdicom", "torch", "uvicorn"} <= names_in(listed)
    assert not {"gynbtnet", "monai", "nnunetv2", "pytest"} & names_in(listed)


def names_in(text: str) -> set[str]:
    return {line.partition("==")[0] for line in text.splitlines() if not line.startswith("#")}
