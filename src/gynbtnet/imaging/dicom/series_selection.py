"""Selection of one of several CT series."""

from collections.abc import Sequence

from gynbtnet.imaging.dicom.series import FoundSeries
from gynbtnet.runtime.errors import BadInput


def select_ct(
    series: Sequence[FoundSeries], where: str, *, series_uid: str | None = None, referred_uid: str | None = None
) -> tuple[FoundSeries, str | None]:
    """Select the CT series to read.

    The requested one; otherwise the one that a structure set refers to; otherwise the only one; otherwise the largest
    axial one. Largest means most slices, then most pixels, then the first by UID. A series in HU has priority over a
    map of other values.

    Args:
        series: all series of a folder.
        where: the folder, for messages.
        series_uid: the series that the user requests.
        referred_uid: the series that a structure set refers to.

    Returns:
        The series, and a sentence on the others if the size decided.

    Raises:
        BadInput: If there is no CT, the requested one doesn't exist, or its DICOMDIR lists files that don't exist.
    """
    scans = [scan for scan in series if scan.modality == "CT"]
    if not scans:
        others = ", ".join(sorted({other.modality for other in series})) or "no DICOM file"
        raise BadInput(
            f"There is no CT in {where} (found: {others}); expected a folder with the slices of a CT series."
        )
    chosen, note = _select(scans, where, series_uid, referred_uid)
    if chosen.missing_files:
        raise BadInput(
            f"The DICOMDIR in {where} lists {len(chosen.missing_files)} file(s) of the CT series that don't exist, "
            f"first {chosen.missing_files[0]}; copy the whole export."
        )
    return chosen, note


def _select(
    scans: Sequence[FoundSeries], where: str, series_uid: str | None, referred_uid: str | None
) -> tuple[FoundSeries, str | None]:
    if series_uid is not None:
        requested = [series for series in scans if series.series_uid == series_uid]
        if not requested:
            listed = "; ".join(series.summary for series in scans)
            raise BadInput(
                f"{where} has no CT series {series_uid}; it holds {listed}: choose one of these with --series UID."
            )
        return requested[0], None
    referred = [series for series in scans if referred_uid and series.series_uid == referred_uid]
    if referred:
        return referred[0], None
    largest = max(
        sorted(scans, key=lambda series: series.series_uid),
        key=lambda series: (series.in_hu, series.axial, series.images, series.matrix[0] * series.matrix[1]),
    )
    others = "; ".join(series.summary for series in scans if series is not largest)
    note = (
        f"Selected the largest of {len(scans)} CT series, {largest.summary}; select another one with "
        f"--series UID: {others}."
    )
    return largest, note if others else None
