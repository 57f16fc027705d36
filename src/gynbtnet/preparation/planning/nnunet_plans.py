"""Conversion of plans to and from nnU-Net's ``plans.json`` and ``dataset.json``.

The files have two configurations for the same prepared scans. ``3d_fullres`` has nnU-Net's own network, as its planner
would configure it for our patch, and needs only nnU-Net. ``3d_gynbtnet`` has our network and also needs this package.
A section under our own name has what nnU-Net's plans can't express, and nnU-Net ignores it. It contains volumes of the
structures, post-processing, mirrored axes and nesting.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from gynbtnet.imaging.nesting import Nesting
from gynbtnet.networks.nnunet_architecture import UNetArchitecture, describe_architecture, parse_architecture
from gynbtnet.networks.presets import PRESETS
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.nnunet_names import (
    nnunet_channel_names,
    nnunet_labels,
    parse_channel_names,
    parse_structures,
)
from gynbtnet.preparation.planning.nnunet_topology import nnunet_topology
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.preparation.planning.settings import (
    ALL_AXES,
    Axis,
    Normalisation,
    PlannedNetwork,
    SeparateZ,
    preset_strides,
    total_stride,
)
from gynbtnet.preparation.planning.structure_volumes import StructureVolume
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.phrases import by_axis

PLANS = "GynBTNetPlans"
STOCK, OURS = "3d_fullres", "3d_gynbtnet"
SECTION = "gynbtnet"
DATA_IDENTIFIER = f"{PLANS}_{STOCK}"
"""Folder of prepared scans for both configurations, next to the plans."""

_CLASSES: dict[PlannedNetwork, str] = {
    "gynbtnet": "gynbtnet.networks.nnunet_network.NnunetGynBTNet",
    "swin_unetr": "gynbtnet.networks.swin_unetr.SwinUNETR",
}
_SCHEMES: dict[Normalisation, str] = {"zscore": "ZScoreNormalization", "ct": "CTNormalization"}
_RESAMPLING = "resample_data_or_seg_to_shape"
_VOLUMES, _RULES = TypeAdapter(tuple[StructureVolume, ...]), TypeAdapter(tuple[PostprocessingRule, ...])
_MIRROR_AXES, _YES_OR_NO = TypeAdapter(tuple[Axis, ...]), TypeAdapter(bool)
_PAIRS = TypeAdapter(tuple[tuple[str, str], ...])
_WIDEST, _NARROWEST = 320, 32  # channels of nnU-Net's own network


def to_nnunet(plan: Plan, dataset_name: str = "GynBTNet") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the contents of ``plans.json`` and ``dataset.json``.

    Args:
        plan: the plan to convert.
        dataset_name: name of the nnU-Net dataset, such as "Dataset500_Pelvis".

    Returns:
        The contents of both files, in this order.
    """
    channels = len(plan.channels)
    intensities = [asdict(intensity) for intensity in plan.intensities] if plan.intensities else [{}] * channels
    plans = {
        "dataset_name": dataset_name,
        "plans_name": PLANS,
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "foreground_intensity_properties_per_channel": {str(i): properties for i, properties in enumerate(intensities)},
        "notes": plan.notes,
        "configurations": {
            STOCK: {
                "data_identifier": DATA_IDENTIFIER,
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": plan.batch_size,
                "batch_dice": False,
                "patch_size": plan.patch_size,
                "spacing": plan.spacing,
                "normalization_schemes": [_SCHEMES[name] for name in plan.normalisations],
                "use_mask_for_norm": [False] * channels,
                **_resampling("data", plan.separate_z, is_seg=False, order=3),
                **_resampling("seg", plan.separate_z, is_seg=True, order=1),
                **_resampling("probabilities", plan.separate_z, is_seg=False, order=1),
                "architecture": _stock_network(plan),
            },
            OURS: {
                "inherits_from": STOCK,
                "architecture": _own_network(plan),
            },
        },
        SECTION: {
            "volumes": [asdict(volume) for volume in plan.volumes],
            "postprocessing": [asdict(rule) for rule in plan.postprocessing],
            "mirror_axes": plan.mirror_axes,
            "sides_swapped": plan.sides_swapped,
            "nesting": plan.nesting.pairs,
        },
    }
    dataset = {
        "channel_names": nnunet_channel_names(plan.channels),
        **nnunet_labels(plan.structures, plan.regions),
        "file_ending": ".nii.gz",
    }
    return plans, dataset


