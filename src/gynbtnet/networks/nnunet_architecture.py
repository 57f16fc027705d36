"""Architecture of nnU-Net's own networks, as ``plans.json`` describes it in both of its formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet"]
Norm = Literal["instance", "batch"]

_KINDS: tuple[Kind, ...] = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
_NORMS: dict[str, Norm] = {"InstanceNorm": "instance", "BatchNorm": "batch"}
_ACTIVATIONS = ("LeakyReLU", "ReLU", "GELU", "SiLU", "ELU")
_KNOWN = {
    "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage",
    "n_conv_per_stage_decoder", "conv_bias", "norm_op", "norm_op_kwargs", "dropout_op", "dropout_op_kwargs", "nonlin",
    "nonlin_kwargs", "nonlin_first", "stem_channels", "deep_supervision", "block", "bottleneck_channels",
}  # fmt: skip
_MOST_STAGES, _MOST_CHANNELS, _MOST_DEPTH, _LARGEST_KERNEL = 12, 4096, 64, 15


@dataclass(frozen=True)
class UNetArchitecture:
    """Architecture of one of nnU-Net's U-Nets, for images of two or three axes.

    Attributes:
        kind: nnU-Net's name. ResidualEncoderUNet has residual blocks in the encoder, ResidualUNet in both halves.
        features: channels of each stage, fine to coarse.
        kernels: kernel of each stage, along the image's axes.
        strides: stride of each stage.
        depths: convolutions of each stage of the encoder; of a residual encoder, blocks.
        decoder_depths: the same for the decoder, coarse to fine.
        bias: whether convolutions have a bias.
        norm: kind of the norms; None: no norms.
        norm_eps: number added to the variance.
        norm_affine: whether norms have a learned scale and shift.
        activation: name of the activation in ``torch.nn``.
        slope: slope of LeakyReLU for negative values.
        activation_first: whether the activation precedes the norm.
        stem: channels of a residual encoder's stem; None: those of the first stage.

    Raises:
        ValueError: If the values don't describe a network.
    """

    kind: Kind
    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    depths: tuple[int, ...]
    decoder_depths: tuple[int, ...]
    bias: bool = True
    norm: Norm | None = "instance"
    norm_eps: float = 1e-5
    norm_affine: bool = True
    activation: str = "LeakyReLU"
    slope: float = 0.01
    activation_first: bool = False
    stem: int | None = None

    def __post_init__(self) -> None:
        stages = len(self.features)
        if not 2 <= stages <= _MOST_STAGES:
            raise ValueError(f"a network has 2 to {_MOST_STAGES} stages, not {stages}")
        lengths = [len(values) for values in (self.kernels, self.strides, self.depths, self.decoder_depths)]
        if lengths != [stages, stages, stages, stages - 1]:
            raise ValueError(f"a network of {stages} stages has lists of {lengths} kernels, strides and blocks")
        axes = {len(sizes) for sizes in (*self.kernels, *self.strides)}
        if axes not in ({2}, {3}):
            raise ValueError(f"kernels and strides have {sorted(axes)} axes, expected two or three")
        _check_range("channels", (*self.features, self.stem or 1), _MOST_CHANNELS)
        _check_range("convolutions of a stage", (*self.depths, *self.decoder_depths), _MOST_DEPTH)
        _check_range("kernels", [size for sizes in self.kernels for size in sizes], _LARGEST_KERNEL)
        _check_range("strides", [step for steps in self.strides for step in steps], _LARGEST_KERNEL)
        if any(size % 2 == 0 for sizes in self.kernels for size in sizes):
            raise ValueError(f"kernels are odd, not {self.kernels}")

    @property
    def axes(self) -> int:
        """Axes of the image: 2 or 3."""
        return len(self.strides[0])


def parse_architecture(configuration: Mapping[str, Any]) -> UNetArchitecture:
    """Return the architecture of a configuration of ``plans.json``.

    Args:
        configuration: the configuration with all inherited values; with ``architecture``, or of nnU-Net before 2.4 with
            ``UNet_class_name``.

    Raises:
        KeyError: If a value is missing.
        ValueError: If the network isn't one of nnU-Net's U-Nets, or is one with parts that aren't known here.
    """
    if "architecture" not in configuration:
        return _parse_old(configuration)
    described = configuration["architecture"]
    kind = _kind(str(described["network_class_name"]))
    values = described["arch_kwargs"]
    unknown = sorted(set(values) - _KNOWN)
    if unknown:
        raise ValueError(f"the network has the part {unknown[0]}, which is unknown here")
    if not str(values.get("block") or "BasicBlockD").endswith("BasicBlockD") or values.get("bottleneck_channels"):
        raise ValueError("the network has bottleneck blocks, which are unknown here")
    stages, axes = _whole(values["n_stages"]), _axes(str(values["conv_op"]))
    norm_values = values.get("norm_op_kwargs") or {}
    activation, activation_values = _last(values.get("nonlin")), values.get("nonlin_kwargs") or {}
    if activation not in _ACTIVATIONS:
        raise ValueError(f"the activation is {activation}; known are {', '.join(_ACTIVATIONS)}")
    blocks = "n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage"
    return UNetArchitecture(
        kind=kind,
        features=_per_stage(values["features_per_stage"], stages),
        kernels=_per_stage_and_axis(values["kernel_sizes"], stages, axes),
        strides=_per_stage_and_axis(values["strides"], stages, axes),
        depths=_per_stage(values[blocks], stages),
        decoder_depths=_per_stage(values["n_conv_per_stage_decoder"], stages - 1),
        bias=bool(values.get("conv_bias", False)),
        norm=_norm(values.get("norm_op")),
        norm_eps=float(norm_values.get("eps", 1e-5)),
        norm_affine=bool(norm_values.get("affine", "BatchNorm" in str(values.get("norm_op")))),
        activation=activation,
        slope=float(activation_values.get("negative_slope", 0.01)),
        activation_first=bool(values.get("nonlin_first", False)),
        stem=None if values.get("stem_channels") is None else _whole(values["stem_channels"]),
    )


def _parse_old(values: Mapping[str, Any]) -> UNetArchitecture:
    """Parse the format of nnU-Net before version 2.4, which always had instance norms and LeakyReLU."""
    depths = tuple(_whole(depth) for depth in values["n_conv_per_stage_encoder"])
    stages, axes = len(depths), len(values["patch_size"])
    base, most = _whole(values["UNet_base_num_features"]), _whole(values["unet_max_num_features"])
    return UNetArchitecture(
        kind=_kind(str(values["UNet_class_name"])),
        features=tuple(min(base * 2**stage, most) for stage in range(stages)),
        kernels=_per_stage_and_axis(values["conv_kernel_sizes"], stages, axes),
        strides=_per_stage_and_axis(values["pool_op_kernel_sizes"], stages, axes),
        depths=depths,
        decoder_depths=_per_stage(values["n_conv_per_stage_decoder"], stages - 1),
    )


def _kind(name: str) -> Kind:
    for kind in _KINDS:
        if _last(name) == kind:
            return kind
    raise ValueError(f"the network is {_last(name)}; known are {', '.join(_KINDS)}")


def _last(name: Any) -> str:
    return str(name).rsplit(".", maxsplit=1)[-1]


def _axes(conv_op: str) -> int:
    if _last(conv_op) not in ("Conv2d", "Conv3d"):
        raise ValueError(f"the network's convolution is {_last(conv_op)}; known are Conv2d and Conv3d")
    return int(conv_op[-2])


def _norm(name: Any) -> Norm | None:
    if name is None:
        return None
    kind = _NORMS.get(_last(name)[:-2])
    if kind is None:
        raise ValueError(f"the norm is {_last(name)}; known are instance and batch norms")
    return kind


def _per_stage(values: Any, stages: int) -> tuple[int, ...]:
    return (_whole(values),) * stages if isinstance(values, int) else tuple(_whole(value) for value in values)


def _per_stage_and_axis(values: Any, stages: int, axes: int) -> tuple[tuple[int, ...], ...]:
    each = [values] * stages if isinstance(values, int) else values
    return tuple(_per_stage(sizes, axes) for sizes in each)


def _whole(value: Any) -> int:
    if isinstance(value, str | bool) or int(value) != value:
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def _check_range(kind: str, values: Sequence[int], most: int) -> None:
    if not all(1 <= value <= most for value in values):
        raise ValueError(f"{kind} are from 1 to {most}, not {tuple(values)}")
