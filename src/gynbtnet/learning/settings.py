"""Settings of learning from corrections."""

from pydantic import Field

from gynbtnet.runtime.settings import Settings


class LearningSettings(Settings):
    """Settings of the rounds in which a model learns from reviews."""

    untouched: bool = Field(
        False,
        description="Train also on structures that were accepted unchanged. They are the model's own output, which "
        "would confirm itself. It can't be changed after the first round.",
    )
    length: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Length of a round, as a share of the epochs or budget of the first model's training.",
    )
    learning_rate: float = Field(
        0.3, gt=0, le=1000, description="Highest learning rate, as a factor of that of the first model's training."
    )
    warm_up_share: float = Field(0.1, ge=0, lt=1, description="Share of a round with a linear warm-up.")
    validation: float = Field(
        0.1, ge=0, lt=1, description="Probability that a new patient is assigned to validation instead of training."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence level of the intervals on the frozen test.")
    n_resamples: int = Field(100_000, ge=100, description="Bootstrap resamples of the frozen test patients.")
    seed: int = Field(0, ge=0, description="Seed of assignments, random choices and resamples.")
