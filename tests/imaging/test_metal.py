"""One limit of HU for metal in the whole package."""

import re
from pathlib import Path

import numpy as np

import gynbtnet
from gynbtnet.imaging.metal import METAL_HU, is_metal


def test_metal_begins_at_the_limit() -> None:
    assert METAL_HU == 2500
    assert is_metal(np.array([-1000, 1999, 2499, 2500, 3071], np.int16)).tolist() == [False] * 3 + [True] * 2


def test_the_limit_has_one_home() -> None:
    source = Path(gynbtnet.__file__).parent
    naming = [path for path in source.rglob("*.py") if re.search(r"METAL(_HU)? *=|[<>]=? *_?METAL", path.read_text())]
    assert [path.relative_to(source).as_posix() for path in naming] == ["imaging/metal.py"]
