"""``gynbtnet recipes``: list, show and copy."""

from pathlib import Path

import pytest

from gynbtnet.recipes import load_recipe, shipped_recipes


def test_the_list_names_every_recipe_and_its_stages(gynbtnet) -> None:
    result = gynbtnet("recipes", "list")
    assert result.code == 0
    rows = {line.split()[0]: line for line in result.out.splitlines()[1:]}
    assert set(rows) == set(shipped_recipes())
    assert "pretraining, supervised, task" in rows["paper"]


def test_a_copy_is_the_recipe_with_its_comments(gynbtnet, tmp_path: Path) -> None:
    copy = tmp_path / "mine.yaml"
    assert gynbtnet("recipes", "copy", "paper", "--out", copy).code == 0
    assert load_recipe(copy) == load_recipe("paper")
    assert copy.read_text(encoding="utf-8").rstrip() == gynbtnet("recipes", "show", "paper").out.rstrip()
    again = gynbtnet("recipes", "copy", "paper", "--out", copy)
    assert again.code == 2 and "--force" in again.err
    assert gynbtnet("recipes", "copy", "paper", "--out", copy, "--force").code == 0


@pytest.mark.parametrize(("arguments", "words"), [(("show", "papr"), "papr is not"), (("copy",), "No recipe")])
def test_an_unknown_recipe_lists_the_known_ones(gynbtnet, arguments: tuple[str, ...], words: str) -> None:
    result = gynbtnet("recipes", *arguments)
    assert result.code == 2 and words in result.err and "paper" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "smoke", "--out", "mine.yaml"), "omit them"),
        (("list", "--force"), "omit them"),
        (("list", "smoke"), "recipes show smoke"),
    ],
)
def test_what_an_action_would_ignore_is_refused(gynbtnet, arguments: tuple[str, ...], words: str) -> None:
    result = gynbtnet("recipes", *arguments)
    assert result.code == 2 and words in result.err
