"""Settings of the adaptation of a model to one patient."""

from pydantic import Field

from gynbtnet.runtime.settings import Settings


class AdaptationSettings(Settings):
    """Settings of the adaptation to earlier fractions of the same patient."""

    seconds: float = Field(
        60,
        gt=0,
        le=60,
        description="Longest time of all training steps together. No step begins that would probably end later.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        description="Number of training steps, if they fit into the time; null: as many as fit. Equal steps are "
        "repeatable.",
    )
    levels: int = Field(2, ge=1, description="Finest levels of the decoder that are trained, with the head.")
    least_gain: float = Field(
        0.005,
        ge=-1,
        le=1,
        description="A structure is adapted if its DSC is better by this value on the fraction that was left out; -1: "
        "every structure that was compared.",
    )
    learning_rate: float = Field(1e-3, gt=0, le=1000, description="Learning rate of AdamW.")
    seed: int = Field(0, ge=0, description="Seed of the patches.")
