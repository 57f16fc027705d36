"""HU of the patient's body in a CT: a change of scanner, tube voltage or reconstruction changes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.body_mask import find_body
from gynbtnet.preparation.downsampled_scan import downsample_scan
from gynbtnet.preparation.planning.plan import CT


@dataclass(frozen=True)
class BodyHU:
    """HU inside the body mask, of the scan averaged over blocks of about 4 mm.

    Attributes:
        mean: mean, HU.
        sd: standard deviation, HU.
    """

    mean: float
    sd: float


def body_hu(volumes: Sequence[Volume], channels: Sequence[str]) -> BodyHU | None:
    """Return the HU inside the body.

    Args:
        volumes: one volume per channel.
        channels: names of the channels.

    Returns:
        Mean and SD; None if the first channel is no CT, or no body is found.
    """
    if channels[0].casefold() != CT:
        return None
    coarse = downsample_scan(volumes[0])
    body = find_body(coarse, margin=0)
    if body is None or not body.any():
        return None
    inside = coarse.array[body].astype(float)
    return BodyHU(round(float(inside.mean()), 2), round(float(inside.std()), 2))
