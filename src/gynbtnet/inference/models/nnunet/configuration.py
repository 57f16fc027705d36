"""A configuration of nnU-Net's plans, as far as a prediction needs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gynbtnet.inference.models.nnunet.outputs import NnunetOutputs, parse_outputs
from gynbtnet.inference.models.nnunet.trained_folder import TrainedFolder
from gynbtnet.networks.nnunet_architecture import UNetArchitecture, parse_architecture
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.nnunet_names import parse_channel_names
from gynbtnet.preparation.planning.settings import check_batch, check_spacing
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput

Scheme = Literal[
    "CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization"
]
_SCHEMES: tuple[Scheme, ...] = (
    "CTNormalization", "ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization",
)  # fmt: skip
_READERS = {"SimpleITKIO": False, "NibabelIO": False, "NibabelIOWithReorient": True}
"""Whether a reader reorients scans, by name."""
_SPLINES, _LINEAR = "resample_data_or_seg_to_shape", "resample_torch_fornnunet"
_OURS = ("gynbtnet.networks.nnunet_network.ReorientedGynBTNet", "gynbtnet.networks.turned_network.TurnedGynBTNet")
_TRAINED_OURS = "gynbtnet.networks.nnunet_network.NnunetGynBTNet"


@dataclass(frozen=True)
class ChannelNormalisation:
    """Normalisation of a channel.

    Attributes:
        scheme: nnU-Net's name.
        masked: whether only voxels that aren't zero are normalised.
        intensity: statistics of the channel, for CTNormalization.
    """

    scheme: Scheme
    masked: bool
    intensity: Intensity | None


@dataclass(frozen=True)
class Resampling:
    """Resampling of images, label maps or logits.

    Attributes:
        order: order of the spline.
        separate: whether the axis of thick slices is resampled separately; None: if slices are thick.
    """

    order: int
    separate: bool | None


@dataclass(frozen=True)
class GynBTNetArchitecture:
    """Our own network in a folder of nnU-Net.

    Attributes:
        preset: name of its preset.
        strides: stride (z, y, x) of each level.
        reoriented: whether it was exported for scans that nnU-Net reorients.
    """

    preset: str
    strides: tuple[Triple, ...]
    reoriented: bool


@dataclass(frozen=True)
class NnunetConfiguration:
    """A configuration of nnU-Net. Axes are nnU-Net's: those of the image file, in the order ``transpose``.

    Attributes:
        name: its name, such as ``3d_fullres``.
        architecture: network.
        spacing: voxel spacing in mm; two numbers for slices, whose distance isn't changed.
        patch_size: voxels of the window; two numbers for slices.
        transpose: axis of the image, 0 to 2 for (z, y, x), that becomes each axis of nnU-Net's arrays.
        reorients: whether the image is first reoriented so that x, y and z increase to right, front and head.
        channels: names of the channels.
        normalisations: normalisation of each channel.
        image_resampling: resampling of the image.
        logits_resampling: resampling of the network's outputs.
        outputs: outputs and structures.
        previous: configuration whose prediction this one refines; None if it refines none.
    """

    name: str
    architecture: UNetArchitecture | GynBTNetArchitecture
    spacing: tuple[float, ...]
    patch_size: tuple[int, ...]
    transpose: Triple
    reorients: bool
    channels: tuple[str, ...]
    normalisations: tuple[ChannelNormalisation, ...]
    image_resampling: Resampling
    logits_resampling: Resampling
    outputs: NnunetOutputs
    previous: str | None

    @classmethod
    def of(cls, folder: TrainedFolder, name: str) -> "NnunetConfiguration":
        """Return a configuration from the plans of a folder.

        Args:
            folder: trained folder.
            name: name of the configuration in ``plans.json``.

        Raises:
            BadInput: If something is missing, damaged or not supported.
        """
        try:
            return _parse(folder.plans, folder.dataset, name)
        except KeyError as error:
            raise BadInput(
                f"plans.json or dataset.json in {folder.path} lacks {error}; copy the folder again from where nnU-Net "
                "trained it."
            ) from error
        except (ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            raise BadInput(
                f"{folder.path} can't be predicted with: {' '.join(str(error).split())[:300]}. Predict with nnU-Net "
                "itself (nnUNetv2_predict), or copy the folder again if it is damaged."
            ) from error

    @property
    def inputs(self) -> int:
        """Channels that the network reads: those of the scan, and one for each label of a prediction to refine."""
        return len(self.channels) + (len(self.outputs.labels) if self.previous else 0)

    @property
    def window(self) -> Triple:
        """Voxels of the window along three axes."""
        first, second, third = (1, *self.patch_size)[-3:]
        return first, second, third


def _parse(plans: Mapping[str, Any], dataset: Mapping[str, Any], name: str) -> NnunetConfiguration:
    values = _inherited(plans["configurations"], name)
    _check_supported(plans, values)
    architecture = _architecture(values)
    patch_size = tuple(_whole(size) for size in values["patch_size"])
    spacing = tuple(float(length) for length in values["spacing"])
    axes = architecture.axes if isinstance(architecture, UNetArchitecture) else 3
    if not len(patch_size) == len(spacing) == axes:
        raise ValueError(f"patch_size {patch_size} and spacing {spacing} don't have the network's {axes} axes")
    check_spacing((*spacing, 1.0)[:3])
    patch: Triple = (1, *patch_size)[-3:]  # type: ignore[assignment]
    check_batch(1, patch)
    if min(patch) < 1:
        raise ValueError(f"patch_size is {patch_size}, expected at least one voxel along each axis")
    transpose = tuple(_whole(axis) for axis in plans["transpose_forward"])
    if sorted(transpose) != [0, 1, 2]:
        raise ValueError(f"transpose_forward is {transpose}, expected an order of 0, 1 and 2")
    channels = parse_channel_names(dataset["channel_names"] if "channel_names" in dataset else dataset["modality"])
    return NnunetConfiguration(
        name=name,
        architecture=architecture,
        spacing=spacing,
        patch_size=patch_size,
        transpose=(transpose[0], transpose[1], transpose[2]),
        reorients=_READERS[plans["image_reader_writer"]],
        channels=channels,
        normalisations=_normalisations(plans, values, channels),
        image_resampling=_resampling(values, "data"),
        logits_resampling=_resampling(values, "probabilities"),
        outputs=parse_outputs(dataset),
        previous=None if values.get("previous_stage") is None else str(values["previous_stage"]),
    )


def _inherited(configurations: Mapping[str, Any], name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a configuration with all inherited values."""
    if name in seen:
        raise ValueError(f"configuration {name} inherits from itself")
    own = dict(configurations[name])
    parent = own.pop("inherits_from", None)
    return {**_inherited(configurations, str(parent), (*seen, name)), **own} if parent else own


