"""Trained nnU-Net models that predict through nnU-Net's own predictor."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import nan, prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_model

from gynbtnet.baselines.nnunet_library import CONFIGURATION, import_nnunet_library
from gynbtnet.baselines.nnunet_mirroring import nnunet_axes
from gynbtnet.baselines.nnunet_plan_changes import GYNBTNET
from gynbtnet.baselines.nnunet_progress import nnunet_progress
from gynbtnet.baselines.nnunet_trainers import find_trainer
from gynbtnet.baselines.nnunet_training import RECORD
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.engine.segmenter import SegmentationResult
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.networks.weights_file import check_finite
from gynbtnet.preparation.planning.nnunet_names import nnunet_outputs, parse_channel_names, parse_structures
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.runtime.available_memory import check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of
from gynbtnet.training.run_folder import RunFolder

REMEDY = "expected the folder of a finished training of nnU-Net, as `gynbtnet benchmark` leaves it"
_WHOLE_NUMBERS, _AXES = TypeAdapter(tuple[int, ...]), TypeAdapter(tuple[Axis, ...])
_FLOAT = 4  # bytes; at least two copies of the image and all outputs on the scan's grid are in memory
_TRUSTED = ("torch.nn.", "dynamic_network_architectures.")


@dataclass(frozen=True)
class NnUNetModel:
    """One or several folds trained by :func:`gynbtnet.baselines.nnunet_training.train_nnunet`, ready to predict.

    It is a :class:`~gynbtnet.inference.engine.segmenter.Segmenter` without plan and quality. It is loaded from
    ``plans.json``, ``dataset.json``, ``nnunet.json`` and ``weights_last.safetensors``; no code in these is executed.

    Attributes:
        folder: folder of the fold; for several folds, their parent folder.
        weights: name of the weights file in each fold.
        sha256: SHA-256 of the weights.
        channels: input channels, in the order that the model reads.
        structures: structures that the model segments, in label order.
        device: device that computes.
        predictor: nnU-Net's ``nnUNetPredictor``.
        mirror_axes: axes of the patient that were mirrored in training.
        trained_axes: axes of nnU-Net's arrays that were mirrored in training.
        outputs: structure of each output if structures overlap, as nnU-Net's regions; None if they exclude each other.
        title: name in an RTSTRUCT.
        libraries: distributions that compute the network.
        plan: None; nnU-Net has its own plans.
        quality: None; the DSC is not predicted.
        trained_on: None; nnU-Net doesn't record it.
        adaptation: None; it is the same for all patients.
    """

    folder: Path
    weights: str
    sha256: str
    channels: tuple[str, ...]
    structures: tuple[str, ...]
    device: torch.device
    predictor: Any
    mirror_axes: tuple[Axis, ...] = ALL_AXES
    trained_axes: tuple[int, ...] = (0, 1, 2)
    outputs: tuple[str, ...] | None = None
    title: str = "nnU-Net"
    libraries: tuple[str, ...] = ("nnunetv2",)
    plan: None = None
    quality: None = None
    trained_on: None = None
    adaptation: None = None

    @classmethod
    def load(cls, fold: Path, *others: Path, device: Literal["auto", "cpu", "cuda"] = "auto") -> "NnUNetModel":
        """Load a finished fold, and further folds of the same training whose logits are averaged.

        Args:
            fold: folder of a fold.
            others: folders of further folds.
            device: "auto": the GPU if there is one.

        Raises:
            BadInput: If a folder has no weights, a file is damaged, or the folds belong to different trainings. Also if
                CUDA is asked for and not available, or nnU-Net isn't installed.
        """
        folds = (fold, *others)
        paths = [RunFolder(folder).last_weights for folder in folds]
        for path in paths:
            if not path.is_file():
                raise BadInput(f"There is no {path}; {REMEDY}.")
        if device == "cuda" and not torch.cuda.is_available():
            raise BadInput("device is cuda, but PyTorch finds no CUDA device; set it to auto.")
        selected = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        plans, dataset, record = (
            read_json(dict[str, Any], fold / name, REMEDY) for name in ("plans.json", "dataset.json", RECORD)
        )
        for other in others:
            if read_json(dict[str, Any], other / "plans.json", REMEDY) != plans:
                raise BadInput(f"{other} and {fold} were trained by different plans; expected folds of one training.")
        with import_nnunet_library():
            try:
                _check_trusted(plans)
                mirrored = _WHOLE_NUMBERS.validate_python(record["mirroring_axes"] or ())
                mirror_axes = _AXES.validate_python(record.get("mirror_axes", ALL_AXES))
                trainer = find_trainer(str(record["settings"].get("trainer", "nnUNetTrainer")))
                predictor = _predictor(trainer, plans, dataset, paths, selected, mirrored)
                channels = parse_channel_names(dataset["channel_names"])
                structures, regions = parse_structures(dataset)
            except (KeyError, TypeError, AttributeError, ValueError, SafetensorError, RuntimeError, OSError) as error:
                raise BadInput(
                    f"The files in {fold} are damaged or don't belong together ({type(error).__name__}: {error}); "
                    f"{REMEDY}."
                ) from error
        folder = fold.parent if others else fold
        return cls(
            folder,
            paths[0].name,
            sha256_of(*paths),
            channels,
            structures,
            selected,
            predictor,
            mirror_axes,
            mirrored,
            outputs=None if regions is None else nnunet_outputs(dataset),
        )

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of the weights, by the name of their file."""
        return {self.weights: self.sha256}

    def networks(self, settings: PredictionSettings) -> tuple[Network, ...]:
        """Return no network: nnU-Net predicts through its own predictor."""
        return ()

    def segment(self, volumes: Sequence[Volume], settings: PredictionSettings) -> SegmentationResult:
        """Segment a scan; nnU-Net doesn't return single forward passes, so their agreement is NaN.

        Args:
            volumes: one volume per channel, CT in HU. The orientation must be that of the training scans.
            settings: overlap of the windows and mirroring; nnU-Net's defaults are 0.5 and all axes.

        Raises:
            BadInput: If the settings mirror an axis that wasn't mirrored in training, or the prediction doesn't fit
                into memory.
        """
        geometry = volumes[0].geometry
        check_memory(
            prod(geometry.shape) * _FLOAT * (2 * len(volumes) + self._maps),
            f"nnU-Net's prediction of {'×'.join(map(str, geometry.shape))} voxels (z, y, x)",
            "crop the scan to the pelvis, or take a machine with more memory",
        )
        self.predictor.tile_step_size = 1 - settings.overlap
        image = np.stack([volume.array for volume in volumes]).astype(np.float32)
        axes = tta_axes(settings, self.mirror_axes, str(self.folder))
        transpose = self.predictor.plans_manager.transpose_forward
        mirrored = [axis for axis in nnunet_axes(axes, [geometry], transpose) if axis in self.trained_axes]
        self.predictor.use_mirroring, self.predictor.allowed_mirroring_axes = bool(mirrored), tuple(mirrored) or None
        with import_nnunet_library(), nnunet_progress():
            predicted = self.predictor.predict_single_npy_array(
                image, {"spacing": list(geometry.spacing)}, save_or_return_probabilities=self.outputs is not None
            )
        return SegmentationResult(self._segmentation(predicted, geometry), dict.fromkeys(self.structures, nan))

    @property
    def _maps(self) -> int:
        """Maps of the scan's size in memory: logits, and for regions also their probabilities, twice."""
        return len(self.structures) + 1 if self.outputs is None else 3 * len(self.structures)

    def _segmentation(self, predicted: Any, geometry: Geometry) -> Segmentation:
        """Return nnU-Net's label map, or from its probabilities each structure above 0.5, nnU-Net's own threshold."""
        if self.outputs is None:
            return Segmentation(Volume(np.asarray(predicted, np.uint8), geometry), self.structures)
        _, probabilities = predicted
        masks = {name: probabilities[self.outputs.index(name)] > 0.5 for name in self.structures}
        return paint_masks(StructureMasks.of(masks, geometry))


