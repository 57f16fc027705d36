"""Base of the models that a plan describes: preprocessing, sliding window, labels on the scan's own grid."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.sides import mirrored_labels
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.engine.adaptation_record import AdaptationRecord
from gynbtnet.inference.engine.logits_to_labels import logits_to_labels
from gynbtnet.inference.engine.logits_to_masks import logits_to_masks
from gynbtnet.inference.engine.mirroring import tta_axes, tta_signature
from gynbtnet.inference.engine.prediction_memory import check_prediction_memory
from gynbtnet.inference.engine.roi import find_region
from gynbtnet.inference.engine.segmenter import SegmentationResult
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.sliding_window import Slab, sliding_window_logits
from gynbtnet.inference.engine.test_time_augmentation import AveragedForward, Network
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.preparation.preprocess import check_channels, preprocess_volume
from gynbtnet.training.training_data import TrainingData

_MIRROR_IMAGES = 8
"""Mirror images of a window that a GPU computes as one batch: all of three axes. On a CPU a batch is not faster."""


@dataclass(frozen=True, kw_only=True)
class PlannedModel(ABC):
    """A :class:`~gynbtnet.inference.engine.segmenter.Segmenter` that a plan describes.

    Attributes:
        folder: run folder, or the folder of several; the zip file if it was loaded from one.
        weights: name of the weights file.
        sha256: SHA-256 of the weights.
        plan: plan of the training, with post-processing rules and reference volumes.
        device: device of the networks.
        quality: calibration of the predicted DSC; None if there is none.
        trained_on: scans of the training; None if unknown.
    """

    folder: Path
    weights: str
    sha256: str
    plan: Plan
    device: torch.device
    quality: Quality | None = None
    trained_on: TrainingData | None = None

    @abstractmethod
    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Return the networks whose logits are averaged."""

    @property
    @abstractmethod
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each weights file, by its path in the folder."""

    @property
    def title(self) -> str:
        """Name in an RTSTRUCT."""
        return {"gynbtnet": "GynBTNet", "nnunet": "nnU-Net"}.get(self.plan.network, "Swin-UNETR")

    @property
    def channels(self) -> tuple[str, ...]:
        """Input channels, in the order that the model reads."""
        return self.plan.channels

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures that the model segments, in label order."""
        return self.plan.structures

    @property
    def mirror_axes(self) -> tuple[Axis, ...]:
        """Axes of the patient that were mirrored in training."""
        return self.plan.mirror_axes

    @property
    def adaptation(self) -> AdaptationRecord | None:
        """None: the model is the same for all patients."""
        return None

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that the network is built from, in addition to PyTorch."""
        return ("monai",) if self.plan.network == "swin_unetr" else ()

    def segment(self, volumes: Sequence[Volume], settings: PredictionSettings) -> SegmentationResult:
        """Segment a scan by sliding window, and measure how well the averaged forward passes agree.

        Args:
            volumes: one volume per channel of the plan, all on one grid of any orientation and spacing; CT in HU.
            settings: sliding window, test-time augmentation and backend.

        Raises:
            BadInput: If there isn't one volume per channel, or the volumes are on different grids. Also
                if the settings mirror an axis that wasn't mirrored in training, or the prediction doesn't fit into
                memory.
        """
        plan, scan_grid = self.plan, volumes[0].geometry
        check_channels(volumes, plan)
        check_prediction_memory(scan_grid, plan, on_cpu=self.device.type == "cpu")
        image, grid = preprocess_volume(volumes, plan)
        region = find_region(volumes, plan.channels, grid, settings.roi, window=plan.patch_size)
        axes = [ALL_AXES.index(axis) for axis in tta_axes(settings, plan.mirror_axes, str(self.folder))]
        networks = self.networks(settings)
        sides = mirrored_labels(plan.structures) if plan.sides_swapped else None
        images_at_once = 1 if self.device.type == "cpu" else _MIRROR_IMAGES
        forward = AveragedForward(networks, axes, sides, overlapping=plan.overlapping, images_at_once=images_at_once)
        with torch.inference_mode():
            slabs = sliding_window_logits(
                forward,
                image[(slice(None), *region.box)],
                plan.patch_size,
                overlap=settings.overlap,
                device=self.device,
                body=region.body,
            )
            segmentation = self._to_scan(scan_grid, slabs, grid.cropped(region.box))
        return SegmentationResult(
            segmentation,
            forward.agreement(plan.structures),
            tta_signature(settings, plan, len(networks)),
        )

    def _to_scan(self, scan_grid: Geometry, slabs: Iterable[Slab], source: Geometry) -> Segmentation:
        """Return the structures on the scan's grid from logits on the network's grid."""
        plan = self.plan
        if plan.overlapping:
            return paint_masks(logits_to_masks(scan_grid, slabs, source, plan.structures, plan.nesting))
        return Segmentation(Volume(logits_to_labels(scan_grid, slabs, source), scan_grid), plan.structures)