def from_nnunet(
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    *,
    preset: str = "L",
    configuration: str | None = None,
    keep_network: bool = False,
) -> Plan:
    """Convert the contents of ``plans.json`` and ``dataset.json`` to a plan.

    Spacing, normalisation, resampling, batch size and structures are used unchanged. For a plan of another network,
    ``preset`` is used and the patch is rounded to a multiple of its stride, with a note. Axes are returned in the order
    (z, y, x) of the images; nnU-Net may have prepared scans with the coarsest axis first.

    Args:
        plans: content of ``plans.json``.
        dataset: content of ``dataset.json``.
        preset: network to use with a plan for another network; a plan for ours names it.
        configuration: name of the configuration; None: ours if present, otherwise ``3d_fullres``.
        keep_network: keep nnU-Net's own network instead of a preset of ours.

    Returns:
        The plan.

    Raises:
        ValueError: If something is missing or GynBTNet doesn't support it.
    """
    try:
        chosen = configuration or (OURS if OURS in plans["configurations"] else STOCK)
        return _read(plans, _configuration(plans, chosen), dataset, preset, keep_network or chosen == OURS)
    except KeyError as error:
        raise ValueError(f"{error} is missing") from error
    except RecursionError as error:
        raise ValueError("configurations inherit from each other in a circle") from error
    except (TypeError, AttributeError, IndexError, ArithmeticError) as error:  # such as a patch size of 1e999
        raise ValueError(str(error)) from error


def _read(
    plans: Mapping[str, Any],
    configuration: Mapping[str, Any],
    dataset: Mapping[str, Any],
    preset: str,
    keep_network: bool,
) -> Plan:
    forward, back = plans["transpose_forward"], plans["transpose_backward"]
    if not sorted(forward) == sorted(back) == [back[axis] for axis in forward] == [0, 1, 2]:
        raise ValueError("transpose_forward and transpose_backward are not orders of 0, 1 and 2 that undo each other")
    patch: Triple = _three(configuration["patch_size"], _whole, back)
    channels = parse_channel_names(dataset["channel_names"])
    normalisation = _normalisation(configuration, channels)
    separate_z, notes = _separate_z(configuration)
    described = configuration.get("architecture", {})
    networks = {path: name for name, path in _CLASSES.items()}
    network: PlannedNetwork | None = networks.get(described.get("network_class_name"))
    architecture = None
    if network is None and keep_network:
        network, architecture = "nnunet", _kept_architecture(configuration, back)
        preset, strides = architecture.kind, tuple(_three(stride, _whole) for stride in architecture.strides)
        notes += tuple(map(str, plans.get("notes", ())))
    elif network is not None:
        architecture_values = described["arch_kwargs"]
        preset = str(architecture_values["preset"])
        strides = tuple(_three(stride, _whole) for stride in architecture_values["strides"])
        notes = tuple(map(str, plans.get("notes", ())))
    else:
        if preset not in PRESETS:
            raise ValueError(f"preset is one of {', '.join(PRESETS)}, not {preset}")
        strides = preset_strides(preset)
        patch, planned = _fitting(patch, total_stride(strides)), patch
        notes += (_changed_network(_network_name(configuration), preset, planned, patch),)
    structures, regions = parse_structures(dataset)
    properties = plans["foreground_intensity_properties_per_channel"]
    own = plans.get(SECTION, {})
    return Plan(
        structures=structures,
        spacing=_three(configuration["spacing"], float, back),
        normalisation=normalisation,
        intensities=tuple(_intensity(properties[str(i)]) for i in range(len(channels)))
        if normalisation == "ct"
        else None,
        patch_size=patch,
        batch_size=_whole(configuration["batch_size"]),
        preset=preset,
        strides=strides,
        channels=channels,
        network=network or "gynbtnet",
        separate_z=separate_z,
        notes=notes,
        volumes=_VOLUMES.validate_python(own.get("volumes", ())),
        postprocessing=_RULES.validate_python(own.get("postprocessing", ())),
        mirror_axes=_MIRROR_AXES.validate_python(own.get("mirror_axes", ALL_AXES)),
        sides_swapped=_YES_OR_NO.validate_python(own.get("sides_swapped", False)),
        regions=regions,
        nesting=Nesting(_PAIRS.validate_python(own.get("nesting", ()))),
        architecture=architecture,
    )


def _kept_architecture(configuration: Mapping[str, Any], back: Any) -> UNetArchitecture:
    architecture = parse_architecture(configuration)
    if architecture.axes != 3 or configuration.get("previous_stage"):
        raise ValueError("only networks of 3d_fullres and 3d_lowres can be trained on")
    if list(back) != [0, 1, 2]:
        raise ValueError("the plan permutes the axes of the scan, so its network can't be trained on here")
    return architecture


def _network_name(configuration: Mapping[str, Any]) -> str:
    """Return the class of the network; nnU-Net named it differently before version 2.4."""
    if "UNet_class_name" in configuration:
        return str(configuration["UNet_class_name"])
    return str(configuration["architecture"]["network_class_name"])


