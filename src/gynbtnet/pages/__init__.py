"""HTML pages: one self-contained file each, with tables, pictures and a viewer of slices.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.pages.html_elements import Badge
    from gynbtnet.pages.page_frame import RESEARCH_USE, html_page
    from gynbtnet.pages.patient_page import DoseTable, PatientPage, StructureRow, render_patient_page
    from gynbtnet.pages.slice_drawing import REFERENCE, StructureStyle
    from gynbtnet.pages.slice_viewer import ViewedCase, viewer

__all__ = [
    "REFERENCE",
    "RESEARCH_USE",
    "Badge",
    "DoseTable",
    "PatientPage",
    "StructureRow",
    "StructureStyle",
    "ViewedCase",
    "html_page",
    "render_patient_page",
    "viewer",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "html_elements": ["Badge"],
        "slice_drawing": ["REFERENCE", "StructureStyle"],
        "slice_viewer": ["ViewedCase", "viewer"],
        "page_frame": ["RESEARCH_USE", "html_page"],
        "patient_page": ["DoseTable", "PatientPage", "StructureRow", "render_patient_page"],
    },
)
