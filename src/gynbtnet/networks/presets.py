"""The sizes in which GynBTNet comes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """One size of the network.

    Attributes:
        channels: channels of each level, fine to coarse.
        depth: residual blocks at each level of encoder and decoder.
        strides: what the first block of each level divides the grid by, all axes alike, unless a plan says otherwise.
    """

    channels: tuple[int, ...]
    depth: int
    strides: tuple[int, ...]


def _stu_net(base: int, depth: int) -> Preset:
    """Six levels at five resolutions: both patches of the paper divide by 16 and not by 32, so the last stride is 1."""
    return Preset(tuple(base * factor for factor in (1, 2, 4, 8, 16, 16)), depth, (1, 2, 2, 2, 2, 1))


PRESETS: dict[str, Preset] = {
    "XS": Preset((16, 32, 64, 128, 128), depth=1, strides=(1, 2, 2, 2, 2)),
    "S": _stu_net(16, depth=1),
    "B": _stu_net(32, depth=1),
    "L": _stu_net(64, depth=2),
    "H": _stu_net(96, depth=3),
}
"""XS is ours, for small machines. S to H are the compound scaling of STU-Net (Huang et al. 2023, table 1); L, with its
440 M parameters, is the paper's network."""