def _configuration(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a configuration with all inherited values."""
    own = dict(plans["configurations"][name])
    parent = own.pop("inherits_from", None)
    if parent == name:
        raise ValueError(f"configuration {name} inherits from itself")
    return {**_configuration(plans, parent), **own} if parent else own


def _normalisation(configuration: Mapping[str, Any], channels: tuple[str, ...]) -> Normalisation:
    """Return the normalisation of the CT channels."""
    names = {scheme: name for name, scheme in _SCHEMES.items()}
    schemes = [names.get(scheme) for scheme in configuration["normalization_schemes"]]
    of_ct = {scheme for scheme, channel in zip(schemes, channels, strict=True) if channel.casefold() == CT}
    others = {scheme for scheme, channel in zip(schemes, channels, strict=True) if channel.casefold() != CT}
    if None in schemes or len(of_ct) > 1 or others - {"zscore"}:
        raise ValueError(
            f"channels {', '.join(channels)} are normalised by "
            f"{', '.join(configuration['normalization_schemes'])}; expected CTNormalization or "
            "ZScoreNormalization for CT and ZScoreNormalization for any other channel"
        )
    if any(configuration["use_mask_for_norm"]):
        raise ValueError("channels are normalised inside a nonzero mask, but GynBTNet normalises the whole scan")
    return of_ct.pop() or "zscore" if of_ct else "zscore"


def _separate_z(configuration: Mapping[str, Any]) -> tuple[SeparateZ, tuple[str, ...]]:
    """Return whether thick slices are resampled separately, with a note if the plan resamples differently from us."""
    separate_z: SeparateZ = (
        "never" if configuration["resampling_fn_data_kwargs"].get("force_separate_z") is False else "auto"
    )
    for kind, is_seg, order in (("data", False, 3), ("seg", True, 1)):
        ours = _resampling(kind, separate_z, is_seg=is_seg, order=order)
        if any(configuration[name] != value for name, value in ours.items()):
            note = (
                f"The plan resamples {kind} by {configuration[f'resampling_fn_{kind}']} differently; GynBTNet "
                "resamples scans with cubic and contours with linear splines."
            )
            return separate_z, (note,)
    return separate_z, ()


def _changed_network(class_name: str, preset: str, planned: Triple, patch: Triple) -> str:
    changed = "" if patch == planned else f", rounded to {by_axis(patch)}"
    return (
        f"The plan was made for {class_name.rsplit('.', maxsplit=1)[-1]}; preset {preset} reads its patches of "
        f"{by_axis(planned)} voxels{changed}."
    )


def _fitting(patch: Triple, step: Triple) -> Triple:
    """Return the multiple of ``step`` nearest to ``patch``."""
    z, y, x = (max(1, round(n / factor)) * factor for n, factor in zip(patch, step, strict=True))
    return (z, y, 2 * x) if (z, y, x) == step else (z, y, x)


def _resampling(kind: str, separate_z: SeparateZ, *, is_seg: bool, order: int) -> dict[str, Any]:
    force_separate_z = None if separate_z == "auto" else False
    return {
        f"resampling_fn_{kind}": _RESAMPLING,
        f"resampling_fn_{kind}_kwargs": {
            "is_seg": is_seg,
            "order": order,
            "order_z": 0,
            "force_separate_z": force_separate_z,
        },
    }


def _stock_network(plan: Plan) -> dict[str, Any]:
    """Return nnU-Net's own network in its planner's format."""
    topology = nnunet_topology(plan.spacing, plan.patch_size)
    levels = len(topology.strides)
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": levels,
            "features_per_stage": [min(_WIDEST, _NARROWEST * 2**level) for level in range(levels)],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": topology.kernels,
            "strides": topology.strides,
            "n_conv_per_stage": [2] * levels,
            "n_conv_per_stage_decoder": [2] * (levels - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _own_network(plan: Plan) -> dict[str, Any]:
    """Return the network of a plan in nnU-Net's format."""
    if plan.architecture is not None:
        return describe_architecture(plan.architecture)
    return {
        "network_class_name": _CLASSES[plan.network],
        "arch_kwargs": {"preset": plan.preset, "strides": plan.strides},
        "_kw_requires_import": [],
    }


def _intensity(properties: Mapping[str, Any]) -> Intensity:
    return Intensity(**{name: float(properties[name]) for name in Intensity.__annotations__})


def _three(values: Any, kind: Callable[[Any], float], order: Any = (0, 1, 2)) -> Any:
    if isinstance(values, str) or len(values) != 3 or sorted(order) != [0, 1, 2]:
        raise ValueError(f"expected three values for (z, y, x), not {values}")
    return tuple(kind(values[axis]) for axis in order)


def _whole(value: Any) -> int:
    if isinstance(value, str) or int(value) != value:
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)
