"""Conversion of scans."""

import hashlib
from pathlib import Path

import numpy as np

from gynbtnet.imaging.conversion.doses import write_dose
from gynbtnet.imaging.conversion.options import (
    Conversion,
    OutputFormat,
    check_is_folder,
    check_is_image_file,
    impossible_conversion,
)
from gynbtnet.imaging.dicom.ct_series import MAX_BEYOND_RANGE, read_ct_series
from gynbtnet.imaging.dicom.ct_slice import MAX_HU
from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume, write_volume
from gynbtnet.imaging.volume import Volume
from gynbtnet.runtime.errors import BadInput


def convert_scan(
    source: Path, source_format: OutputFormat, out: Path, options: Conversion, to: OutputFormat | None
) -> tuple[str, ...]:
    """Convert a scan to an image file, a CT series or, if its values are a dose, an RTDOSE.

    Args:
        source: folder with a CT series, or an image file.
        source_format: format of the source, ``ct`` or ``image``.
        out: output.
        options: options of the conversion.
        to: output format; None: by the name of ``out``.

    Returns:
        A sentence for each choice and each loss.

    Raises:
        BadInput: If the scan can't be read, or can't be converted to the format.
    """
    to = to or ("image" if is_image_file(out) else "ct")
    notes: tuple[str, ...] = ()
    if source_format == "ct":
        ct = read_ct_series(source, options.series_uid, options.repairs)
        scan, notes = ct.volume, ct.notes
    else:
        scan = read_volume(source)
    if to == "rtdose" and source_format == "image":
        write_dose(scan, out, options.read_ct(source))
        return notes
    if to == "image":
        check_is_image_file(out)
        write_volume(scan, out)
    elif to == "ct":
        check_is_folder(out, "a CT series is written to a folder, with one file per slice")
        _check_is_ct(scan, source)
        digest = hashlib.sha256(scan.array.tobytes() + repr(scan.geometry).encode()).hexdigest()
        write_ct_series(
            scan,
            out,
            patient_id="CONVERTED",
            study_description="Converted from an image file",
            series_description=f"Converted, voxels {digest[:16]}",
            seed=int(digest[:8], 16),
        )
    else:
        raise impossible_conversion(source, "a scan", to)
    return notes


def _check_is_ct(scan: Volume, source: Path) -> None:
    """Check that a scan can be read again after it is written as a CT series."""
    if len(scan.array) < 2:
        raise BadInput(f"{source} has a single slice; expected at least two, as a CT series has.")
    if np.count_nonzero(scan.array > MAX_HU) > MAX_BEYOND_RANGE * scan.array.size:
        raise BadInput(f"{source} has values up to {scan.array.max():g}; expected a CT in HU, up to {MAX_HU}.")
