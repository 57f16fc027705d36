"""Prediction: from a scan and a trained model to reviewed contours, in memory or as files for the clinic.

:func:`predict` segments a volume in memory. :func:`predict_scan` reads and checks a scan, segments and reviews it, and
writes RTSTRUCT, SEG, label map, preview and manifest.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.inference.batch_prediction import predict_scans
    from gynbtnet.inference.engine.adaptation_record import AdaptationRecord, CheckedStructure
    from gynbtnet.inference.engine.cpu_optimisation.optimise import optimise_for_cpu
    from gynbtnet.inference.engine.cpu_optimisation.tuning import CpuTuning
    from gynbtnet.inference.engine.predict import predict
    from gynbtnet.inference.engine.segmenter import SegmentationResult, Segmenter
    from gynbtnet.inference.engine.settings import PredictionSettings
    from gynbtnet.inference.models.backends import prepare_network
    from gynbtnet.inference.models.encoder_export import export_encoder
    from gynbtnet.inference.models.ensemble import Ensemble
    from gynbtnet.inference.models.model import Model
    from gynbtnet.inference.models.model_archive import open_archive, write_archive
    from gynbtnet.inference.models.model_loading import load_model
    from gynbtnet.inference.models.nnunet.nnunet_folder_model import NnunetFolderModel
    from gynbtnet.inference.models.nnunet_export import export_nnunet
    from gynbtnet.inference.models.onnx_export import export_onnx
    from gynbtnet.inference.models.stu_net_export import export_stu_net
    from gynbtnet.inference.prediction import Prediction
    from gynbtnet.inference.prediction_files import (
        LABELS_FILE,
        MASKS_FOLDER,
        PREVIEW_FILE,
        RTSTRUCT_FILE,
        SEG_FILE,
        SLICER_FILE,
    )
    from gynbtnet.inference.prediction_request import PredictionRequest
    from gynbtnet.inference.preview import write_preview
    from gynbtnet.inference.quality.failure_flags import Flag, failure_flags
    from gynbtnet.inference.quality.postprocessing import postprocess
    from gynbtnet.inference.quality.predicted_dsc import QUALITY_FILE, PredictedDSC, Quality
    from gynbtnet.inference.quality.structure_features import StructureFeatures, structure_features
    from gynbtnet.inference.review import review_segmentation
    from gynbtnet.inference.scan_prediction import predict_scan
    from gynbtnet.inference.scans.scan_check import check_scan
    from gynbtnet.inference.scans.scan_input import ScanFiles, ScanInput, locate_scan, read_scan
    from gynbtnet.inference.scans.scan_search import ScanSearch, find_scans

__all__ = [
    "LABELS_FILE",
    "MASKS_FOLDER",
    "PREVIEW_FILE",
    "QUALITY_FILE",
    "RTSTRUCT_FILE",
    "SEG_FILE",
    "SLICER_FILE",
    "AdaptationRecord",
    "CheckedStructure",
    "CpuTuning",
    "Ensemble",
    "Flag",
    "Model",
    "NnunetFolderModel",
    "PredictedDSC",
    "Prediction",
    "PredictionRequest",
    "PredictionSettings",
    "Quality",
    "ScanFiles",
    "ScanInput",
    "ScanSearch",
    "SegmentationResult",
    "Segmenter",
    "StructureFeatures",
    "check_scan",
    "export_encoder",
    "export_nnunet",
    "export_onnx",
    "export_stu_net",
    "failure_flags",
    "find_scans",
    "load_model",
    "locate_scan",
    "open_archive",
    "optimise_for_cpu",
    "postprocess",
    "predict",
    "predict_scan",
    "predict_scans",
    "prepare_network",
    "read_scan",
    "review_segmentation",
    "structure_features",
    "write_archive",
    "write_preview",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "batch_prediction": ["predict_scans"],
        "engine.adaptation_record": ["AdaptationRecord", "CheckedStructure"],
        "engine.cpu_optimisation.optimise": ["optimise_for_cpu"],
        "engine.cpu_optimisation.tuning": ["CpuTuning"],
        "engine.predict": ["predict"],
        "engine.segmenter": ["SegmentationResult", "Segmenter"],
        "engine.settings": ["PredictionSettings"],
        "models.backends": ["prepare_network"],
        "models.ensemble": ["Ensemble"],
        "models.model": ["Model"],
        "models.model_archive": ["open_archive", "write_archive"],
        "models.model_loading": ["load_model"],
        "models.encoder_export": ["export_encoder"],
        "models.nnunet.nnunet_folder_model": ["NnunetFolderModel"],
        "models.nnunet_export": ["export_nnunet"],
        "models.onnx_export": ["export_onnx"],
        "models.stu_net_export": ["export_stu_net"],
        "prediction": ["Prediction"],
        "prediction_files": ["LABELS_FILE", "MASKS_FOLDER", "PREVIEW_FILE", "RTSTRUCT_FILE", "SEG_FILE", "SLICER_FILE"],
        "prediction_request": ["PredictionRequest"],
        "preview": ["write_preview"],
        "quality.failure_flags": ["Flag", "failure_flags"],
        "quality.postprocessing": ["postprocess"],
        "quality.predicted_dsc": ["PredictedDSC", "QUALITY_FILE", "Quality"],
        "quality.structure_features": ["StructureFeatures", "structure_features"],
        "review": ["review_segmentation"],
        "scan_prediction": ["predict_scan"],
        "scans.scan_check": ["check_scan"],
        "scans.scan_input": ["ScanFiles", "ScanInput", "locate_scan", "read_scan"],
        "scans.scan_search": ["ScanSearch", "find_scans"],
    },
)
