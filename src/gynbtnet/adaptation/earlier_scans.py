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
from gynbtnet.imaging.files.mask_folder import read_mask_folder
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.label_map import paint_label_map
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.inference.prediction_files import LABELS_FILE, MASKS_FOLDER
from gynbtnet.review.case import open_case
from gynbtnet.review.record import REVIEW_FILE, read_review
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of

_DATES = ("StudyDate", "StudyTime", "SeriesDate", "SeriesTime")
_ACCEPTED = ("accepted unchanged", "accepted edited")
_EXPECTED = "expected a folder such as review/001 of `gynbtnet review`, or a cohort"


@dataclass(frozen=True, repr=False)
class _Dated:
    """A fraction with the date and time of its scan."""

    acquired: tuple[str, ...]
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
    digests = [dated.fraction.sha256 for dated in found]
    if len(set(digests)) < len(digests):
        raise BadInput("The same earlier scan is given twice; give the last review of each fraction.")
    return tuple(dated.fraction for dated in sorted(found, key=lambda dated: dated.acquired))


def _read_review(folder: Path, series: CTSeries, before: tuple[str, ...], structures: Sequence[str]) -> _Dated:
    review = read_review(folder / REVIEW_FILE, _EXPECTED)
    case = open_case(folder.resolve().parent.parent)
    if case.series is None or review.scan_sha256 != case.record.input.sha256:
        raise BadInput(f"{folder} is not the review of a DICOM scan; {_EXPECTED}.")
    _check_patient(case.series.patient_id, series, folder)
    acquired = _check_earlier(_acquired(case.series.files[0]), before, folder)
    accepted = {name for name, own in review.structures.items() if own.status in _ACCEPTED}
    if not accepted.intersection(structures):
        raise BadInput(f"Nobody accepted a contour in {folder}; accept those that you reviewed, and write it again.")
    drawn = _read_drawn(folder, case.record.structures)
    return _Dated(acquired, _fraction(case.scan, drawn, structures, accepted, case.record.input.sha256))


def _read_drawn(folder: Path, structures: tuple[str, ...]) -> Segmentation:
    if (folder / MASKS_FOLDER).is_dir():
        return read_mask_folder(folder / MASKS_FOLDER, structures)
    return Segmentation(as_whole_labels(read_volume(folder / LABELS_FILE), folder / LABELS_FILE), structures)


def _read_cases(folder: Path, series: CTSeries, before: tuple[str, ...], structures: Sequence[str]) -> list[_Dated]:
    cohort, key = Cohort.load(folder), PatientKey.load(folder / KEY)
    own = [case for case in cohort.cases if case.patient == key.study_id(series.patient_id.strip())]
    if not own:
        raise BadInput(
            f"The cohort {folder} has no scan of this patient; leave it out, or ingest her earlier fractions."
        )
    dated = []
    for case in own:
        acquired = _case_acquired(case, series)
        if acquired >= before or case.source.automatic or case.labels is None:
            continue
        volume, drawn = read_volume(case.image), read_contours(case, cohort.structures)
        known = set(cohort.structures).difference(case.unlabelled)
        digest = case.sha256 or sha256_of(case.image)
        dated.append(_Dated(acquired, _fraction(volume, drawn, structures, known, digest)))
    if not dated:
        raise BadInput(f"The cohort {folder} has no earlier reviewed scan of this patient; leave it out.")
    return dated


def _case_acquired(case: Case, series: CTSeries) -> tuple[str, ...]:
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


def _check_earlier(acquired: tuple[str, ...], before: tuple[str, ...], where: Path) -> tuple[str, ...]:
    if acquired >= before:
        raise BadInput(f"The scan of {where} is not earlier than the scan to predict; give earlier fractions only.")
    return acquired


def _acquired(file: Path) -> tuple[str, ...]:
    """Return date and time of study and series of a slice, as DICOM writes them."""
    with dicom_errors_as_bad_input(file):
        header = read_header(file, "a CT slice", [*_DATES])
        dates = tuple(str(header.get(keyword, "") or "") for keyword in _DATES)
    if not dates[0] and not dates[2]:
        raise BadInput(f"The scan in {file.parent} has no date, so that the order of fractions is unknown.")
    return dates
