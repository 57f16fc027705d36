"""What a model drew on a scan without truth, on three planes."""

from collections.abc import Sequence
from dataclasses import dataclass

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.overlays import View, make_view, overlay_figure, visible_colour
from gynbtnet.pictures.picture import Picture, render_picture
from gynbtnet.pictures.planes import PLANES


@dataclass(frozen=True)
class CaseOverlay:
    """One scan with its contours on three planes.

    Attributes:
        title: which case, and why it is shown.
        caption: how to read it, and its figures.
        panels: axial, coronal, sagittal.
        legend: structure and colour (#rrggbb).
    """

    title: str
    caption: str
    panels: tuple[Picture, ...]
    legend: tuple[tuple[str, str], ...]


def prediction_overlay(title: str, image: Volume, prediction: Segmentation, names: StructureNames) -> CaseOverlay:
    """What the model drew on a scan (HU) without truth, with the volumes; both on one grid."""
    volumes = {structure: prediction.volume_cm3(structure) for structure in prediction.structures}
    found = ", ".join(f"{structure} {volume:.1f} cm³" for structure, volume in volumes.items() if volume)
    absent = ", ".join(structure for structure, volume in volumes.items() if not volume)
    caption = f"Line: prediction; there is no truth to compare with. {found or 'Nothing was found'}."
    caption += f" Not found: {absent}." if found and absent else ""
    shown = [structure for structure, volume in volumes.items() if volume]
    return _overlay(title, caption, make_view(image, prediction), shown, names)


def _overlay(title: str, caption: str, seen: View, structures: Sequence[str], names: StructureNames) -> CaseOverlay:
    return CaseOverlay(
        title=title,
        caption=caption,
        panels=tuple(render_picture(overlay_figure(seen, names, [name]), f"{title}, {name} plane") for name in PLANES),
        legend=tuple((structure, visible_colour(structure, names)) for structure in structures),
    )
