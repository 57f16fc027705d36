"""The search space of a tuning: its changes, its candidates, and the default space of every network."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.experiment.tuning.default_search import default_space, with_companions
from gynbtnet.experiment.tuning.search_space import SearchSpace, ValueList, ValueRange, changed_space, draw_candidates
from gynbtnet.recipes import Recipe, load_recipe, load_variant, with_settings
from gynbtnet.runtime import BadInput

RATE, BATCH = "task.training.learning_rate", "task.plan.batch_size"
SPACE: SearchSpace = {RATE: ValueRange(1e-3, 1e-1), BATCH: ValueList((2, 4))}


@given(st.floats(1e-6, 1e3), st.floats(1.001, 1e4), st.floats(0, 1, exclude_max=True))
def test_a_range_is_uniform_in_the_logarithm(low: float, factor: float, quantile: float) -> None:
    values = ValueRange(low, low * factor)
    value = values.at(quantile)
    assert low <= value <= low * factor
    exact = np.exp(np.log(low) + quantile * np.log(factor))
    assert abs(value / exact - 1) <= 0.05 + 1e-9  # two significant digits


@given(st.lists(st.integers(), min_size=1, max_size=9, unique=True))
def test_values_of_a_list_are_equally_probable(values: list[int]) -> None:
    quantiles = (np.arange(1000) + 0.5) / 1000
    counts = [sum(ValueList(tuple(values)).at(quantile) == value for quantile in quantiles) for value in values]
    assert max(counts) - min(counts) <= 2 and sum(counts) == 1000


@settings(max_examples=25)
@given(st.integers(2, 30), st.integers(0, 5))
def test_candidates_are_different_and_cover_every_part_of_a_range(number: int, seed: int) -> None:
    own = {RATE: 5e-5, BATCH: 2}
    candidates = draw_candidates(SPACE, number, own, seed)
    assert len(candidates) == number and candidates[0] == own
    assert len({tuple(candidate.items()) for candidate in candidates}) == number
    assert candidates == draw_candidates(SPACE, number, own, seed)
    if number <= 8:  # none of them is drawn a second time because two digits are equal
        parts = np.log(np.array([candidate[RATE] for candidate in candidates[1:]]) / 1e-3) / np.log(100)
        edges = np.sort(parts) * (number - 1)
        assert all(part - 0.3 <= edge <= part + 1.3 for part, edge in enumerate(edges))
        batches = [candidate[BATCH] for candidate in candidates[1:]]
        assert abs(batches.count(2) - batches.count(4)) <= 1


def test_another_seed_draws_others() -> None:
    own = {RATE: 5e-5, BATCH: 2}
    assert draw_candidates(SPACE, 9, own, 0)[1:] != draw_candidates(SPACE, 9, own, 1)[1:]


def test_a_space_with_too_few_candidates() -> None:
    space: SearchSpace = {BATCH: ValueList((2, 4, 8))}
    assert sorted(c[BATCH] for c in draw_candidates(space, 3, {BATCH: 2}, 0)) == [2, 4, 8]
    with pytest.raises(BadInput, match=r"only 3 different candidates.*--candidates to at most 3"):
        draw_candidates(space, 4, {BATCH: 2.0}, 0)


def test_changes_of_a_space(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("search: {task: {training: {learning_rate: {low: 1e-4, high: 0.01}, weight_decay: [0, 1e-2]}}}")
    changes = ["search.task.plan.batch_size=null", "search.task.training.weight_decay=[1e-3, 0.5]"]
    assert changed_space(SPACE, file, changes) == {
        RATE: ValueRange(1e-4, 0.01),
        "task.training.weight_decay": ValueList((1e-3, 0.5)),
    }
    assert changed_space(SPACE, None, []) == SPACE


def test_no_search_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no search space .*nope\.yaml; expected a YAML file\.$"):
        changed_space(SPACE, tmp_path / "nope.yaml", [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "search: {task: {",
            "The search space .*space.yaml can't be used: .*; expected a YAML file with the key search",
        ),
        ("[1]", "holds no settings; expected keys such as search"),
        ("search: {task: {plan: {batch_size: []}}}", "search.task.plan.batch_size in .* is an empty list"),
        ("search: {task: {plan: {batch_size: 4}}}", "search.task.plan.batch_size in .* is 4; expected a list"),
        ("search: {task: {training: {learning_rate: {low: 1}}}}", "expected a list of values, or {low: …, high: …}"),
        ("search: {task: {training: {learning_rate: {low: 2, high: 1}}}}", "0 < low < high"),
        ("search: {task: {training: {learning_rate: {low: true, high: 2}}}}", "0 < low < high"),
        (
            "search: {task: {training: {lerning_rate: null}}}",
            "lerning_rate in .* is null, but the search",
        ),
        ("search: {task: null}", "search.task in .* is null, but the search doesn't include it"),
        ("search: 3", "search in .* is 3; expected groups"),
        ("task: {}", "has the keys task; expected the single key search"),
        ("search: {task: {training: {learning_rate: null}, plan: {batch_size: null}}}", "no setting"),
    ],
)
def test_a_wrong_search_file(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(BadInput, match=words):
        changed_space(SPACE, tmp_path / "space.yaml", [])


def variants() -> list[tuple[Recipe, str]]:
    base = load_recipe("demo")
    return [
        (base, "task"),
        (base, "supervised"),
        (load_recipe("small/gpu"), "task"),
        (load_variant("swin-unetr", base, ["task.plan.preset=F12"]), "task"),
        (load_variant("nnunet", base), "nnunet"),
    ]


@pytest.mark.parametrize(("recipe", "stage"), variants(), ids=lambda value: getattr(value, "name", value))
def test_every_value_of_a_default_space_makes_a_valid_recipe(recipe: Recipe, stage: str) -> None:
    space = default_space(recipe, stage)
    assert len(space) >= 6
    for key, values in space.items():
        choices = values.values if isinstance(values, ValueList) else [values.at(0), values.at(1)]
        for value in choices:
            changed = with_settings(recipe, with_companions(recipe, {key: value}), "the search")
            setting = changed.model_dump(mode="json")
            for name in key.split("."):
                setting = setting[name]
            assert setting == value


def test_patches_keep_the_proportions_and_can_be_divided() -> None:
    patches = default_space(load_recipe("demo"), "task")["task.plan.patch_size"]
    assert patches == ValueList(([16, 32, 32], [32, 48, 48], [48, 64, 64]))


def test_axes_that_prediction_mirrors_stay_in_the_search() -> None:
    changes = ["prediction.mirroring=true", "prediction.mirrored_axes=[x]"]
    space = default_space(load_recipe("demo", changes), "task")
    assert space["task.training.mirror_axes"] == ValueList((["x"], ["z", "y", "x"]))
