"""Targets of radiotherapy by their names, and which of them contains which.

GEC-ESTRO nests them: residual GTV ⊂ HR-CTV ⊂ IR-CTV (Haie-Meder et al. 2005, doi 10.1016/j.radonc.2004.12.015; ICRU
report 89). A name counts as a target's if it begins with GTV, CTV, ITV or PTV, after words such as “high risk” or
“residual”. “rectum minus PTV” is none.
"""

import re

TARGET_TYPES = ("GTV", "CTV", "PTV")
"""DICOM's RT ROI Interpreted Types of targets."""

_KINDS = {"gtv": "GTV", "ctv": "CTV", "itv": "CTV", "ptv": "PTV"}
_HIGH, _MIDDLE, _LOW = "hr|high(?:risk)?", "ir|int|inter|intermediate(?:risk)?", "lr|low(?:risk)?"
_RESIDUAL = "res|resid|residual|bt|brachy"
_QUALIFIERS = re.compile(
    rf"[a-z]|{_HIGH}|{_MIDDLE}|{_LOW}|{_RESIDUAL}|risk|init|initial|boost|adaptive|primary|nodal|elective|final|mr|mri|ct|"
    r"pet|us|opt|prv|new|old"
)
_TARGET = re.compile(rf"(?:{_HIGH}|{_MIDDLE}|{_LOW}|{_RESIDUAL})?[tnp]?(gtv|ctv|itv|ptv)[a-z]*")


def target_type(name: str) -> str | None:
    """DICOM's interpreted type of a target by its name, None if it is none; an ITV counts as a CTV."""
    kind = _kind(name)
    return _KINDS[kind] if kind else None


def target_depth(name: str) -> int | None:
    """How far inside a target lies: 0 for a PTV, higher for those that it contains; None if the name is no target's."""
    kind = _kind(name)
    if kind == "gtv":
        return 8 if _says(name, _RESIDUAL) else 7
    if kind == "ctv":
        levels = ((_HIGH, 6), (_MIDDLE, 5), (_LOW, 4), ("e|elective", 2))
        return next((depth for words, depth in levels if _says(name, words)), 3)
    return {"itv": 1, "ptv": 0}.get(kind or "")


def _words(name: str) -> list[str]:
    return re.findall("[a-z]+", name.casefold())


def _kind(name: str) -> str | None:
    """“gtv”, “ctv”, “itv” or “ptv”."""
    for word in _words(name):
        if found := _TARGET.fullmatch(word):
            return found[1]
        if not _QUALIFIERS.fullmatch(word):
            return None
    return None


def _says(name: str, words: str) -> bool:
    """Whether a word of the name is one of ``words``, by itself or joined to the target as in “HRCTV” or “CTV-THR1”."""
    pattern = re.compile(rf"(?:[gcip]tv)?[tnp]?(?:{words})[tnp]?(?:[gcip]tv[tnp]?)?")
    return any(pattern.fullmatch(word) for word in _words(name))
