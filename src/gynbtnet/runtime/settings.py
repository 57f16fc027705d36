"""Base class of all settings: named values with descriptions, validated when they are created."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Settings(BaseModel):
    """Frozen settings. An unknown key is an error, floats must not be NaN, and true and false aren't numbers."""

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
