"""What prediction asks of whatever draws the contours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch

from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.contours import Prediction
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import Axis


class PlannedModel(Protocol):
    """What the sliding window needs of a model of ours: how scans are prepared, and the networks that read them."""

    @property
    def plan(self) -> Plan:
        """Spacing, normalisation, patch and structures."""

    @property
    def folder(self) -> Path:
        """Folder of the model, for messages."""

    @property
    def device(self) -> torch.device:
        """Device of the networks."""

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Networks whose outputs are averaged."""


class Segmenter(Protocol):
    """A trained model, ours or another's."""

    @property
    def title(self) -> str:
        """What an RTSTRUCT calls it, in at most 10 characters."""

    @property
    def folder(self) -> Path:
        """Where it lies."""

    @property
    def weights(self) -> str:
        """Name of the weights' file."""

    @property
    def sha256(self) -> str:
        """Of the weights."""

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each file of weights, by its place in the folder."""

    @property
    def channels(self) -> tuple[str, ...]:
        """What each volume is that it reads."""

    @property
    def structures(self) -> tuple[str, ...]:
        """What it contours, in label order."""

    @property
    def mirror_axes(self) -> tuple[Axis, ...]:
        """The patient's axes that were mirrored in training; prediction mirrors no others."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that it computes with, besides those that all do."""

    def contour(self, volumes: Sequence[Volume], settings: PredictionSettings) -> Prediction:
        """Contours on a scan, one volume a channel on one grid of any kind; CT in HU."""
