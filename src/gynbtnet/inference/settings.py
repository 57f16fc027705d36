"""How a trained model is run over a scan."""

from typing import Literal

from pydantic import Field

from gynbtnet.settings import Settings


class PredictionSettings(Settings):
    """The sliding window and what is averaged."""

    overlap: float = Field(0.5, ge=0, lt=1, description="Share of a window that the next one covers again.")
    mirroring: bool = Field(
        True, description="Average over the eight mirror images of each window: eight times the work."
    )
    weights: Literal["last", "best"] = Field(
        "last", description="Weights of the end of the training, or of its best smoothed validation score."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU where there is one.")
