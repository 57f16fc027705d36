"""A folder that nnU-Net 2 trained, as a model of the prediction pipeline."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.orientation import reorientation_between, reorientation_to_lps
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.engine.logits_to_labels import logits_to_labels
from gynbtnet.inference.engine.logits_to_masks import logits_to_masks
from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.engine.roi import RegionOfInterest, find_region
from gynbtnet.inference.engine.segmenter import SegmentationResult
from gynbtnet.inference.engine.settings import Backend, PredictionSettings, Roi
from gynbtnet.inference.engine.sliding_window import sliding_window_logits
from gynbtnet.inference.engine.test_time_augmentation import AveragedForward, Network
from gynbtnet.inference.models.backends import prepare_network
from gynbtnet.inference.models.nnunet.configuration import GynBTNetArchitecture, NnunetConfiguration
from gynbtnet.inference.models.nnunet.scan_preparation import NnunetScan, prepare_scan
from gynbtnet.inference.models.nnunet.trained_folder import TrainedFolder
from gynbtnet.networks.nnunet_architecture import UNetArchitecture
from gynbtnet.networks.nnunet_network import NnunetGynBTNet, ReorientedGynBTNet
from gynbtnet.networks.nnunet_unet import NnunetUNet
from gynbtnet.networks.nnunet_weights import NnunetCheckpoint, load_exactly, read_nnunet_checkpoint
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.runtime.available_memory import check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.phrases import by_axis, counted

_FLOAT, _HALF = 4, 2  # bytes
_MAPS = 6  # of the finest stage that a network holds at once


@dataclass(frozen=True)
class NnunetFolderModel:
    """One or several folds that nnU-Net trained, predicted by our own code.

    It is a :class:`~gynbtnet.inference.engine.segmenter.Segmenter` without plan and calibration. Preparation, windows,
    mirroring and resampling are nnU-Net's. No code in its files is executed, and nnU-Net isn't needed.

    Attributes:
        folder: folder of the configuration.
        configuration: configuration in ``plans.json``.
        members: network of each fold.
        digests: SHA-256 of each checkpoint, by its path in the folder.
        weights: name of the checkpoints.
        device: device of the networks.
        trained_axes: axes of nnU-Net's arrays that were mirrored in training.
        previous: model whose prediction this one refines; None if it refines none.
        plan: None; nnU-Net has its own plans.
        quality: None; nothing is calibrated.
        trained_on: None; nnU-Net doesn't record its scans.
        adaptation: None; it is the same for all patients.
        title: name in an RTSTRUCT.
        libraries: none, PyTorch suffices.
    """

    folder: Path
    configuration: NnunetConfiguration
    members: tuple[nn.Module, ...]
    digests: Mapping[str, str]
    weights: str
    device: torch.device
    trained_axes: tuple[int, ...]
    previous: "NnunetFolderModel | None" = None
    plan: None = None
    quality: None = None
    trained_on: None = None
    adaptation: None = None
    title: str = "nnU-Net"
    libraries: tuple[str, ...] = ()
    _prepared: dict[tuple[Backend, int], Network] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        weights: Literal["last", "best"] = "last",
        folds: int | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
    ) -> "NnunetFolderModel":
        """Load a trained folder; a cascade also loads the folder of its first stage next to it.

        Args:
            folder: trained folder, one of its folds, or a folder with a single trained folder.
            weights: "last": ``checkpoint_final.pth``; "best": ``checkpoint_best.pth``.
            folds: number of folds; None: all.
            device: "auto": the GPU if there is one.

        Raises:
            BadInput: If a file is absent or damaged, or the folder needs something that isn't supported. Also if CUDA
                is asked for and not available.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device is cuda, but PyTorch finds no CUDA device; set it to auto.")
        selected = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        files = TrainedFolder.open(folder, weights, folds)
        first = read_nnunet_checkpoint(files.checkpoints[0])
        configuration = NnunetConfiguration.of(files, first.configuration)
        previous = None
        if configuration.previous is not None:
            sibling = files.sibling(configuration.previous)
            previous = cls.load(sibling, weights=weights, folds=folds, device=device)
            if previous.configuration.outputs.labels != configuration.outputs.labels:
                raise BadInput(f"{folder} and {sibling} have different labels; expected two stages of one training.")
        checkpoints = [first, *(read_nnunet_checkpoint(path) for path in files.checkpoints[1:])]
        for other in checkpoints:
            if other.configuration != first.configuration:
                raise BadInput(
                    f"{other.path} was trained as {other.configuration}, and {first.path} as "
                    f"{first.configuration}; expected folds of one training."
                )
        axes = len(configuration.patch_size)
        if any(axis not in range(axes) for axis in first.mirror_axes):
            raise BadInput(f"{first.path} mirrors the axes {first.mirror_axes}, but its images have {axes}.")
        return cls(
            files.path,
            configuration,
            tuple(_network(configuration, checkpoint).to(selected).eval() for checkpoint in checkpoints),
            {str(path.relative_to(files.path)): sha256_of(path) for path in files.checkpoints},
            first.path.name,
            selected,
            first.mirror_axes,
            previous,
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of the checkpoint; for several, or several stages, the SHA-256 of their digests."""
        digests = [*self.digests.values(), *([self.previous.sha256] if self.previous else [])]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @property
    def channels(self) -> tuple[str, ...]:
        """Input channels, in the order that the model reads."""
        return self.configuration.channels

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures that the model segments, in label order; of regions, in the order of the outputs."""
        return self.configuration.outputs.structures

    @property
    def mirror_axes(self) -> tuple[Axis, ...]:
        """Axes that were mirrored in training: of the scan's array, as nnU-Net doesn't know the patient's axes."""
        first_axis = 3 - len(self.configuration.patch_size)
        names = {ALL_AXES[self.configuration.transpose[axis + first_axis]] for axis in self.trained_axes}
        return tuple(axis for axis in ALL_AXES if axis in names)

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Return the network of each fold, prepared for the backend of the settings."""
        configuration, members = self.configuration, self.members[: settings.folds]
        for number, member in enumerate(members):
            if (settings.backend, number) not in self._prepared:
                self._prepared[settings.backend, number] = prepare_network(
                    member,
                    settings.backend,
                    self.device,
                    channels=configuration.inputs,
                    outputs=configuration.outputs.count,
                    window=configuration.window,
                )
        return tuple(self._prepared[settings.backend, number] for number in range(len(members)))

    def segment(self, volumes: Sequence[Volume], settings: PredictionSettings) -> SegmentationResult:
        """Segment a scan as nnU-Net does.

        Windows cover the whole scan. With ``roi`` body, those without a voxel of the patient are left out, and nothing
        is segmented outside of the patient. With ``roi`` whole, every window is computed.

        Args:
            volumes: one volume per channel, all on one grid; CT in HU. Unless nnU-Net's reader reorients scans, the
                axes of the array must be those of the training scans.
            settings: overlap, mirroring, region and backend.

        Raises:
            BadInput: If there isn't one volume per channel, the volumes are on different grids, or the prediction
                doesn't fit into memory. Also if the settings mirror an axis that wasn't mirrored in training.
        """
        configuration, outputs = self.configuration, self.configuration.outputs
        self._check_channels(volumes)
        grid = volumes[0].geometry
        axes = self._window_axes(settings)
        refined = self._refined_labels(volumes, settings)
        scan = prepare_scan(volumes, configuration, refined)
        self._check_memory(grid, scan)
        region = _region(volumes, self.channels, scan.geometry, settings.roi, configuration.window)
        forward = AveragedForward(self.networks(settings), axes, overlapping=outputs.overlapping)
        z, y, x = configuration.window
        with torch.inference_mode():
            slabs = sliding_window_logits(
                forward,
                scan.image[(slice(None), *region.box)],
                configuration.window,
                overlap=settings.overlap,
                device=self.device,
                body=region.body,
                padding=0.0,
                centre=(z // 2, y // 2, x // 2),
            )
            source = scan.geometry.cropped(region.box)
            if outputs.overlapping:
                masks = logits_to_masks(grid, slabs, source, outputs.structures, nearest=scan.nearest)
                segmentation = paint_masks(masks)
            else:
                labels = logits_to_labels(grid, slabs, source, nearest=scan.nearest)
                segmentation = Segmentation(Volume(labels, grid), outputs.structures)
        notes = (outputs.renamed,) if outputs.renamed else ()
        return SegmentationResult(segmentation, forward.agreement(outputs.structures), notes=notes)

    def _check_channels(self, volumes: Sequence[Volume]) -> None:
        if len(volumes) != len(self.channels):
            raise BadInput(
                f"{self.folder} reads {counted(len(self.channels), 'channel')} ({', '.join(self.channels)}), but the "
                f"number of volumes is {len(volumes)}; give one scan per channel, in this order."
            )
        for name, volume in zip(self.channels[1:], volumes[1:], strict=True):
            if not volumes[0].geometry.is_same(volume.geometry):
                raise BadInput(
                    f"Channel {name} is on another grid than {self.channels[0]}, "
                    f"{volumes[0].geometry.difference(volume.geometry)}; register it and resample it to that grid."
                )

    def _window_axes(self, settings: PredictionSettings) -> list[int]:
        """Return the mirrored axes of the window, 0 to 2."""
        names = tta_axes(settings, self.mirror_axes, str(self.folder))
        first_axis = 3 - len(self.configuration.patch_size)
        axes = (axis + first_axis for axis in self.trained_axes)
        return [axis for axis in axes if ALL_AXES[self.configuration.transpose[axis]] in names]

    def _refined_labels(self, volumes: Sequence[Volume], settings: PredictionSettings) -> np.ndarray | None:
        """Return the label map of the first stage of a cascade on the scan's grid."""
        if self.previous is None:
            return None
        result = self.previous.segment(volumes, _with_trained_axes(settings, self.previous.mirror_axes))
        return self.previous.configuration.outputs.as_nnunet_labels(result.segmentation)

    def _check_memory(self, grid: Geometry, scan: NnunetScan) -> None:
        """Refuse a scan whose windows and labels don't fit into memory together with the prepared scan."""
        configuration, shape = self.configuration, scan.geometry.shape
        window, outputs = configuration.window, configuration.outputs.count + configuration.outputs.overlapping
        rows = prod(max(n, size) for n, size in zip(shape[1:], window[1:], strict=True)) * (window[0] + 1)
        needed = _HALF * outputs * rows + _FLOAT * outputs * prod(window) + prod(grid.shape) * 2
        if self.device.type == "cpu" and isinstance(configuration.architecture, UNetArchitecture):
            needed += _MAPS * _FLOAT * configuration.architecture.features[0] * prod(window)
        check_memory(
            needed,
            f"The prediction of {by_axis(grid.shape)} voxels (z, y, x), which the model sees as {by_axis(shape)},",
            "crop the scan to the pelvis, or take a machine with more memory",
        )


def _with_trained_axes(settings: PredictionSettings, trained: Sequence[Axis]) -> PredictionSettings:
    """Return settings that mirror only the axes that were mirrored in the training of a first stage, which may be none.

    The axes that the settings ask for are those of the second stage.
    """
    if settings.mirrored_axes is None:
        return settings
    axes = tuple(axis for axis in settings.mirrored_axes if axis in trained)
    return settings.model_copy(update={"mirroring": settings.mirroring and bool(axes), "mirrored_axes": axes or None})


def _network(configuration: NnunetConfiguration, checkpoint: NnunetCheckpoint) -> nn.Module:
    """Return the network of a configuration with the weights of a checkpoint."""
    architecture, inputs, outputs = configuration.architecture, configuration.inputs, configuration.outputs.count
    network: nn.Module
    if isinstance(architecture, GynBTNetArchitecture):
        owner = f"GynBTNet {architecture.preset}, as plans.json describes it"
        kind = ReorientedGynBTNet if architecture.reoriented else NnunetGynBTNet
        network = kind(inputs, outputs, architecture.preset, architecture.strides, deep_supervision=False)
    else:
        if any(name.endswith("norm.running_mean") for name in checkpoint.weights):  # as nnUNetTrainerBN trains
            architecture = replace(architecture, norm="batch", norm_affine=True)
        owner = f"{architecture.kind}, as plans.json describes it"
        network = NnunetUNet(architecture, inputs, outputs=outputs)
    load_exactly(network, checkpoint, owner)
    return network


def _region(
    volumes: Sequence[Volume], channels: Sequence[str], grid: Geometry, roi: Roi, window: tuple[int, int, int]
) -> RegionOfInterest:
    """Return the part of nnU-Net's grid to predict; its axes are in any order."""
    full = RegionOfInterest(tuple(slice(0, n) for n in grid.shape), None)
    if roi == "whole":
        return full
    to_lps = reorientation_to_lps(grid)
    upright = to_lps.geometry(grid)
    z, y, x = (window[axis] for axis in to_lps.order)
    found = find_region(volumes, channels, upright, "pelvis" if roi == "pelvis" else "whole", window=(z, y, x))
    if found.body is None:
        return full
    box = [slice(0, 0)] * 3
    for axis, (source, backward) in enumerate(zip(to_lps.order, to_lps.backward, strict=True)):
        side, n = found.box[axis], upright.shape[axis]
        box[source] = slice(n - side.stop, n - side.start) if backward else side
    part = upright.cropped(found.box)
    body = reorientation_between(part, grid.cropped(tuple(box))).array(found.body)
    return RegionOfInterest(tuple(box), np.ascontiguousarray(body))
