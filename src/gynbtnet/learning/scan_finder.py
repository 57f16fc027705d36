"""The scan that a prediction was made of, and the patient whom it shows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.adapters.dicom_scans import dicom_scan
from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.found_scans import FoundScan, FoundScans, ScanContents, natural_order
from gynbtnet.datasets.ingestion.scan_identity import DICOM, assign_patients
from gynbtnet.datasets.ingestion.scan_numbering import CASE_NAME, needs_study_id
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.imaging.dicom.ct_series import select_series
from gynbtnet.imaging.files.volume_files import without_suffix
from gynbtnet.review.prediction_record import PredictionRecord
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class ScanFinder:
    """Finder of the scans of predictions, by whose patients they are identified in a cohort.

    A DICOM scan has the study ID that the cohort's key gives to its PatientID. An image file is of the cohort's patient
    in its name (``patient-003_f2.nii.gz``), otherwise its name is the patient.

    Attributes:
        cohort: cohort that the model was trained on.
        key: key of its patients.
        scans: folder to search for scans, or image file; None: the path at the time of the prediction.
        patient_id_from: see :func:`~gynbtnet.datasets.ingestion.scan_identity.assign_patients`.
    """

    cohort: Cohort
    key: PatientKey
    scans: Path | None = None
    patient_id_from: str = DICOM

    @classmethod
    def create(
        cls, cohort: Cohort, *, key: Path | None = None, scans: Path | None = None, patient_id_from: str = DICOM
    ) -> "ScanFinder":
        """Return the finder for a cohort.

        Args:
            cohort: the cohort.
            key: key of its patients, if it is stored separately; None: ``patients.csv`` in the cohort.
            scans: see the class.
            patient_id_from: see the class.

        Raises:
            BadInput: If the cohort has no key, the key is damaged, or patients are to be identified by folders and no
                folder is given.
        """
        if key is not None and not key.is_file():
            raise BadInput(
                f"There is no key {key}; give the file that `gynbtnet ingest --pseudonymise` or `gynbtnet run` wrote."
            )
        if key is None and not (cohort.folder / KEY).is_file():
            of_run = cohort.folder.parent.parent / KEY  # that of the experiment, if `gynbtnet run` made the cohort
            raise BadInput(
                f"The key of the patients isn't in the cohort {cohort.folder}; give it with --key"
                f"{f' {of_run}' if of_run.is_file() else ''}. Patients of the frozen test couldn't be recognised "
                "without it."
            )
        if patient_id_from != DICOM and scans is None:
            raise BadInput("--patient-id-from needs --scan, the folder whose subfolders identify the patients.")
        loaded = PatientKey.load(key, separate=True) if key else PatientKey.load(cohort.folder / KEY)
        return cls(cohort, loaded, None if scans is None else scans.absolute(), patient_id_from)

    def find(self, folder: Path, record: PredictionRecord) -> FoundScan:
        """Return the scan of a prediction, without its voxels.

        Args:
            folder: folder of the prediction.
            record: its record.

        Raises:
            BadInput: If the scan can't be found, has no patient, or is known to the cohort under another patient.
        """
        path = self.scans or (record.scan.path if record.scan else None)
        if path is None or not path.exists():
            raise BadInput(f"The scan of {folder} was {path}, which no longer exists; give its folder with --scan.")
        if record.input.kind == "DICOM":
            scan = dicom_scan(select_series(path, record.input.series_uid)[0])
        else:
            scan = _image_scan(path if path.is_file() else path / _name(record), record)
        sources = [self.scans if self.scans is not None and self.scans.is_dir() else scan.folder]
        identified = assign_patients(FoundScans((scan,), _read_nothing), sources, self.patient_id_from)
        return self._as_in_cohort(identified.scans[0], record)

    def with_patients_of(self, scans: Iterable[FoundScan]) -> "ScanFinder":
        """Return the finder after new patients were added to the key's file, as ingestion does.

        Image files keep their names, unless the key is stored separately.
        """
        key = PatientKey.load(self.key.path, separate=self.key.separate)
        key = key.with_patients(scan.patient for scan in scans if needs_study_id(scan, key))
        if key.study_ids != self.key.study_ids:
            key.save()
        return replace(self, key=key)

    def study_id(self, scan: FoundScan) -> str:
        """Return the study ID of the patient of a scan; an identifier that isn't in the key is returned unchanged."""
        assigned = scan.has_study_id and scan.patient in self.key.study_ids.values()
        return scan.patient if assigned else self.key.study_id(scan.patient)

    def case_of(self, scan: FoundScan, record: PredictionRecord) -> Case | None:
        """Return the cohort's case with the same scan; None if the cohort doesn't have it."""
        for case in self.cohort.cases:
            same_series = scan.series_uid is not None and case.source.series_uid == scan.series_uid
            same_file = scan.series_uid is None and scan.files[0].resolve() == case.image.resolve()
            if same_series or same_file or record.input.sha256 in case.source.sha256.values():
                return case
        return None

    def _as_in_cohort(self, scan: FoundScan, record: PredictionRecord) -> FoundScan:
        case = self.case_of(scan, record)
        if case is None or self.study_id(scan) == case.patient:
            return scan
        if scan.series_uid is None:
            return replace(scan, patient=case.patient, fraction=case.fraction, has_study_id=True)
        raise BadInput(
            f"The scan in {scan.folder} is {case.id} of the cohort, but its PatientID leads to another patient. "
            "Identify patients as for the cohort: with --patient-id-from and --scan, or with its --key."
        )


def _name(record: PredictionRecord) -> str:
    return record.scan.path.name if record.scan else ""


def _image_scan(path: Path, record: PredictionRecord) -> FoundScan:
    """Return an image file as a scan, with patient and fraction by its name."""
    if not path.is_file():
        raise BadInput(
            f"There is no {path}, from which a prediction was made; give the file or its folder with --scan."
        )
    name = without_suffix(path.name).removesuffix("_0000")
    match = CASE_NAME.fullmatch(name)
    return FoundScan(
        patient=match["patient"] if match else name,
        time_order=natural_order(path),
        folder=path.parent,
        files=(path,),
        channels=record.scan.channels if record.scan else (),
        fraction=int(match["fraction"]) if match else None,
        has_study_id=match is not None,
        synthetic=record.synthetic,
    )


def _read_nothing(scan: FoundScan) -> ScanContents:
    raise NotImplementedError(scan.path)
