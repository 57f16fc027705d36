"""Base class of all settings: named values with descriptions, validated when they are created."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen settings. An unknown key is an error, and floats must not be NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
