"""Interface of a segmentation model as the prediction pipeline needs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.engine.adaptation_record import AdaptationRecord
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import Axis
from gynbtnet.training.training_data import TrainingData


@dataclass(frozen=True)
class SegmentationResult:
    """Output of a model for one scan, before post-processing.

    Attributes:
        segmentation: labels on the scan's own grid.
        agreement: by structure the mean Dice coefficient between each forward pass (every member of an ensemble, every
            mirror image) and their mean. NaN if there was one pass, or if the mean has no voxel of the structure.
        tta_signature: forward passes that were averaged, see
            :func:`gynbtnet.inference.engine.mirroring.tta_signature`; empty if the model doesn't expose them.
        notes: one sentence for each choice of the model that a user should know.
    """

    segmentation: Segmentation
    agreement: Mapping[str, float]
    tta_signature: str = ""
    notes: tuple[str, ...] = ()


class Segmenter(Protocol):
    """A trained segmentation model: ours, an ensemble of ours, or nnU-Net's.

    The prediction pipeline (:func:`~gynbtnet.inference.engine.predict.predict`, the review and the files) uses nothing
    else. Properties that a model does not have are None or empty.
    """

    @property
    def title(self) -> str:
        """Name in an RTSTRUCT, at most 10 characters."""

    @property
    def folder(self) -> Path:
        """Folder or zip file that the model was loaded from."""

    @property
    def weights(self) -> str:
        """Name of the weights file."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights."""

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each weights file, by its path in the folder."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Input channels, in the order that the model reads."""

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures that the model segments, in label order."""

    @property
    def mirror_axes(self) -> tuple[Axis, ...]:
        """Axes of the patient that were mirrored in training; prediction mirrors no others."""

    @property
    def device(self) -> torch.device:
        """Device that computes."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that compute the network, in addition to those that every prediction uses."""

    @property
    def plan(self) -> Plan | None:
        """Plan of the training; None for a model of another program."""

    @property
    def quality(self) -> Quality | None:
        """Calibration of the predicted DSC; None if there is none."""

    @property
    def trained_on(self) -> TrainingData | None:
        """Scans of the training; None if unknown."""

    @property
    def adaptation(self) -> AdaptationRecord | None:
        """Adaptation of the model to one patient; None if it is the same for all."""

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Return the networks whose logits are averaged; empty for a model that predicts through its own program."""

    def segment(self, volumes: Sequence[Volume], settings: PredictionSettings) -> SegmentationResult:
        """Segment a scan: one volume per channel, on one grid of any orientation and spacing, CT in HU."""
