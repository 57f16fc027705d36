"""GynBTNet: contours for gynecologic brachytherapy, learned in three stages. Research use only.

The names below are the method, step by step; each is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gynbtnet.datasets.adapters.dicom_rt_export import ingest
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import split_patients
    from gynbtnet.evaluation.metrics.evaluate import evaluate
    from gynbtnet.imaging.dicom.ct_series import read_ct_series
    from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
    from gynbtnet.imaging.volume import Segmentation as Segmentation
    from gynbtnet.imaging.volume import Volume as Volume
    from gynbtnet.inference.engine.predict import predict
    from gynbtnet.inference.models.ensemble import load_model
    from gynbtnet.inference.models.model import Model
    from gynbtnet.preparation.planning.make_plan import make_plan
    from gynbtnet.preparation.prepare import prepare
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.training.stages import finetune, pretrain

_HOMES = {
    "Volume": "imaging.volume",
    "Segmentation": "imaging.volume",
    "read_ct_series": "imaging.dicom.ct_series",
    "write_rtstruct": "imaging.dicom.rt.rtstruct_writer",
    "Cohort": "datasets.cohort",
    "ingest": "datasets.adapters.dicom_rt_export",
    "split_patients": "datasets.split",
    "make_plan": "preparation.planning.make_plan",
    "prepare": "preparation.prepare",
    "load_recipe": "recipes.loading",
    "pretrain": "training.stages",
    "finetune": "training.stages",
    "Model": "inference.models.model",
    "load_model": "inference.models.ensemble",
    "predict": "inference.engine.predict",
    "evaluate": "evaluation.metrics.evaluate",
}

__all__ = [
    "Cohort",
    "Model",
    "Segmentation",
    "Volume",
    "evaluate",
    "finetune",
    "ingest",
    "load_model",
    "load_recipe",
    "make_plan",
    "predict",
    "prepare",
    "pretrain",
    "read_ct_series",
    "split_patients",
    "write_rtstruct",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gynbtnet' has no attribute {name!r}")
    return getattr(import_module(f"gynbtnet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
