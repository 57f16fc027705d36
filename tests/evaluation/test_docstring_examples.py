"""Examples in docstrings give the results that they show."""

import doctest
from types import ModuleType

import pytest

from gynbtnet.evaluation.dose import eqd2
from gynbtnet.evaluation.metrics import metrics


@pytest.mark.parametrize("module", [eqd2, metrics])
def test_examples_of_docstrings(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
