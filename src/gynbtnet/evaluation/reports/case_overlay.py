"""Overlay of a prediction on a scan without reference contours, on three planes."""

from dataclasses import dataclass

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.pictures.overlays import make_view, overlay_figure, visible_colour
from gynbtnet.pictures.picture import Picture, render_picture
from gynbtnet.pictures.planes import PLANES


@dataclass(frozen=True)
class CaseOverlay:
    """A scan with its contours on three planes.

    Attributes:
        title: name of the case.
        caption: explanation of the contours, and the volumes.
        panels: axial, coronal and sagittal picture.
        legend: name and colour (#rrggbb) of each structure that was found.
    """

    title: str
    caption: str
    panels: tuple[Picture, ...]
    legend: tuple[tuple[str, str], ...]


def prediction_overlay(title: str, image: Volume, prediction: Segmentation, names: StructureNames) -> CaseOverlay:
    """Return the overlay of a prediction, with the volume of each structure in the caption.

    Args:
        title: title of the overlay.
        image: the scan in HU.
        prediction: contours on the grid of ``image``.
        names: names and colours of the structures.
    """
    volumes = {structure: prediction.volume_cm3(structure) for structure in prediction.structures}
    present = {structure: volume for structure, volume in volumes.items() if volume}
    found = ", ".join(f"{names.display_name(structure)} {volume:.1f} cm³" for structure, volume in present.items())
    absent = ", ".join(names.display_name(structure) for structure in volumes if structure not in present)
    caption = f"Line: prediction. There is no reference to compare with. {found or 'No structure was found'}."
    caption += f" Not found: {absent}." if found and absent else ""
    view = make_view(image, prediction)
    return CaseOverlay(
        title=title,
        caption=caption,
        panels=tuple(render_picture(overlay_figure(view, names, [name]), f"{title}, {name} plane") for name in PLANES),
        legend=tuple((names.display_name(structure), visible_colour(structure, names)) for structure in present),
    )
