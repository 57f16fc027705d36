"""Export of a phantom case as from a clinic: DICOM CT series, RTSTRUCT, RTDOSE."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Volume
from gynbtnet.phantom.case import PhantomCase
from gynbtnet.phantom.nifti_files import NOTE

_FIRST_FRACTION = date(2000, 1, 1)
_INTERVAL = timedelta(days=7)


def write_clinic_scan(scan: Volume, folder: Path, *, patient_id: str, seed: int) -> None:
    """Write a CT series without structures; its UIDs depend on ``seed``."""
    write_ct_series(
        scan, folder, patient_id=patient_id, study_description=NOTE, series_description=f"{NOTE} CT", seed=seed
    )


def write_clinic_fraction(case: PhantomCase, folder: Path, *, patient_id: str, fraction: int, seed: int) -> None:
    """Write ``CT/``, ``RS.dcm`` and, if the case has a dose, ``RD.dcm`` into ``folder``.

    ROI names vary as in a clinic: each patient's are drawn from the table of structure names.

    Args:
        case: the synthetic case.
        folder: folder to write.
        patient_id: PatientID of all files.
        fraction: number of the fraction, from 1, in the study description. The study date is one week later than that
            of the fraction before.
        seed: seed of the UIDs.
    """
    ct = write_ct_series(
        case.scan,
        folder / "CT",
        patient_id=patient_id,
        study_description=f"{NOTE} fraction {fraction}",
        series_description=f"{NOTE} CT",
        seed=seed,
        study_date=f"{_FIRST_FRACTION + (fraction - 1) * _INTERVAL:%Y%m%d}",
    )
    write_rtstruct(
        case.structures,
        ct,
        folder / "RS.dcm",
        names=_draw_roi_names(StructureNames.load(), patient_id),
        label="PHANTOM",
        description=f"{NOTE} structures",
        software_version="gynbtnet phantom",
    )
    if case.dose is not None:
        write_rtdose(case.dose, ct, folder / "RD.dcm", description=f"{NOTE} dose")


def _draw_roi_names(names: StructureNames, patient_id: str) -> StructureNames:
    rng = np.random.default_rng(list(patient_id.encode()))
    entries = {}
    for structure, entry in names.entries.items():
        name = str(rng.choice([structure, entry["tg263"], *entry["aliases"]]))
        entries[structure] = {**entry, "tg263": rng.choice([name, name.upper()])}
    return replace(names, entries=entries)
