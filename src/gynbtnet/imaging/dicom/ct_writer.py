"""Writing of a volume as a DICOM CT series."""

from pathlib import Path

import numpy as np

from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_series
from gynbtnet.imaging.dicom.objects import CT_IMAGE, decimal_strings, new_object, seeded_uid
from gynbtnet.imaging.volume import AIR, Volume
from gynbtnet.runtime.atomic_files import atomic_write


def write_ct_series(
    volume: Volume,
    folder: Path,
    *,
    patient_id: str,
    study_description: str,
    series_description: str,
    seed: int,
    study_date: str = "",
) -> CTSeries:
    """Write a CT series with one file per slice, and read it back.

    HU are rounded; values below -1024 become -1024. UIDs follow from the seed and the texts, so that the same call
    writes the same bytes. A left-handed volume is returned with z reversed, since a CT series is read along the normal
    of its slices.

    Args:
        volume: HU (z, y, x).
        folder: folder to write; an existing one is replaced.
        patient_id: PatientID and PatientName.
        study_description: the StudyDescription.
        series_description: the SeriesDescription. The caller marks a synthetic scan in the descriptions.
        seed: seed of the UIDs.
        study_date: the StudyDate, YYYYMMDD; empty if there is none.

    Returns:
        The series as read from the files.

    Raises:
        ValueError: If the volume has a single slice, or values that are not finite.
    """
    if len(volume.array) < 2 or not np.isfinite(volume.array).all():
        raise ValueError("a CT series needs at least two slices and finite HU")
    identity = (patient_id, study_description, series_description, seed)
    geometry = volume.geometry
    axes = np.asarray(geometry.direction).reshape(3, 3).T
    stored = np.clip(np.rint(np.asarray(volume.array, np.float32)) - AIR, 0, 2**16 - 1).astype("<u2")
    with atomic_write(Path(folder)) as partial:
        partial.mkdir()
        for z, pixels in enumerate(stored):
            ct = new_object(CT_IMAGE, seeded_uid(*identity, "slice", z))
            ct.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
            ct.StudyDate = study_date
            ct.StudyTime = ct.AccessionNumber = ct.ReferringPhysicianName = ct.StudyID = ""
            ct.Modality = "CT"
            ct.StudyDescription = study_description
            ct.SeriesDescription = series_description
            ct.PatientName = ct.PatientID = patient_id
            ct.PatientBirthDate = ct.PatientSex = ""
            ct.PatientPosition = "HFS"
            ct.Laterality = ""
            ct.StudyInstanceUID = seeded_uid(*identity, "study")
            ct.SeriesInstanceUID = seeded_uid(*identity, "series")
            ct.FrameOfReferenceUID = seeded_uid(*identity, "frame of reference")
            ct.PositionReferenceIndicator = ""
            ct.SeriesNumber = 1
            ct.AcquisitionNumber = 1
            ct.InstanceNumber = z + 1
            ct.KVP = None
            ct.SliceThickness = decimal_strings(geometry.spacing[:1])[0]
            ct.ImagePositionPatient = decimal_strings(geometry.to_world((z, 0, 0)))
            ct.ImageOrientationPatient = decimal_strings(axes[:2].ravel())
            ct.PixelSpacing = decimal_strings(geometry.spacing[1:])
            ct.Rows, ct.Columns = pixels.shape
            ct.SamplesPerPixel = 1
            ct.PhotometricInterpretation = "MONOCHROME2"
            ct.BitsAllocated = ct.BitsStored = 16
            ct.HighBit = 15
            ct.PixelRepresentation = 0
            ct.RescaleSlope = 1
            ct.RescaleIntercept = AIR
            ct.RescaleType = "HU"
            ct.PixelData = pixels.tobytes()
            ct["PixelData"].VR = "OW"
            ct.save_as(partial / f"CT.{z + 1:04d}.dcm", enforce_file_format=True)
    return read_ct_series(folder)
