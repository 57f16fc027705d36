"""Counts of patients and scans as a card states them: none below five, from which single patients could be inferred."""

from collections.abc import Mapping

from gynbtnet.runtime.phrases import counted

FEWEST = 5
"""Smallest count that is stated."""
FEW = f"fewer than {FEWEST}"


def stated_count(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, such as ``12 patients``, or ``fewer than 5 patients``."""
    return f"{FEW} {plural or f'{noun}s'}" if count < FEWEST else counted(count, noun, plural)


def stated_number(count: int) -> str:
    """Return a number for a table, or ``fewer than 5``."""
    return FEW if count < FEWEST else str(count)


def stated_groups(sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the sizes of groups whose total may be known.

    A single withheld size could be computed from the total. Further groups, from the smallest, are therefore withheld
    as well, until the withheld groups have at least five members together.

    Args:
        sizes: number of patients or scans by group.

    Returns:
        The size of each group in words, from the largest group to the smallest.
    """
    ordered = sorted(sizes.items(), key=lambda item: (item[1], item[0]))
    together, words = 0, {}
    for name, size in ordered:
        if size < FEWEST:
            together, words[name] = together + size, FEW
        elif 0 < together < FEWEST:
            together, words[name] = together + size, "not stated"
        else:
            words[name] = str(size)
    return {name: words[name] for name, _ in reversed(ordered)}
