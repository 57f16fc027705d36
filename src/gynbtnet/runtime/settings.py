"""Base class of all settings: named values with descriptions, validated when they are created."""

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
        if isinstance(value, bool):
            annotation = cls.model_fields[str(info.field_name)].annotation
            kinds = {annotation, *get_args(annotation)}
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"{str(value).lower()} is not a number")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _fits_64_bits(cls, value: Any) -> Any:
        """Refuse whole numbers that neither PyTorch nor NumPy can hold."""
        if isinstance(value, int) and abs(value) > MAX_WHOLE_NUMBER:
            raise ValueError("expected a whole number below 2^63")
        return value