def _check_supported(plans: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    for kind, value, known in (
        ("reader of images", plans["image_reader_writer"], tuple(_READERS)),
        ("label manager", plans.get("label_manager", "LabelManager"), ("LabelManager",)),
        ("preprocessor", values.get("preprocessor_name", "DefaultPreprocessor"), ("DefaultPreprocessor",)),
    ):
        if value not in known:
            raise ValueError(f"the {kind} is {value}; known are {', '.join(known)}")


def _architecture(values: Mapping[str, Any]) -> UNetArchitecture | GynBTNetArchitecture:
    described = values.get("architecture")
    if described is not None and described["network_class_name"] in (*_OURS, _TRAINED_OURS):
        own = described["arch_kwargs"]
        strides = tuple((_whole(z), _whole(y), _whole(x)) for z, y, x in own["strides"])
        return GynBTNetArchitecture(str(own["preset"]), strides, described["network_class_name"] in _OURS)
    return parse_architecture(values)


def _normalisations(
    plans: Mapping[str, Any], values: Mapping[str, Any], channels: tuple[str, ...]
) -> tuple[ChannelNormalisation, ...]:
    old = "foreground_intensity_properties_by_modality"
    properties = plans[old] if old in plans else plans["foreground_intensity_properties_per_channel"]
    schemes, masked = values["normalization_schemes"], values["use_mask_for_norm"]
    if not len(schemes) == len(masked) == len(channels):
        raise ValueError(
            f"there are {len(schemes)} normalisations and {len(masked)} masks for {len(channels)} channels"
        )
    normalisations = []
    for i, scheme in enumerate(schemes):
        if scheme not in _SCHEMES:
            raise ValueError(f"channel {channels[i]} is normalised by {scheme}; known are {', '.join(_SCHEMES)}")
        statistics = properties[str(i)] if scheme == "CTNormalization" else None
        intensity = (
            None
            if statistics is None
            else Intensity(**{name: float(statistics[name]) for name in Intensity.__annotations__})
        )
        normalisations.append(ChannelNormalisation(scheme, bool(masked[i]), intensity))
    return tuple(normalisations)


def _resampling(values: Mapping[str, Any], kind: Literal["data", "probabilities"]) -> Resampling:
    function, arguments = values[f"resampling_fn_{kind}"], values[f"resampling_fn_{kind}_kwargs"]
    if function == _SPLINES and arguments.get("order_z", 0) == 0 and arguments.get("order", 3) in range(4):
        return Resampling(_whole(arguments.get("order", 3)), arguments.get("force_separate_z", False))
    linear = arguments.get("mode", "linear") == "linear" and arguments.get("aniso_axis_mode", "nearest-exact")
    if function == _LINEAR and linear == "nearest-exact":
        return Resampling(1, arguments.get("force_separate_z"))
    raise ValueError(f"{kind} are resampled by {function} with {dict(arguments)}, which is unknown here")


def _whole(value: Any) -> int:
    if isinstance(value, str | bool) or int(value) != value:
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)
