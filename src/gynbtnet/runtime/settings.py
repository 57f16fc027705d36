"""The base of every settings class: a named value with a sentence beside it, checked where it enters."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen; an unknown key is an error; floats may not be NaN. Subclasses stand in the folder that reads them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
