"""Report on the reading of contours."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gynbtnet.imaging.label_map import Overlap


@dataclass(frozen=True)
class ContourReport:
    """Report on the reading of structures from an RTSTRUCT or a SEG.

    Attributes:
        rois: name of the ROI from which each structure was read.
        missing: requested structures without a ROI that has contours.
        unmapped: names of ROIs that match no requested structure.
        overlaps: overlaps of structures that the label map had to resolve.
        notes: a sentence for each other decision.
        interpolated: number of interpolated slices of structures that are drawn on every second to fourth slice.
    """

    rois: Mapping[str, str]
    missing: tuple[str, ...]
    unmapped: tuple[str, ...]
    overlaps: tuple[Overlap, ...]
    notes: tuple[str, ...] = ()
    interpolated: Mapping[str, int] = field(default_factory=dict, hash=False)
