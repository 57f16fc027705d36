"""Synthetic female pelves, with and without a brachytherapy implant, as cases and as DICOM RT or NIfTI cohorts.

They allow every step to be tried and tested without patient data.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.phantom.anatomy.patient import draw_patient
    from gynbtnet.phantom.case import PhantomCase, pelvic_geometry, phantom_case
    from gynbtnet.phantom.clinic_export import write_clinic_fraction
    from gynbtnet.phantom.cohorts import fraction_count, write_brachytherapy, write_organs, write_unlabelled
    from gynbtnet.phantom.rendering.scene import NESTED_STRUCTURES, STRUCTURES
    from gynbtnet.phantom.settings import PhantomSettings
    from gynbtnet.phantom.unusual_cases import male_pelvis, vaginal_cylinder

__all__ = [
    "NESTED_STRUCTURES",
    "STRUCTURES",
    "PhantomCase",
    "PhantomSettings",
    "draw_patient",
    "fraction_count",
    "male_pelvis",
    "pelvic_geometry",
    "phantom_case",
    "vaginal_cylinder",
    "write_brachytherapy",
    "write_clinic_fraction",
    "write_organs",
    "write_unlabelled",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "rendering.scene": ["NESTED_STRUCTURES", "STRUCTURES"],
        "anatomy.patient": ["draw_patient"],
        "case": ["PhantomCase", "pelvic_geometry", "phantom_case"],
        "clinic_export": ["write_clinic_fraction"],
        "cohorts": ["fraction_count", "write_brachytherapy", "write_organs", "write_unlabelled"],
        "settings": ["PhantomSettings"],
        "unusual_cases": ["male_pelvis", "vaginal_cylinder"],
    },
)
