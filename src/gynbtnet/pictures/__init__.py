"""Pictures of scans: anatomical planes, contours on them, and figures as PNG with a description.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.pictures.overlays import MARGIN_MM, View, make_view, overlay_figure, visible_colour
    from gynbtnet.pictures.picture import Picture, render_picture
    from gynbtnet.pictures.planes import PLANES, Plane, PlaneName, as_displayed, plane

__all__ = [
    "MARGIN_MM",
    "PLANES",
    "Picture",
    "Plane",
    "PlaneName",
    "View",
    "as_displayed",
    "make_view",
    "overlay_figure",
    "plane",
    "render_picture",
    "visible_colour",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "overlays": ["MARGIN_MM", "View", "make_view", "overlay_figure", "visible_colour"],
        "picture": ["Picture", "render_picture"],
        "planes": ["PLANES", "Plane", "PlaneName", "as_displayed", "plane"],
    },
)
