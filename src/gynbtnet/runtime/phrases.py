"""Lists of names and sizes as they appear in messages."""

from collections.abc import Iterable, Sequence
from numbers import Integral


def enumeration(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: ``a``, ``a and b`` or ``a, b and c``; empty without names."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def quoted(names: Iterable[str]) -> str:
    """Return names in quotation marks, separated by commas: ``“a”, “b”``."""
    return ", ".join(f"“{name}”" for name in names)


def by_axis(values: Iterable[float | Integral], digits: int = 4) -> str:
    """Return sizes along several axes, such as ``40×512×512`` or ``2.5×0.976×0.976``.

    Args:
        values: one number per axis; whole numbers are written with all their digits.
        digits: significant digits of the other numbers.
    """
    return "×".join(str(value) if isinstance(value, Integral) else f"{value:.{digits}g}" for value in values)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, such as ``1 case`` or ``2 cases``.

    Args:
        count: the number.
        noun: the noun in the singular.
        plural: the plural; None appends an s.
    """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
