"""Configuration of an exported bundle: ``inference.json`` and ``metadata.json``.

Source: the MONAI Bundle specification, https://docs.monai.io/en/latest/mb_specification.html.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gynbtnet.imaging.sides import mirrored_labels
from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.networks.presets import find_preset
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import ALL_AXES

_ORIENTATION = {"axcodes": "LPS", "labels": [["L", "R"], ["P", "A"], ["I", "S"]]}
_TESTED = {"monai": "1.6.1", "nibabel": "5.3.2"}
"""Versions that the tests use, for machines on which they aren't installed."""


def inference_config(plan: Plan, settings: PredictionSettings) -> dict[str, Any]:
    """Return the content of ``inference.json``.

    Args:
        plan: plan of the model.
        settings: overlap, mirroring and region of the prediction.
    """
    preset, image = find_preset(plan.preset), "image"
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/scans'",
        "output_dir": "$@bundle_root + '/eval'",
        "weights": "$@bundle_root + '/models/model.safetensors'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))",
        "network_def": {
            "_target_": "scripts.network.GynBTNet",
            "in_channels": len(plan.channels),
            "outputs": plan.outputs,
            "channels": list(preset.channels),
            "depth": preset.depth,
            "strides": [list(stride) for stride in plan.strides],
        },
        "network": {
            "_target_": "scripts.network.with_weights",
            "network": "@network_def",
            "path": "@weights",
            "device": "@device",
        },
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": image, "reader": "NibabelReader", "image_only": True},
                {"_target_": "EnsureChannelFirstd", "keys": image},
                {"_target_": "Orientationd", "keys": image, **_ORIENTATION},
                {"_target_": "scripts.preprocessing.ToNetworkGridd", "keys": image, **_network_values(plan)},
                {"_target_": "scripts.body.BodyMaskd", "keys": image},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @datalist]",
            "transform": "@preprocessing",
        },
        "inferer": {
            "_target_": "scripts.inferer.EvenWindowInferer",
            "roi_size": list(plan.patch_size),
            "overlap": settings.overlap,
            "whole_scan": settings.roi == "whole",
            **_mirroring(plan, settings),
        },
        "postprocessing": {
            "_target_": "scripts.postprocessing.LogitsToLabels",
            "overlapping": plan.overlapping,
            "nesting": _nesting(plan),
        },
        "save": {
            "_target_": "SaveImage",
            "output_dir": "@output_dir",
            "output_postfix": "labels",
            "output_ext": ".nii.gz",
            "output_dtype": "$np.uint8",
            "resample": False,
            "separate_folder": False,
            "print_log": False,
        },
        "evaluator": {
            "_target_": "scripts.evaluator.ScanEvaluator",
            "dataset": "@dataset",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "save": "@save",
            "device": "@device",
        },
        "run": ["$@evaluator.run()"],
    }


def bundle_metadata(plan: Plan, name: str, licence: str, *, synthetic: bool) -> dict[str, Any]:
    """Return the content of ``metadata.json``.

    Args:
        plan: plan of the model.
        name: name of the model.
        licence: licence of the weights.
        synthetic: no real patient was scanned for the training.
    """
    data = "synthetic CT of the female pelvis; no patient was scanned" if synthetic else "CT of the female pelvis"
    tensor = {"type": "image", "spatial_shape": list(plan.patch_size), "dtype": "float32", "value_range": []}
    structures = plan.structures if plan.overlapping else ("background", *plan.structures)
    return {
        "name": name,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by GynBTNet {version('gynbtnet')}"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch").partition("+")[0],
        "numpy_version": _version("numpy"),
        "required_packages_version": {package: _version(package) for package in ("nibabel", "safetensors", "scipy")},
        "task": "Contours for gynecologic brachytherapy on CT",
        "description": f"GynBTNet {plan.preset}: segments {', '.join(plan.structures)} on planning CT",
        "authors": "see docs/README.md",
        "copyright": f"Weights: {licence}. Code in scripts: Apache-2.0",
        "intended_use": "Research use only, see docs/README.md",
        "data_source": data,
        "data_type": "NIfTI",
        "references": [],
        "network_data_format": {
            "inputs": {
                "image": tensor
                | {
                    "format": "hounsfield",
                    "modality": "CT",
                    "num_channels": len(plan.channels),
                    "is_patch_data": True,
                    "channel_def": {str(number): channel for number, channel in enumerate(plan.channels)},
                }
            },
            "outputs": {
                "pred": tensor
                | {
                    "format": "classes" if plan.overlapping else "labels",
                    "num_channels": plan.outputs,
                    "is_patch_data": True,
                    "channel_def": {str(number): structure for number, structure in enumerate(structures)},
                }
            },
        },
    }


def _network_values(plan: Plan) -> dict[str, Any]:
    """Return spacing, limits and normalisation; without limits those of air, without a mean that of each scan."""
    grid = {"spacing": list(plan.spacing), "separate_thick_slices": plan.separate_z == "auto"}
    if plan.normalisations[0] != "ct" or plan.intensities is None:
        return grid
    intensity = plan.intensities[0]
    limits = {"lowest": intensity.percentile_00_5, "highest": intensity.percentile_99_5}
    return grid | limits | {"mean": intensity.mean, "sd": intensity.std}


def _mirroring(plan: Plan, settings: PredictionSettings) -> dict[str, Any]:
    axes = [ALL_AXES.index(axis) for axis in tta_axes(settings, plan.mirror_axes, "the model")]
    if not plan.sides_swapped:
        return {"mirror_axes": axes}
    labels = list(mirrored_labels(plan.structures))
    return {"mirror_axes": axes, "mirrored_outputs": [n - 1 for n in labels[1:]] if plan.overlapping else labels}


def _nesting(plan: Plan) -> list[Sequence[int]]:
    """Return pairs of numbers of an inner and its outer structure, the innermost first."""
    outer_of = dict(plan.nesting.pairs)

    def depth(name: str) -> int:
        return 1 + depth(outer_of[name]) if name in outer_of else 0

    pairs = sorted(plan.nesting.pairs, key=lambda pair: -depth(pair[0]))
    return [[plan.structures.index(inner), plan.structures.index(outer)] for inner, outer in pairs]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _TESTED[package]
