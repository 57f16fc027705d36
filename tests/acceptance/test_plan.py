"""Planning as a user does it: from a cohort, from its fingerprint, for the memory that there is."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry, Volume, write_volume
from gynbtnet.preparation import load_plan

from .conftest import CommandResult

RECIPE = """
name: planned
structures: [bladder]
task: {plan: {preset: XS, normalisation: ct, patch_size: null, batch_size: null, plan_memory_gb: 4}, training: {}}
"""


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Two thick-sliced scans without anything to recognise."""
    folder, geometry = tmp_path / "cohort", Geometry((12, 80, 96), (5.0, 1.0, 1.0))
    cases = []
    for number in range(2):
        hu = np.random.default_rng(number).integers(-100, 200, geometry.shape).astype(np.int16)
        name = f"p{number}_f1"
        images, labels = (folder / "imagesTr" / f"{name}_0000.nii.gz",), folder / "labelsTr" / f"{name}.nii.gz"
        write_volume(Volume(hu, geometry), images[0])
        write_volume(Volume((hu > 100).astype(np.uint8), geometry), labels)
        cases.append(Case(f"p{number}", 1, name, images, labels, Source(synthetic=True), geometry))
    made = Cohort("thick", ("bladder",), tuple(cases), folder)
    made.save()
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return made


def test_a_fingerprint_makes_the_same_plan_without_the_scans(
    gynbtnet: Callable[..., CommandResult], cohort: Cohort, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    first = gynbtnet("plan", cohort.folder, recipe, "--stage", "task", "--out", tmp_path / "first")
    assert first.code == 0, first.err
    assert "Chosen for 4 GB" in " ".join(first.out.split())
    for case in cohort.cases:
        case.image.unlink()
    fingerprint = tmp_path / "first" / "dataset_fingerprint.json"
    again = gynbtnet("plan", fingerprint, recipe, "--stage", "task", "--out", tmp_path / "second")
    assert again.code == 0, again.err
    plan = load_plan(tmp_path / "first")
    assert load_plan(tmp_path / "second") == plan
    assert plan.spacing == (5.0, 1.0, 1.0)
    assert plan.intensities
    assert 100 < plan.intensities[0].percentile_00_5 < plan.intensities[0].percentile_99_5 < 200
    assert json.loads(fingerprint.read_text()) == json.loads((tmp_path / "second" / fingerprint.name).read_text())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "task.plan.plan_memory_gb=0.05"], "plan_memory_gb allows 0.05; choose a smaller preset"),
        (["--set", "task.plan.plan_memory_gb=none"], "plan_memory_gb"),
        (["--split", "split.json"], "leave --split out"),
    ],
)
def test_a_plan_that_can_not_be_made(
    gynbtnet: Callable[..., CommandResult], cohort: Cohort, tmp_path: Path, arguments: list[str], words: str
) -> None:
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    gynbtnet("plan", cohort.folder, recipe, "--stage", "task", "--out", tmp_path / "first")
    fingerprint = tmp_path / "first" / "dataset_fingerprint.json"
    result = gynbtnet("plan", fingerprint, recipe, "--stage", "task", "--out", out, *arguments)
    assert result.code == 2
    assert words in result.err
    assert not out.exists()
