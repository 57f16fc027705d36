"""A cohort of cases and its manifest on disk."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.imaging.files.label_names import labels_by_name
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.phrases import counted

MANIFEST = "cohort.json"
SAFE_ID = re.compile(r"[^\W_][^/\\\x00-\x1f:*?\"<>|]{0,199}")
"""Ids of cases: safe as file names."""


@dataclass(frozen=True)
class Cohort:
    """Cases on disk in the layout of nnU-Net's raw datasets, with a manifest ``cohort.json``.

    - ``imagesTr/<id>_0000.nii.gz`` is a scan, ``_0001`` and so on are its further channels.
    - ``labelsTr/<id>.nii.gz`` is its label map.
    - ``dataset.json`` names labels and channels.
    - ``masksTr/<id>.nii.gz`` has the masks of structures that lose voxels to others in the label map. nnU-Net ignores
      it.

    Paths in the manifest are relative to ``folder``, and absolute once loaded. Paths of sources are always absolute.
    The manifest is written last; a folder without it is not a cohort.

    Attributes:
        name: name in reports.
        structures: structure names; label i + 1 is structures[i]. Empty for scans without contours.
        cases: cases, sorted by patient and fraction.
        folder: folder of the cohort.
        notes: facts that a reader of its results has to know, one sentence each.
        channels: names of the images of a case, in their order.
    """

    name: str
    structures: tuple[str, ...]
    cases: tuple[Case, ...]
    folder: Path
    notes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("CT",)

    def __post_init__(self) -> None:
        ids = [case.id for case in self.cases]
        if len(set(ids)) < len(ids):
            raise ValueError("two cases of a cohort have the same id")
        mismatch = next((case for case in self.cases if len(case.images) != len(self.channels)), None)
        if mismatch is not None:
            raise ValueError(
                f"case {mismatch.id} has {counted(len(mismatch.images), 'image')}, expected one for each of the "
                f"channels {', '.join(self.channels)}"
            )
        unsafe = next((case_id for case_id in ids if not SAFE_ID.fullmatch(case_id)), None)
        if unsafe is not None:
            raise ValueError(f"the case id {unsafe!r} is not safe as a file name")

    @property
    def patients(self) -> tuple[str, ...]:
        """Study IDs of the patients, sorted."""
        return tuple(sorted({case.patient for case in self.cases}))

    @property
    def fractions(self) -> Mapping[str, Mapping[int, tuple[Case, ...]]]:
        """Cases by patient and then by fraction, sorted; a fraction usually has one case."""
        by_patient: dict[str, dict[int, tuple[Case, ...]]] = {}
        for case in sorted(self.cases, key=lambda case: (case.patient, case.fraction, case.id)):
            by_fraction = by_patient.setdefault(case.patient, {})
            by_fraction[case.fraction] = (*by_fraction.get(case.fraction, ()), case)
        return by_patient

    @property
    def applicators(self) -> Mapping[str, str]:
        """Applicator of each patient for whom it is known; several over the fractions are joined by " / "."""
        by_patient: dict[str, set[str]] = {}
        for case in self.cases:
            if case.applicator:
                by_patient.setdefault(case.patient, set()).add(case.applicator)
        return {patient: " / ".join(sorted(applicators)) for patient, applicators in sorted(by_patient.items())}

    @property
    def synthetic(self) -> bool:
        """True if the source of any case states that no real patient was scanned."""
        return any(case.synthetic for case in self.cases)

    def of_patients(self, patients: Iterable[str]) -> "Cohort":
        """Return the cohort with the cases of these patients only; :meth:`save` refuses the result.

        Raises:
            BadInput: If a patient is not in the cohort.

        Example:
            >>> cohort.patients
            ('patient-001', 'patient-002', 'patient-003', 'patient-004')
            >>> len(cohort.of_patients(cohort.patients[:2]).cases)
            2
        """
        selected = set(patients)
        unknown = selected.difference(self.patients)
        if unknown:
            raise BadInput(
                f"Not in the cohort {self.folder}: {len(unknown)} of {counted(len(selected), 'patient')}. "
                "Was the split made from another cohort? Make it again with `gynbtnet split`."
            )
        return replace(self, cases=tuple(case for case in self.cases if case.patient in selected))

    def case(self, case_id: str) -> Case:
        """Return the case with this id.

        Raises:
            KeyError: If the cohort has no such case.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise KeyError(case_id)

    def save(self) -> None:
        """Write ``dataset.json`` and then the manifest, each atomically.

        Raises:
            ValueError: If an image or label map of ``folder`` would be left out, or is outside the folder.
        """
        images = {path for case in self.cases for path in case.images}
        if any(path not in images for path in (self.folder / "imagesTr").glob("[!.]*.nii.gz")):
            raise ValueError(f"saving a selection of {self.folder} would hide its other cases")
        cases = tuple(case.relative_to(self.folder) for case in self.cases)
        write_json(self._nnunet_description(), self.folder / "dataset.json")
        manifest = _Manifest(self.name, self.structures, self.synthetic, self.notes, cases, self.channels)
        write_json(manifest, self.folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> "Cohort":
        """Read a cohort's manifest and check that its files exist.

        Raises:
            BadInput: If the folder is not a cohort, its ingestion was interrupted, or files are absent.
        """
        folder = Path(folder).absolute()
        if not folder.is_dir():
            raise BadInput(f"There is no folder {folder}; expected a cohort made by `gynbtnet ingest`.")
        manifest = read_json(
            _Manifest,
            folder / MANIFEST,
            "expected a cohort made by `gynbtnet ingest`: if it was interrupted, run it again",
        )
        cases = tuple(case.below(folder) for case in manifest.cases)
        outside = [path for case in manifest.cases for path in case.files if path.is_absolute() or ".." in path.parts]
        if outside:
            raise BadInput(
                f"{folder / MANIFEST} names files outside its folder, first {outside[0]}; expected the cohort's own "
                "files: run `gynbtnet ingest` again."
            )
        absent = [path for case in cases for path in case.files if not path.is_file()]
        if absent:
            raise BadInput(
                f"The cohort {folder} lacks {counted(len(absent), 'file')}, first {absent[0]}; "
                "run `gynbtnet ingest` again."
            )
        try:
            _check_structures(manifest.structures, cases)
            return cls(manifest.name, manifest.structures, cases, folder, manifest.notes, manifest.channels)
        except ValueError as error:
            raise BadInput(
                f"{folder / MANIFEST} is damaged or was edited ({error}); run `gynbtnet ingest` again."
            ) from error

    def _nnunet_description(self) -> dict[str, object]:
        return {
            "name": self.name,
            "channel_names": {str(i): channel for i, channel in enumerate(self.channels)},
            "labels": labels_by_name(self.structures),
            "numTraining": len(self.cases),
            "file_ending": ".nii.gz",
        }


@dataclass(frozen=True)
class _Manifest:
    name: str
    structures: tuple[str, ...]
    synthetic: bool
    notes: tuple[str, ...]
    cases: tuple[Case, ...]
    channels: tuple[str, ...] = ("CT",)


def _check_structures(structures: tuple[str, ...], cases: Iterable[Case]) -> None:
    """Raise ValueError if the cases of a manifest contradict its structures."""
    if len(set(structures)) < len(structures):
        raise ValueError("two structures of a cohort have the same name")
    for case in cases:
        unknown = {*case.volumes_cm3, *case.missing, *case.covered, *case.masked}.difference(structures)
        if unknown:
            raise ValueError(f"case {case.id} has {min(unknown)!r}, which is not among the cohort's structures")
        if any(not 0 <= volume < float("inf") for volume in case.volumes_cm3.values()):
            raise ValueError(f"case {case.id} has a volume that is negative or not finite")
