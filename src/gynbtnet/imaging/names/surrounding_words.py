"""Words around the name of a structure that don't change what was contoured.

They state the scan, the fraction, the plan, the version, the reader or the file: “HR-CTV MRI”, “Bladder Fx 2”,
“Rectum_final”. Any other word may mean a wall, a margin, a part or a helper of the planning system. A name with such
a word is left alone.
"""

from pathlib import Path

from gynbtnet.runtime.plain_data import load_yaml

_WORDS = {
    kind: tuple(text.split()) for kind, text in load_yaml(Path(__file__).with_name("surrounding_words.yaml")).items()
}
_ANYWHERE = ("modality", "brachytherapy", "fraction", "plan", "state", "whole", "reader", "file")

ANYWHERE = frozenset(word for kind in _ANYWHERE for word in _WORDS[kind])
"""Words before or after the name of a structure."""

FIRST = frozenset(_WORDS["first"])
"""Prefixes that only sort a list of structures."""

BEFORE_A_NUMBER = frozenset(_WORDS["before_a_number"])
"""Abbreviations that are read only if a number follows."""

AFTER_A_NUMBER = frozenset(_WORDS["after_a_number"])
"""Endings of ordinal numbers."""

MONTHS = frozenset(_WORDS["months"])
"""Months, read only next to a number."""

READERS = frozenset(_WORDS["readers"])
"""Words that a single letter may follow."""

NOT_INITIALS = frozenset(word.upper() for word in _WORDS["not_initials"])
"""Pairs of capital letters that may not be the initials of a reader."""

GLUED_FIRST = _WORDS["glued_first"]
"""Beginnings that are read within a word."""

GLUED_LAST = _WORDS["glued_last"]
"""Endings that are read within a word."""

HELPERS = frozenset(_WORDS["helpers"])
"""Words of helpers, parts and margins, for which no structure is proposed."""

LEFT = frozenset(_WORDS["left"])
"""Words for left."""

RIGHT = frozenset(_WORDS["right"])
"""Words for right."""
