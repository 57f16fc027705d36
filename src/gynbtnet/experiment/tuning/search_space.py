"""Search space of a tuning: the values among which it chooses settings, and the candidates drawn from it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gynbtnet.recipes.loading import read_yaml, with_change
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_DIGITS = 2  # significant digits of a number drawn from a range; more would be noise in a recipe
_ATTEMPTS = 1000  # draws in a row without a new candidate, after which the space counts as used up
_FORM = "expected a list of values, or {low: …, high: …} with 0 < low < high"


@dataclass(frozen=True)
class ValueRange:
    """Numbers between two positive limits, uniform in their logarithm.

    Attributes:
        low: smallest number.
        high: largest number.
    """

    low: float
    high: float

    def at(self, quantile: float) -> float:
        """Return the number at a quantile from 0 to 1, rounded to two significant digits inside the limits."""
        value = self.low * (self.high / self.low) ** quantile
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True)
class ValueList:
    """Values of equal probability.

    Attributes:
        values: the values.
    """

    values: tuple[Any, ...]

    def at(self, quantile: float) -> Any:
        """Return the value at a quantile from 0 up to, but not including, 1."""
        return self.values[int(quantile * len(self.values))]


SearchSpace = Mapping[str, ValueRange | ValueList]
"""Values by the dotted key of the setting in a recipe, e.g. ``task.training.learning_rate``."""


def changed_space(space: SearchSpace, file: Path | None, changes: Sequence[str]) -> SearchSpace:
    """Return a search space with the changes of a file and then of single settings.

    The file has one key, ``search``, with the groups of a recipe below it. Each setting is a list of values or a range
    ``{low: …, high: …}``; null takes the setting out of the search.

    Args:
        space: space to change.
        file: YAML file; None for none.
        changes: ``"search.key.to.setting=value"``, with the value as YAML.

    Raises:
        BadInput: If the file can't be read, has other keys, or a value is neither list, range nor null. Also if null is
            for a setting that isn't searched, or no setting is left.
    """
    source = str(file) if file else "--set"
    values: dict[str, Any] = {"search": {}}
    if file is not None:
        values = read_yaml(file, "search space", "search")
        if set(values) != {"search"}:
            raise BadInput(f"{file} has the keys {', '.join(map(str, values))}; expected the single key search.")
    for change in changes:
        values = with_change(values, change)
    changed = dict(space)
    for key, value in _leaves(values["search"], source):
        if value is None and key not in space:
            raise BadInput(
                f"search.{key} in {source} is null, but the search doesn't include it; expected one of "
                f"{', '.join(space)}, or omit it."
            )
        if value is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    if not changed:
        raise BadInput("The search space has no setting; leave at least one in it.")
    return changed


def draw_candidates(
    space: SearchSpace, number: int, own: Mapping[str, Any], seed: int
) -> tuple[Mapping[str, Any], ...]:
    """Draw candidates; the first has the recipe's own settings.

    The others form a Latin hypercube (McKay MD et al. Technometrics 1979;21:239-245, doi:10.2307/1268522). Each
    setting's values are divided into as many parts of equal probability as there are candidates to draw. Each part is
    used once. A candidate that equals an earlier one is drawn again, from the whole space.

    Args:
        space: the search space.
        number: number of candidates, with the recipe's own settings.
        own: the recipe's own value of each setting in the space.
        seed: random seed.

    Returns:
        Values of all candidates by dotted key.

    Raises:
        BadInput: If the space has fewer different candidates.

    Example:
        >>> space = {"nnunet.batch_size": ValueList((2, 3, 4))}
        >>> candidates = draw_candidates(space, 3, {"nnunet.batch_size": 2}, seed=0)
        >>> sorted(candidate["nnunet.batch_size"] for candidate in candidates)
        [2, 3, 4]
    """
    random = np.random.default_rng(seed)
    others = number - 1
    columns = [(random.permutation(others) + random.random(others)) / max(others, 1) for _ in space]
    drawn = [
        {key: values.at(float(quantile)) for (key, values), quantile in zip(space.items(), row, strict=True)}
        for row in zip(*columns, strict=True)
    ]
    candidates = [{key: own[key] for key in space}]
    for first_draw in drawn:
        candidate, attempts = first_draw, 0
        while _text(candidate) in map(_text, candidates):
            attempts += 1
            if attempts > _ATTEMPTS:
                raise BadInput(
                    f"The search space has only {counted(len(candidates), 'different candidate')}, the recipe's own "
                    f"settings included; set --candidates to at most {len(candidates)}, or add values to the space."
                )
            candidate = {key: values.at(random.random()) for key, values in space.items()}
        candidates.append(candidate)
    return tuple(candidates)


def _text(candidate: Mapping[str, Any]) -> str:
    """Return the same text for candidates with the same values, whether numbers are integers or sequences tuples."""
    return json.dumps({key: float(v) if isinstance(v, int | float) else v for key, v in candidate.items()})


def _leaves(values: Any, source: str, prefix: str = "") -> Iterator[tuple[str, ValueRange | ValueList | None]]:
    """Yield dotted key and values of each setting in the nested groups of a search space."""
    if not isinstance(values, Mapping):
        raise BadInput(f"search in {source} is {values!r}; expected groups of settings, such as task.")
    for key, value in values.items():
        name = f"{prefix}{key}"
        if value is None:
            yield name, None
        elif isinstance(value, list):
            if not value:
                raise BadInput(f"search.{name} in {source} is an empty list; {_FORM}.")
            yield name, ValueList(tuple(_as_number(entry) for entry in value))
        elif isinstance(value, Mapping) and {"low", "high"} & set(value):
            yield name, _range(name, value, source)
        elif isinstance(value, Mapping):
            yield from _leaves(value, source, f"{name}.")
        else:
            raise BadInput(f"search.{name} in {source} is {value!r}; {_FORM}.")


def _range(name: str, value: Mapping[str, Any], source: str) -> ValueRange:
    limits = [_as_number(value.get("low")), _as_number(value.get("high"))]
    numbers = [float(limit) for limit in limits if isinstance(limit, int | float) and not isinstance(limit, bool)]
    if set(value) != {"low", "high"} or len(numbers) != 2 or not 0 < numbers[0] < numbers[1] < math.inf:
        raise BadInput(f"search.{name} in {source} is {dict(value)}; {_FORM}.")
    return ValueRange(*numbers)


def _as_number(value: Any) -> Any:
    """Return a number for a text such as 1e-3, which YAML doesn't read as one; any other value is unchanged."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
