"""Cohorts of scans and contours: ingestion of clinical exports and public archives, inspection, splits by patient.

A cohort is a folder with the scans, their label maps and a manifest. ``ingest`` makes one from a source in any of the
layouts that the adapters know.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
    from gynbtnet.datasets.adapters.labelled_files import read_labelled, select_structures
    from gynbtnet.datasets.adapters.layout_detection import detect_layout
    from gynbtnet.datasets.adapters.registry import ADAPTERS
    from gynbtnet.datasets.case import Case, Source
    from gynbtnet.datasets.case_contours import read_contours
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.ingest_scans import dry_run, ingest
    from gynbtnet.datasets.ingestion.dry_run import DryRun
    from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, natural_order
    from gynbtnet.datasets.ingestion.ingest_found import Ingestion
    from gynbtnet.datasets.ingestion.integrity import IntegrityReport, LabelMismatch, Problem
    from gynbtnet.datasets.ingestion.patient_table import PatientTable
    from gynbtnet.datasets.inspection import InspectedItem, Inspection, inspect_folder
    from gynbtnet.datasets.inspection_picture import write_inspection_picture
    from gynbtnet.datasets.nnunet_folds import load_split, read_folds, write_folds
    from gynbtnet.datasets.patient_key import PatientKey
    from gynbtnet.datasets.reference_contours import refuse_automatic
    from gynbtnet.datasets.split import Split, hold_out_patients, split_patients

__all__ = [
    "ADAPTERS",
    "Adapter",
    "AdapterOptions",
    "Case",
    "Cohort",
    "DryRun",
    "FoundScan",
    "FoundScans",
    "Ingestion",
    "InspectedItem",
    "Inspection",
    "IntegrityReport",
    "LabelMismatch",
    "PatientKey",
    "PatientTable",
    "Problem",
    "ScanContents",
    "Source",
    "Split",
    "detect_layout",
    "dry_run",
    "hold_out_patients",
    "ingest",
    "inspect_folder",
    "load_split",
    "natural_order",
    "read_contours",
    "read_folds",
    "read_labelled",
    "refuse_automatic",
    "select_structures",
    "split_patients",
    "write_folds",
    "write_inspection_picture",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "adapters.adapter": ["Adapter", "AdapterOptions"],
        "adapters.labelled_files": ["read_labelled", "select_structures"],
        "adapters.registry": ["ADAPTERS"],
        "case": ["Case", "Source"],
        "case_contours": ["read_contours"],
        "cohort": ["Cohort"],
        "ingest_scans": ["dry_run", "ingest"],
        "ingestion.dry_run": ["DryRun"],
        "ingestion.found_scans": ["FoundScan", "FoundScans", "ScanContents", "natural_order"],
        "ingestion.ingest_found": ["Ingestion"],
        "ingestion.integrity": ["IntegrityReport", "LabelMismatch", "Problem"],
        "ingestion.patient_table": ["PatientTable"],
        "inspection": ["InspectedItem", "Inspection", "inspect_folder"],
        "inspection_picture": ["write_inspection_picture"],
        "nnunet_folds": ["load_split", "read_folds", "write_folds"],
        "patient_key": ["PatientKey"],
        "split": ["Split", "hold_out_patients", "split_patients"],
        "adapters.layout_detection": ["detect_layout"],
        "reference_contours": ["refuse_automatic"],
    },
)
