"""Earlier fractions of a patient: reviews in the folders of predictions, or cases of a cohort."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.adaptation.patches import EarlierFraction
from gynbtnet.datasets.case import Case
from gynbtnet.datasets.case_contours import read_contours
from gynbtnet.datasets.cohort import MANIFEST as COHORT
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.imaging.dicom.ct_series import CTSeries, select_series
from gynbtnet.imaging.dicom.objects import dicom_errors_as_bad_input, read_header
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.review.case import open_case
from gynbtnet.review.prediction_record import read_prediction_record
from gynbtnet.review.record import REVIEW_FILE, read_review
from gynbtnet.review.reviewed_files import read_reviewed_contours
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.phrases import enumeration

_DATES = ("StudyDate", "StudyTime", "SeriesDate", "SeriesTime")
_ACCEPTED = ("accepted unchanged", "accepted edited")
_EXPECTED = "expected a folder such as review/001 of `gynbtnet review`, or a cohort"


@dataclass(frozen=True)
class _Acquired:
    """Dates and times of study and series, as DICOM writes them; empty if absent."""

    study_date: str
    study_time: str
    series_date: str
    series_time: str

    def is_before(self, other: "_Acquired") -> bool:
        """Return whether the first pair of different dates, or of times of one date, that both have is in this order.

        False if nothing distinguishes them. A time counts only with equal dates.
        """
        for own, others in (
            ((self.study_date, self.study_time), (other.study_date, other.study_time)),
            ((self.series_date, self.series_time), (other.series_date, other.series_time)),
        ):
            if own[0] and others[0]:
                if own[0] != others[0]:
                    return own[0] < others[0]
                if own[1] and others[1] and own[1] != others[1]:
                    return own[1] < others[1]
        return False

    @property
    def order(self) -> tuple[str, ...]:
        """Key that sorts scans by date and time."""
        return (
            self.study_date or self.series_date,
            self.study_time or self.series_time,
            self.series_date,
            self.series_time,
        )


@dataclass(frozen=True, repr=False)
class _Dated:
    """A fraction with the dates and the SeriesInstanceUID of its scan."""

    acquired: _Acquired
    series_uid: str
    fraction: EarlierFraction


def read_earlier_fractions(
    paths: Sequence[Path], series: CTSeries, structures: Sequence[str]
) -> tuple[EarlierFraction, ...]:
    """Read reviewed fractions of the patient of a scan, ordered by date and time.

    Only structures that a person accepted count. From a cohort, the earlier cases of the patient are taken,
    without unapproved predictions.

    Args:
        paths: folders that ``gynbtnet review`` wrote, and cohorts.
        series: scan to predict.
        structures: structures of the model.

    Returns:
        The fractions, the earliest first.

    Raises:
        BadInput: If a folder is neither, is of another patient or not earlier than the scan, or nobody accepted a
            contour in it. Also if PatientID or date is absent, so that this can't be checked.
    """
    if not series.patient_id.strip():
        raise BadInput("The scan has no PatientID, so that its patient can't be compared; leave --earlier out.")
    acquired = _acquired(series.files[0])
    found: list[_Dated] = []
    for path in paths:
        if (path / REVIEW_FILE).is_file():
            found.append(_read_review(path, series, acquired, structures))
        elif (path / COHORT).is_file():
            found += _read_cases(path, series, acquired, structures)
        else:
            raise BadInput(f"{path} has no reviewed contours; {_EXPECTED}.")
    uids = [dated.series_uid for dated in found]
    if len(set(uids)) < len(uids):
        raise BadInput("The same earlier scan is given twice; give the last review of each fraction.")
    return tuple(dated.fraction for dated in sorted(found, key=lambda dated: dated.acquired.order))


def _read_review(folder: Path, series: CTSeries, before: _Acquired, structures: Sequence[str]) -> _Dated:
    review = read_review(folder / REVIEW_FILE, _EXPECTED)
    prediction = folder.resolve().parent.parent
    scan = read_prediction_record(prediction).scan
    if scan is None or not scan.path.exists():
        raise BadInput(f"The scan of {folder} is no longer at the path where it was predicted; restore it there.")
    case = open_case(prediction)
    if case.series is None or review.scan_sha256 != case.record.input.sha256:
        raise BadInput(f"{folder} is not the review of a DICOM scan; {_EXPECTED}.")
    _check_patient(case.series.patient_id, series, folder)
    acquired = _check_earlier(_acquired(case.series.files[0]), before, folder)
    if case.series.series_uid == series.series_uid:  # with other dates, such as those of an anonymised copy
        raise BadInput(f"The scan of {folder} is the scan to predict itself; give earlier fractions only.")
    accepted = {name for name, own in review.structures.items() if own.status in _ACCEPTED}
    if accepted and not accepted.intersection(structures):
        raise BadInput(
            f"The accepted contours in {folder} are of {enumeration(sorted(accepted))}, and the model segments only "
            f"{enumeration(structures)}; leave this fraction out."
        )
    if not accepted:
        raise BadInput(f"Nobody accepted a contour in {folder}; accept those that you reviewed, and write it again.")
    drawn = read_reviewed_contours(folder, tuple(review.structures), case.scan.geometry)
    fraction = _fraction(case.scan, drawn, structures, accepted, case.record.input.sha256)
    return _Dated(acquired, case.series.series_uid, fraction)


def _read_cases(folder: Path, series: CTSeries, before: _Acquired, structures: Sequence[str]) -> list[_Dated]:
    cohort, key = Cohort.load(folder), PatientKey.load(folder / KEY)
    identifier = unicode_composed(series.patient_id.strip())
    patient = None if identifier in key.study_ids.values() else identifier  # a PatientID can look like a study ID
    own = [case for case in cohort.cases if case.patient == key.study_ids.get(identifier, patient)]
    if not own and not (folder / KEY).is_file():
        raise BadInput(
            f"The key {KEY} of the patients isn't in the cohort {folder}, so that this patient can't be found in it; "
            "give reviews of her earlier fractions instead."
        )
    if not own:
        raise BadInput(
            f"The cohort {folder} has no scan of this patient; leave it out, or ingest her earlier fractions."
        )
    dated = []
    for case in own:
        acquired = _case_acquired(case, series)
        is_itself = case.source.series_uid == series.series_uid
        if is_itself or not acquired.is_before(before) or case.source.automatic or case.labels is None:
            continue
        volume, drawn = read_volume(case.image), read_contours(case, cohort.structures)
        known = set(cohort.structures).difference(case.unlabelled)
        digest = case.sha256 or sha256_of(case.image)
        dated.append(_Dated(acquired, str(case.source.series_uid), _fraction(volume, drawn, structures, known, digest)))
    if not dated:
        raise BadInput(f"The cohort {folder} has no earlier reviewed scan of this patient; leave it out.")
    return dated


def _case_acquired(case: Case, series: CTSeries) -> _Acquired:
    """Return date and time of the scan that a case was made of, after a check of its patient."""
    folder = case.source.ct_folder
    if folder is None or case.source.series_uid is None or not folder.is_dir():
        raise BadInput(f"The DICOM scan of {case.id} isn't recorded or absent, so its date is unknown; leave it out.")
    found, _ = select_series(folder, case.source.series_uid)
    _check_patient(found.patient_id, series, folder)
    return _acquired(found.files[0])


def _fraction(
    volume: Volume, drawn: Segmentation, structures: Sequence[str], known: set[str], sha256: str
) -> EarlierFraction:
    masks = {name: drawn.mask(name) for name in structures if name in drawn.structures and name in known}
    contours, _ = paint_label_map(masks, tuple(structures), volume.geometry)
    return EarlierFraction((volume,), contours, tuple(name for name in structures if name not in masks), sha256)


def _check_patient(patient_id: str, series: CTSeries, where: Path) -> None:
    if not patient_id.strip() or patient_id.strip() != series.patient_id.strip():
        raise BadInput(
            f"The scan of {where} has another PatientID than the scan to predict, or none; give reviewed fractions of "
            "the same patient."
        )


def _check_earlier(acquired: _Acquired, before: _Acquired, where: Path) -> _Acquired:
    if not acquired.is_before(before):
        raise BadInput(f"The scan of {where} is not earlier than the scan to predict; give earlier fractions only.")
    return acquired


def _acquired(file: Path) -> _Acquired:
    """Return date and time of study and series of a slice, as DICOM writes them."""
    with dicom_errors_as_bad_input(file):
        header = read_header(file, "a CT slice", [*_DATES])
        acquired = _Acquired(*(_digits(str(header.get(keyword, "") or "")) for keyword in _DATES))
    if not acquired.study_date and not acquired.series_date:
        raise BadInput(f"The scan in {file.parent} has no date, so that the order of fractions is unknown.")
    return acquired


def _digits(value: str) -> str:
    """Return a date or time of DICOM in one form, so that ``101500`` and ``101500.000`` are equal."""
    whole, _, parts = value.strip().replace(":", "").partition(".")
    if len(whole) == 4 and "." in parts:  # a date of ACR-NEMA, such as 2026.01.31
        return whole + parts.replace(".", "")
    return f"{whole}.{parts}".rstrip("0").rstrip(".") if parts else whole
