"""Targets of radiotherapy, recognised by name, and their nesting.

GEC-ESTRO nests them: residual GTV ⊂ HR-CTV ⊂ IR-CTV (Haie-Meder et al. 2005, doi 10.1016/j.radonc.2004.12.015; ICRU
report 89). A name belongs to a target if GTV, CTV, ITV or PTV occurs anywhere in it, also inside a word as in “HRCTV”,
“PTVboost” or “patientctv1”. It doesn't if an organ or a word such as “minus” comes before: neither “rectum minus PTV”
nor “bladderPTV” is a target.
"""

import re

TARGET_TYPES = ("GTV", "CTV", "PTV")
"""RT ROI Interpreted Types of targets in DICOM."""

_KINDS = {"gtv": "GTV", "ctv": "CTV", "itv": "CTV", "ptv": "PTV"}
_HIGH, _MIDDLE, _LOW = "hr|high(?:risk)?", "ir|int|inter|intermediate(?:risk)?", "lr|low(?:risk)?"
_RESIDUAL = "res|resid|residual|bt|brachy"
_NO_TARGET_AFTER = re.compile(
    r"minus|without|wo|sub|less|excl\w*|except|out|outside|not|no|non|ring|wall|overlap|bladder|rect\w*|sigm\w*|bowel|"
    r"colon|intestin\w*|kidneys?|liver|femur|femoral|cord|marrow"
)
_TARGET = re.compile("(gtv|ctv|itv|ptv)")
_CAMEL_CASE = re.compile("(?<=[a-z])(?=[A-Z])")


def target_type(name: str) -> str | None:
    """Return DICOM's interpreted type of a target, by its name; None if it is not a target. An ITV counts as a CTV."""
    kind = _kind(name)
    return _KINDS[kind] if kind else None


def target_depth(name: str) -> int | None:
    """Return the depth of a target in the nesting: 0 for a PTV, higher for inner targets; None for other names."""
    kind = _kind(name)
    if kind == "gtv":
        return 8 if _has_word(name, _RESIDUAL) else 7
    if kind == "ctv":
        levels = ((_HIGH, 6), (_MIDDLE, 5), (_LOW, 4), ("e|elective", 2))
        return next((depth for words, depth in levels if _has_word(name, words)), 3)
    return {"itv": 1, "ptv": 0}.get(kind or "")


def _words(name: str) -> list[str]:
    return re.findall("[a-z]+", _CAMEL_CASE.sub(" ", name).casefold())


def _kind(name: str) -> str | None:
    """Return “gtv”, “ctv”, “itv” or “ptv”; None if the name does not belong to a target."""
    for word in _words(name):
        if target := _TARGET.search(word):
            return None if _NO_TARGET_AFTER.fullmatch(word[: target.start()]) else target[1]
        if _NO_TARGET_AFTER.fullmatch(word):
            return None
    return None


def _has_word(name: str, words: str) -> bool:
    """Return True if the name has one of ``words``, alone or joined to the target as in “HRCTV” or “CTV-THR1”."""
    pattern = re.compile(rf"(?:[gcip]tv)?[tnp]?(?:{words})[tnp]?(?:[gcip]tv[tnp]?)?")
    return any(pattern.fullmatch(word) for word in _words(name))
