"""A phantom case as a clinic would export it: DICOM CT series, RTSTRUCT, RTDOSE."""

from pathlib import Path

import numpy as np

from gynbtnet.imaging.ct_writer import write_ct_series
from gynbtnet.imaging.volume import Volume
from gynbtnet.phantom.case import PhantomCase
from gynbtnet.phantom.nifti_files import NOTE


def write_clinic_scan(scan: Volume, folder: Path, identity: tuple[int, ...]) -> None:
    """Write a CT series without structures."""
    seed = int(np.random.SeedSequence(identity).generate_state(1)[0])
    write_ct_series(
        scan,
        folder,
        patient_id=f"PHANTOM-U{identity[-1] + 1:04d}",
        study_description=NOTE,
        series_description=NOTE,
        seed=seed,
    )


def write_clinic_fraction(case: PhantomCase, folder: Path, identity: tuple[int, ...]) -> None:
    raise NotImplementedError
