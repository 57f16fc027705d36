"""Which of several CT series is meant."""

from collections.abc import Sequence

from gynbtnet.imaging.dicom.series import FoundSeries
from gynbtnet.runtime.errors import BadInput


def select_ct(
    found: Sequence[FoundSeries], where: str, *, series_uid: str | None = None, referred_uid: str | None = None
) -> tuple[FoundSeries, str | None]:
    """The CT series to read, and a sentence on the others where size decided.

    The one asked for; else the one that a structure set refers to; else the only one; else the largest axial one: most
    slices, then most pixels, then the first by its UID. A series in HU comes before a map of anything else.

    Args:
        found: all series of a folder.
        where: the folder, for messages.
        series_uid: what the user asks for.
        referred_uid: what a structure set refers to.

    Raises:
        BadInput: where there is no CT, or not the one asked for, or files of it are missing by its DICOMDIR.
    """
    scans = [series for series in found if series.modality == "CT"]
    if not scans:
        others = ", ".join(sorted({series.modality for series in found})) or "no DICOM file at all"
        raise BadInput(
            f"There is no CT in {where} (found: {others}); expected a folder with the slices of a CT series."
        )
    chosen, note = _chosen(scans, where, series_uid, referred_uid)
    if chosen.absent:
        raise BadInput(
            f"The DICOMDIR in {where} names {len(chosen.absent)} file(s) of the CT series that are not there, first "
            f"{chosen.absent[0]}; copy the whole export."
        )
    return chosen, note


def _chosen(
    scans: Sequence[FoundSeries], where: str, series_uid: str | None, referred_uid: str | None
) -> tuple[FoundSeries, str | None]:
    if series_uid is not None:
        asked = [series for series in scans if series.series_uid == series_uid]
        if not asked:
            listed = "; ".join(series.summary for series in scans)
            raise BadInput(
                f"{where} has no CT series {series_uid}; it holds {listed}: choose one of these with --series UID."
            )
        return asked[0], None
    referred = [series for series in scans if referred_uid and series.series_uid == referred_uid]
    if referred:
        return referred[0], None
    largest = max(
        sorted(scans, key=lambda series: series.series_uid),
        key=lambda series: (series.in_hu, series.axial, series.images, series.matrix[0] * series.matrix[1]),
    )
    others = "; ".join(series.summary for series in scans if series is not largest)
    note = f"Of {len(scans)} CT series took the largest, {largest.summary}; with --series UID you get {others}."
    return largest, note if others else None
