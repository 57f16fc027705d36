"""Base class of all settings: named values with descriptions, validated when they are created."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

MAX_WHOLE_NUMBER = 2**63 - 1


class Settings(BaseModel):
    """Frozen settings.

    An unknown key is an error. Floats must not be NaN, whole numbers fit 64 bits, and true and false aren't numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``yes``, ``no``, ``on`` and ``off``, which YAML reads as true and false, as numbers."""
        kinds = list(_types(cls.model_fields[str(info.field_name)].annotation))
        if (int in kinds or float in kinds) and bool not in kinds and (truth := _truth_in(value)):
            raise ValueError(f"{truth} is not a number")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _fits_64_bits(cls, value: Any) -> Any:
        """Refuse whole numbers that neither PyTorch nor NumPy can hold."""
        if any(isinstance(single, int) and abs(single) > MAX_WHOLE_NUMBER for single in _single_values(value)):
            raise ValueError("expected a whole number below 2^63")
        return value


def _types(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of: itself, and those in its brackets."""
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)


def _truth_in(value: Any) -> str:
    """Return the first truth value in a value and the key that leads to it, or nothing if there is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return next((f"{truth} for {key}" for key, part in value.items() if (truth := _truth_in(part))), "")
    return next(filter(None, map(_truth_in, value)), "") if isinstance(value, (list, tuple)) else ""


def _single_values(value: Any) -> Iterator[Any]:
    """Yield a value, or those that a list, tuple or mapping holds at any depth."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _single_values(part)
    else:
        yield value
