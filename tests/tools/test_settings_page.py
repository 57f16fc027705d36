"""The page of every setting is current and complete."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from gynbtnet.recipes import Recipe, load_recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def settings_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "tools" / "settings_page.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(settings_page: ModuleType) -> None:
    written = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_page.page() + "\n", "run python tools/settings_page.py"


def leaves(values: object, prefix: str = "") -> set[str]:
    if not isinstance(values, dict):
        return {prefix}
    return {leaf for key, value in values.items() for leaf in leaves(value, f"{prefix}.{key}" if prefix else key)}


@pytest.mark.parametrize("recipe", ["paper", "demo"])
def test_every_setting_of_a_recipe_is_on_the_page(settings_page: ModuleType, recipe: str) -> None:
    named = set(re.findall(r"^\| `([\w.]+)` \|", settings_page.page(), flags=re.MULTILINE))
    given = leaves(load_recipe(recipe).model_dump(mode="json", exclude_none=True))
    assert {name for name in given if name not in named and name.rpartition(".")[0] not in named} == set()


def test_the_recipe_of_the_paper_is_its_three_recipes() -> None:
    paper = load_recipe("paper")
    assert isinstance(paper, Recipe)
    for stage, name in (("pretraining", "pretrain"), ("supervised", "supervised"), ("task", "task")):
        assert getattr(paper, stage) == getattr(load_recipe(name), stage)
    assert (paper.split, paper.structures, paper.prediction) == tuple(
        getattr(load_recipe("task"), part) for part in ("split", "structures", "prediction")
    )
