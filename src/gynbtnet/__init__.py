"""GynBTNet: contours for gynecologic brachytherapy, learned in three stages. Research use only.

The names below are the method, step by step. Each is imported when it is first used.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.ingest_scans import ingest
    from gynbtnet.datasets.split import split_patients
    from gynbtnet.evaluation.metrics.evaluation import evaluate
    from gynbtnet.imaging.dicom.ct_series import read_ct_series
    from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
    from gynbtnet.imaging.files.library_images import from_nibabel, from_sitk, to_nibabel, to_sitk
    from gynbtnet.imaging.geometry import Geometry
    from gynbtnet.imaging.volume import Segmentation, Volume
    from gynbtnet.inference.engine.predict import predict
    from gynbtnet.inference.models.model import Model
    from gynbtnet.inference.models.model_loading import load_model
    from gynbtnet.networks.presets import PRESETS
    from gynbtnet.networks.unet import Encoder
    from gynbtnet.preparation.planning.make_plan import make_plan
    from gynbtnet.preparation.prepare_cohort import prepare
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
    from gynbtnet.sparse.masking import draw_active_blocks
    from gynbtnet.training.stages import finetune, pretrain

__version__ = version("gynbtnet")

__all__ = [
    "PRESETS",
    "Cohort",
    "Encoder",
    "Geometry",
    "MaskedAutoencoder",
    "Model",
    "Segmentation",
    "Volume",
    "draw_active_blocks",
    "evaluate",
    "finetune",
    "from_nibabel",
    "from_sitk",
    "ingest",
    "load_model",
    "load_recipe",
    "make_plan",
    "predict",
    "prepare",
    "pretrain",
    "read_ct_series",
    "split_patients",
    "to_nibabel",
    "to_sitk",
    "write_rtstruct",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "imaging.volume": ["Segmentation", "Volume"],
        "imaging.geometry": ["Geometry"],
        "imaging.files.library_images": ["from_nibabel", "from_sitk", "to_nibabel", "to_sitk"],
        "imaging.dicom.ct_series": ["read_ct_series"],
        "imaging.dicom.rt.rtstruct_writer": ["write_rtstruct"],
        "datasets.cohort": ["Cohort"],
        "datasets.ingest_scans": ["ingest"],
        "datasets.split": ["split_patients"],
        "networks.presets": ["PRESETS"],
        "networks.unet": ["Encoder"],
        "preparation.planning.make_plan": ["make_plan"],
        "preparation.prepare_cohort": ["prepare"],
        "sparse.masked_autoencoder": ["MaskedAutoencoder"],
        "sparse.masking": ["draw_active_blocks"],
        "recipes.loading": ["load_recipe"],
        "training.stages": ["finetune", "pretrain"],
        "inference.models.model": ["Model"],
        "inference.models.model_loading": ["load_model"],
        "inference.engine.predict": ["predict"],
        "evaluation.metrics.evaluation": ["evaluate"],
    },
)
