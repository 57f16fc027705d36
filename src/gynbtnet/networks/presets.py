"""Network sizes."""

from dataclasses import dataclass

from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class Preset:
    """Size of a network.

    Attributes:
        channels: Channels of each level, fine to coarse.
        depth: Residual blocks per level, in the encoder and in the decoder.
        strides: Stride of each level's first block, the same along all axes. A plan may set other strides.
    """

    channels: tuple[int, ...]
    depth: int
    strides: tuple[int, ...]


def _stu_net(base: int, depth: int) -> Preset:
    """Return a preset with six levels at five resolutions.

    The last stride is 1, because both patches of the paper are divisible by 16 and not by 32.
    """
    return Preset(tuple(base * factor for factor in (1, 2, 4, 8, 16, 16)), depth, (1, 2, 2, 2, 2, 1))


PRESETS: dict[str, Preset] = {
    "XXS": Preset((8, 16, 32, 64, 64), depth=1, strides=(1, 2, 2, 2, 2)),
    "XS": Preset((16, 32, 64, 128, 128), depth=1, strides=(1, 2, 2, 2, 2)),
    "S": _stu_net(16, depth=1),
    "B": _stu_net(32, depth=1),
    "L": _stu_net(64, depth=2),
    "H": _stu_net(96, depth=3),
}
"""Sizes by name. XXS and XS are our own, for trials of a few steps and for small machines. S to H are the compound
scaling of STU-Net (Huang et al. 2023, table 1). L, with its 440 M parameters, is the paper's network."""


def find_preset(preset: str | Preset) -> Preset:
    """Return the preset with the given name; a preset is returned unchanged.

    Args:
        preset: name of a preset, or a preset.

    Returns:
        The preset.

    Raises:
        BadInput: If no preset has the name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise BadInput(f"There is no network preset {preset!r}; expected one of {', '.join(PRESETS)}.")
    return PRESETS[preset]
