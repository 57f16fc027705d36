"""Nested structures."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.nesting import Nesting
from gynbtnet.imaging.structure_masks import StructureMasks

NAMES = ("bladder", "ir_ctv", "gtv_res", "hr_ctv", "node")
NESTING = Nesting.parse(["gtv_res < hr_ctv < ir_ctv", "node < ir_ctv"])
GRID = Geometry((3, 4, 5))


def keeps_the_nesting(chosen: tuple[bool, ...]) -> bool:
    by_name = dict(zip(NAMES, chosen, strict=True))
    return all(by_name[outer] or not by_name[inner] for inner, outer in NESTING.pairs)


@settings(max_examples=200, deadline=None)
@given(logits=st.lists(st.floats(-5, 5), min_size=5, max_size=5))
def test_the_choice_is_the_most_likely_one_that_keeps_the_nesting(logits: list[float]) -> None:
    values = torch.tensor(logits, dtype=torch.double)
    chosen = tuple(NESTING.most_likely(values[:, None], NAMES)[:, 0].tolist())
    allowed = [choice for choice in product((False, True), repeat=5) if keeps_the_nesting(choice)]
    best = max(sum(logit for logit, on in zip(logits, choice, strict=True) if on) for choice in allowed)
    assert keeps_the_nesting(chosen)
    assert sum(logit for logit, on in zip(logits, chosen, strict=True) if on) == pytest.approx(best)


def test_without_relations_the_threshold_is_a_probability_of_one_half() -> None:
    assert Nesting().most_likely(torch.tensor([[-0.1], [0.1]]), "ab").tolist() == [[False], [True]]


def test_masks_are_restricted_from_the_outside_in() -> None:
    random = np.random.default_rng(0)
    masks = StructureMasks.of({name: random.random(GRID.shape) < 0.6 for name in NAMES}, GRID)
    restricted = NESTING.restrict(masks)
    assert NESTING.broken_voxels(masks) > 0
    assert NESTING.broken_voxels(restricted) == 0
    hr_ctv = masks.mask("hr_ctv") & masks.mask("ir_ctv")
    np.testing.assert_array_equal(restricted.mask("hr_ctv"), hr_ctv)
    np.testing.assert_array_equal(restricted.mask("gtv_res"), masks.mask("gtv_res") & hr_ctv)
    np.testing.assert_array_equal(restricted.mask("bladder"), masks.mask("bladder"))


@pytest.mark.parametrize(
    ("relations", "problem"),
    [
        (["hr_ctv"], "not a relation"),
        (["a < < b"], "not a relation"),
        (["a < b", "a < c"], "two structures"),
        (["a < b < a"], "circle"),
    ],
)
def test_impossible_relations_are_refused(relations: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Nesting.parse(relations)
