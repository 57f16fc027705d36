"""The cases of an experiment and their manifest."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json

MANIFEST = "cohort.json"
_SAFE_ID = re.compile(r"[^\W_][^/\\\x00-\x1f:*?\"<>|]{0,199}")


@dataclass(frozen=True)
class Cohort:
    """Cases on disk in the layout of nnU-Net's raw datasets, with a manifest ``cohort.json``.

    ``imagesTr/<id>_0000.nii.gz`` holds a scan, ``_0001`` and so on its further channels, ``labelsTr/<id>.nii.gz`` its
    label map, ``dataset.json`` the names of labels and channels. If structures overlap, ``masksTr/<id>.nii.gz`` holds
    the drawn masks of those that lose voxels in the label map; nnU-Net doesn't look at it. Paths in the manifest are
    relative to ``folder``, and absolute once loaded; the paths of sources are absolute always. A folder without a
    manifest is no cohort: it is written last.

    Attributes:
        name: what reports call it.
        structures: label i + 1 is structures[i]; empty for scans without contours.
        cases: sorted by patient and fraction.
        folder: where it lies.
        notes: what a reader of its results has to know, a sentence each.
        channels: what each image of a case is, in their order.
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
        odd = next((case for case in self.cases if len(case.images) != len(self.channels)), None)
        if odd is not None:
            raise ValueError(
                f"case {odd.id} has {len(odd.images)} images, expected one for each of the channels "
                f"{', '.join(self.channels)}"
            )
        unsafe = next((case_id for case_id in ids if not _SAFE_ID.fullmatch(case_id)), None)
        if unsafe is not None:
            raise ValueError(f"the case id {unsafe!r} is not safe as a file name")

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({case.patient for case in self.cases}))

    @property
    def fractions(self) -> Mapping[str, Mapping[int, tuple[Case, ...]]]:
        """By patient and then by fraction the cases, all of them sorted; mostly one case a fraction."""
        found: dict[str, dict[int, tuple[Case, ...]]] = {}
        for case in sorted(self.cases, key=lambda case: (case.patient, case.fraction, case.id)):
            of_patient = found.setdefault(case.patient, {})
            of_patient[case.fraction] = (*of_patient.get(case.fraction, ()), case)
        return found

    @property
    def applicators(self) -> Mapping[str, str]:
        """By patient the applicator, where it is known; of one who had several over the fractions, all with " / "."""
        found: dict[str, set[str]] = {}
        for case in self.cases:
            if case.applicator:
                found.setdefault(case.patient, set()).add(case.applicator)
        return {patient: " / ".join(sorted(kinds)) for patient, kinds in sorted(found.items())}

    @property
    def synthetic(self) -> bool:
        """Whether any case's source says that no real patient was scanned."""
        return any(case.synthetic for case in self.cases)

    def of_patients(self, patients: Iterable[str]) -> "Cohort":
        """The same cohort with the cases of these patients only, to hand on; :meth:`save` refuses it.

        Raises:
            BadInput: where a patient is not in the cohort.
        """
        wanted = set(patients)
        unknown = wanted.difference(self.patients)
        if unknown:
            raise BadInput(
                f"{len(unknown)} of {len(wanted)} patients asked for are not in the cohort {self.folder}; "
                "was the split made from another cohort? Make it again with `gynbtnet split`."
            )
        return replace(self, cases=tuple(case for case in self.cases if case.patient in wanted))

    def case(self, case_id: str) -> Case:
        """The case of this id; KeyError where there is none."""
        for case in self.cases:
            if case.id == case_id:
                return case
        raise KeyError(case_id)

    def save(self) -> None:
        """Write ``dataset.json`` and then the manifest, each whole.

        Raises:
            ValueError: where an image or label map of ``folder`` would be left out, or lies outside it.
        """
        kept = {path for case in self.cases for path in case.images}
        if any(path not in kept for path in (self.folder / "imagesTr").glob("[!.]*.nii.gz")):
            raise ValueError(f"saving a selection of {self.folder} would hide its other cases")
        cases = tuple(case.relative_to(self.folder) for case in self.cases)
        write_json(self._nnunet_description(), self.folder / "dataset.json")
        manifest = _Manifest(self.name, self.structures, self.synthetic, self.notes, cases, self.channels)
        write_json(manifest, self.folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> "Cohort":
        """Read a cohort's manifest and see that its files are there.

        Raises:
            BadInput: where the folder is no cohort, its ingestion was interrupted, or files are absent.
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
                f"{folder / MANIFEST} names files outside its folder, the first of them {outside[0]}; expected the "
                "cohort's own files: run `gynbtnet ingest` again."
            )
        absent = [path for case in cases for path in case.files if not path.is_file()]
        if absent:
            raise BadInput(
                f"{len(absent)} files of the cohort {folder} are absent, the first of them {absent[0]}; "
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
            "labels": {"background": 0} | {name: i for i, name in enumerate(self.structures, start=1)},
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
    """Raise ValueError if a manifest contradicts itself in what it says of structures."""
    if len(set(structures)) < len(structures):
        raise ValueError("two structures of a cohort have the same name")
    for case in cases:
        others = {*case.volumes_cm3, *case.missing, *case.covered, *case.masked}.difference(structures)
        if others:
            raise ValueError(f"case {case.id} has {min(others)!r}, which is none of the cohort's structures")
        if any(not 0 <= volume < float("inf") for volume in case.volumes_cm3.values()):
            raise ValueError(f"case {case.id} has a volume that is negative or no number")
