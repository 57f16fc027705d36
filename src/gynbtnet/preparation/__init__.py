"""Preparation of scans for training: plan, resampling, normalisation and the storage of prepared scans.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.preparation.body_mask import find_body
    from gynbtnet.preparation.downsampled_scan import downsample_scan, resample_mask
    from gynbtnet.preparation.foreground import foreground_voxels
    from gynbtnet.preparation.nnunet_preprocessed import import_nnunet
    from gynbtnet.preparation.normalise import clip_to_plan, normalise_channel
    from gynbtnet.preparation.planning.anisotropy import separate_axis
    from gynbtnet.preparation.planning.fingerprint import Fingerprint, take_fingerprint
    from gynbtnet.preparation.planning.intensity import Intensity
    from gynbtnet.preparation.planning.make_plan import make_plan
    from gynbtnet.preparation.planning.memory_estimate import training_bytes
    from gynbtnet.preparation.planning.nnunet_plans import from_nnunet, to_nnunet
    from gynbtnet.preparation.planning.nnunet_topology import nnunet_topology
    from gynbtnet.preparation.planning.plan import Plan
    from gynbtnet.preparation.planning.plan_files import load_plan, plan_like, save_plan
    from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
    from gynbtnet.preparation.planning.settings import Axis, CTScaling, PlanSettings, preset_strides
    from gynbtnet.preparation.planning.structure_overlaps import StructureOverlap, measure_overlaps
    from gynbtnet.preparation.planning.structure_volumes import StructureVolume, structure_volumes
    from gynbtnet.preparation.planning.target_spacing import target_spacing
    from gynbtnet.preparation.prepare_cohort import prepare
    from gynbtnet.preparation.preprocess import preprocess_volume, target_geometry
    from gynbtnet.preparation.spline_resampling import resample, resample_labels
    from gynbtnet.preparation.store import PreparedCase, PreparedCohort, write_prepared_case

__all__ = [
    "Axis",
    "CTScaling",
    "Fingerprint",
    "Intensity",
    "Plan",
    "PlanSettings",
    "PostprocessingRule",
    "PreparedCase",
    "PreparedCohort",
    "StructureOverlap",
    "StructureVolume",
    "clip_to_plan",
    "downsample_scan",
    "find_body",
    "foreground_voxels",
    "from_nnunet",
    "import_nnunet",
    "load_plan",
    "make_plan",
    "measure_overlaps",
    "nnunet_topology",
    "normalise_channel",
    "plan_like",
    "prepare",
    "preprocess_volume",
    "preset_strides",
    "resample",
    "resample_labels",
    "resample_mask",
    "save_plan",
    "separate_axis",
    "structure_volumes",
    "take_fingerprint",
    "target_geometry",
    "target_spacing",
    "to_nnunet",
    "training_bytes",
    "write_prepared_case",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "body_mask": ["find_body"],
        "downsampled_scan": ["downsample_scan", "resample_mask"],
        "foreground": ["foreground_voxels"],
        "nnunet_preprocessed": ["import_nnunet"],
        "normalise": ["clip_to_plan", "normalise_channel"],
        "planning.anisotropy": ["separate_axis"],
        "planning.fingerprint": ["Fingerprint", "take_fingerprint"],
        "planning.intensity": ["Intensity"],
        "planning.make_plan": ["make_plan"],
        "planning.memory_estimate": ["training_bytes"],
        "planning.nnunet_plans": ["from_nnunet", "to_nnunet"],
        "planning.nnunet_topology": ["nnunet_topology"],
        "planning.plan": ["Plan"],
        "planning.plan_files": ["load_plan", "plan_like", "save_plan"],
        "planning.postprocessing_rules": ["PostprocessingRule"],
        "planning.settings": ["Axis", "CTScaling", "PlanSettings", "preset_strides"],
        "planning.structure_overlaps": ["StructureOverlap", "measure_overlaps"],
        "planning.structure_volumes": ["StructureVolume", "structure_volumes"],
        "planning.target_spacing": ["target_spacing"],
        "prepare_cohort": ["prepare"],
        "preprocess": ["preprocess_volume", "target_geometry"],
        "spline_resampling": ["resample", "resample_labels"],
        "store": ["PreparedCase", "PreparedCohort", "write_prepared_case"],
    },
)
