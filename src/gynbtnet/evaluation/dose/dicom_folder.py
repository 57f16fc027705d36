"""Doses of a DICOM folder without an ingested cohort: CT series, their RTSTRUCTs and RTDOSEs."""

from pathlib import Path

from gynbtnet.datasets.cohort import MANIFEST, Cohort
from gynbtnet.datasets.ingest_scans import ingest
from gynbtnet.imaging.dicom.rt.rtstruct_rois import list_rois
from gynbtnet.imaging.dicom.series import search_series
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput


def is_cohort(folder: Path) -> bool:
    """Return whether a folder is a cohort, or is not there at all."""
    return (folder / MANIFEST).is_file() or not folder.is_dir()


def cohort_of_folder(folder: Path, out: Path, names: StructureNames) -> Cohort:
    """Ingest the scans of a DICOM folder with all structures that have a known name.

    Args:
        folder: DICOM folder of one or several patients.
        out: folder of the cohort.
        names: table of ROI names.

    Raises:
        BadInput: If the folder has no RTSTRUCT with a known name, or a scan cannot be read.
    """
    series = [found for found in search_series(folder).series if found.modality == "RTSTRUCT"]
    rois = {roi.name for found in series for path in found.files for roi in list_rois(path) if roi.contours}
    known = {structure for roi in rois if (structure := names.resolve(roi)) is not None}
    structures = [*(name for name in names.entries if name in known), *sorted(known.difference(names.entries))]
    if not structures:
        raise BadInput(
            f"{folder} is no cohort made by `gynbtnet ingest`, and has no RTSTRUCT with a structure of a known name. "
            "Expected a cohort, or a folder with a CT series, its RTSTRUCT and its RTDOSE; map the names of ROIs with "
            "--aliases."
        )
    return ingest(folder, out, structures=structures, names=names, name="DICOM export", allow_overlap=True).cohort
