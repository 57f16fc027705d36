"""Lists of names and sizes in messages."""

import numpy as np
import pytest

from gynbtnet.runtime.phrases import by_axis, counted, enumeration, quoted


@pytest.mark.parametrize(
    ("names", "sentence"), [([], ""), (["a"], "a"), (("a", "b"), "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names_are_listed_as_in_a_sentence(names: list[str], sentence: str) -> None:
    assert enumeration(names) == sentence


def test_names_are_quoted() -> None:
    assert quoted(["HR CTV", "Blase"]) == "“HR CTV”, “Blase”"


def test_sizes_have_all_their_digits_and_lengths_significant_ones() -> None:
    assert by_axis((40, 512, 1234567)) == "40×512×1234567"
    assert by_axis(np.array([40, 512])) == "40×512"
    assert by_axis((2.5, 0.9765625)) == "2.5×0.9766"
    assert by_axis((2.5, 0.9765625), 6) == "2.5×0.976562"


@pytest.mark.parametrize(
    ("count", "nouns", "expected"),
    [
        (0, ("case",), "0 cases"),
        (1, ("case",), "1 case"),
        (2, ("case",), "2 cases"),
        (1, ("patch", "patches"), "1 patch"),
        (2, ("patch", "patches"), "2 patches"),
    ],
)
def test_a_noun_agrees_with_its_number(count: int, nouns: tuple[str, ...], expected: str) -> None:
    assert counted(count, *nouns) == expected