def _check_trusted(plans: Mapping[str, Any]) -> None:
    """Raise ValueError if the plans name anything to call except networks, ours included, and their layers."""
    architecture = plans["configurations"][CONFIGURATION]["architecture"]
    called = [architecture["network_class_name"]] if architecture["network_class_name"] != GYNBTNET else []
    called += [architecture["arch_kwargs"][name] for name in architecture["_kw_requires_import"]]
    strange = [name for name in called if name is not None and not name.startswith(_TRUSTED)]
    if strange:
        raise ValueError(f"plans.json names {strange[0]}, expected a layer of a network")


def _predictor(
    trainer: Any,
    plans: Mapping[str, Any],
    dataset: dict[str, Any],
    weights: Sequence[Path],
    device: torch.device,
    mirrored: tuple[int, ...],
) -> Any:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(dict(plans))
    configuration = manager.get_configuration(CONFIGURATION)
    channels = determine_num_input_channels(manager, configuration, dataset)
    outputs = manager.get_label_manager(dataset).num_segmentation_heads
    network = trainer.build_network_architecture(
        manager, configuration, channels, outputs, enable_deep_supervision=False
    )
    network.to(device).eval()
    parameters = [_parameters(network, path) for path in weights]
    predictor = nnUNetPredictor(device=device)
    predictor.manual_initialization(
        network, manager, configuration, parameters, dataset, trainer.__name__, mirrored or None
    )
    return predictor


def _parameters(network: Any, weights: Path) -> Any:
    load_model(network, weights)
    check_finite(network.state_dict(), weights)
    return deepcopy(network.state_dict())  # the next fold overwrites the network's tensors
