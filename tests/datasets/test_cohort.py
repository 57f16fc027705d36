import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging import Geometry, Overlap, Volume, write_volume
from gynbtnet.runtime import BadInput

GRID = Geometry((3, 4, 5), (2.0, 1.0, 1.5), (1.0, 2.0, 3.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    folder = tmp_path / "cohort"
    cases = []
    for patient, fraction in (("a", 1), ("a", 2), ("b", 1)):
        case_id = f"{patient}_f{fraction}"
        image, labels = folder / "imagesTr" / f"{case_id}_0000.nii.gz", folder / "labelsTr" / f"{case_id}.nii.gz"
        for path in (image, labels):
            write_volume(Volume(np.zeros(GRID.shape, np.uint8), GRID), path)
        source = Source(
            Path("/elsewhere"), "1.2.3", Path("/elsewhere/RS.dcm"), {"/elsewhere": "abc"}, synthetic=patient == "b"
        )
        overlaps = (Overlap("hr_ctv", "bladder", 0.5),)
        cases.append(
            Case(
                patient,
                fraction,
                case_id,
                (image,),
                labels,
                source,
                GRID,
                {"bladder": 1.5},
                ("hr_ctv",),
                overlaps,
                ("Skin",),
            )
        )
    cohort = Cohort("name", ("hr_ctv", "bladder"), tuple(cases), folder, ("a note",))
    cohort.save()
    return cohort


def test_save_and_load(cohort: Cohort) -> None:
    assert Cohort.load(cohort.folder) == cohort
    assert cohort.patients == ("a", "b")
    assert cohort.synthetic
    assert not cohort.of_patients(["a"]).synthetic


OLD_MANIFEST = """{
 "name": "clinic",
 "structures": ["bladder"],
 "synthetic": true,
 "notes": ["a note"],
 "cases": [{
  "patient": "patient-001", "fraction": 1, "id": "a_f1",
  "images": ["imagesTr/a_f1_0000.nii.gz"], "labels": "labelsTr/a_f1.nii.gz",
  "source": {
   "ct_folder": "/source/CT", "series_uid": "1.2.3", "rtstruct": "/source/RS.dcm", "sha256": {"/source/CT": "abc"},
   "synthetic": true, "applicator": "RTPLAN"
  },
  "geometry": {
   "shape": [3, 4, 5], "spacing": [2.0, 1.0, 1.5], "origin": [1.0, 2.0, 3.0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]
  },
  "volumes_cm3": {"bladder": 1.5}, "missing": [],
  "overlaps": [{"earlier": "uterus", "later": "bladder", "volume_cm3": 0.5}],
  "unmapped": ["Skin"], "notes": [], "applicator": "tandem+ring", "position": "HFS", "sha256": "def",
  "covered": [], "masks": null, "masked": []
 }],
 "channels": ["CT"]
}"""


def test_a_manifest_of_the_first_version_is_read(cohort: Cohort) -> None:
    """Its JSON names are those of cohorts that exist on disk."""
    (cohort.folder / "cohort.json").write_text(OLD_MANIFEST)
    (case,) = Cohort.load(cohort.folder).cases
    assert case.source == Source(
        Path("/source/CT"), "1.2.3", Path("/source/RS.dcm"), {"/source/CT": "abc"}, synthetic=True, applicator="RTPLAN"
    )
    assert (case.applicator, case.position, case.volumes_cm3) == ("tandem+ring", "HFS", {"bladder": 1.5})
    assert case.overlaps == (Overlap("uterus", "bladder", 0.5),)


def test_a_moved_cohort_finds_its_files(cohort: Cohort, tmp_path: Path) -> None:
    moved = cohort.folder.rename(tmp_path / "moved")
    assert Cohort.load(moved).cases[0].image == moved / "imagesTr" / "a_f1_0000.nii.gz"


def test_the_layout_is_nnunets(cohort: Cohort) -> None:
    description = json.loads((cohort.folder / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "hr_ctv": 1, "bladder": 2}
    assert description["channel_names"] == {"0": "CT"}
    assert description["numTraining"] == len(list((cohort.folder / "imagesTr").iterdir())) == 3
    assert description["file_ending"] == ".nii.gz"


def test_a_selection_keeps_the_manifest(cohort: Cohort) -> None:
    selection = cohort.of_patients(["a"])
    assert [case.id for case in selection.cases] == ["a_f1", "a_f2"]
    with pytest.raises(ValueError, match="selection"):
        selection.save()
    with pytest.raises(BadInput, match="1 of 2 patients"):
        cohort.of_patients(["a", "nobody"])


def test_two_cases_of_one_id_are_refused(cohort: Cohort) -> None:
    with pytest.raises(ValueError, match="same id"):
        replace(cohort, cases=cohort.cases[:1] * 2)


def test_case_by_id(cohort: Cohort) -> None:
    assert cohort.case("b_f1").patient == "b"
    with pytest.raises(KeyError):
        cohort.case("c_f1")


def test_an_absent_or_interrupted_cohort_is_refused(cohort: Cohort) -> None:
    with pytest.raises(BadInput, match="no folder"):
        Cohort.load(cohort.folder / "absent")
    (cohort.folder / "cohort.json").unlink()
    with pytest.raises(BadInput, match="interrupted"):
        Cohort.load(cohort.folder)


def test_absent_files_are_reported(cohort: Cohort) -> None:
    assert cohort.cases[1].labels
    cohort.cases[1].labels.unlink()
    with pytest.raises(BadInput, match=r"1 file, .*labelsTr"):
        Cohort.load(cohort.folder)


@pytest.mark.parametrize("field", ["name", "structures", "cases"])
def test_a_damaged_manifest_is_reported_with_its_field(cohort: Cohort, field: str) -> None:
    path = cohort.folder / "cohort.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {field: 1}))
    with pytest.raises(BadInput, match=field):
        Cohort.load(cohort.folder)
    del manifest[field]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match=field):
        Cohort.load(cohort.folder)


def test_a_manifest_cut_short_is_refused(cohort: Cohort) -> None:
    path = cohort.folder / "cohort.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match="not JSON"):
        Cohort.load(cohort.folder)


def test_patients_hold_fractions_which_hold_cases(cohort: Cohort) -> None:
    assert {
        patient: {n: [case.id for case in cases] for n, cases in fractions.items()}
        for patient, fractions in cohort.fractions.items()
    } == {"a": {1: ["a_f1"], 2: ["a_f2"]}, "b": {1: ["b_f1"]}}


def test_several_channels(cohort: Cohort) -> None:
    case, *others = cohort.cases
    second = case.image.with_name("a_f1_0001.nii.gz")
    write_volume(Volume(np.zeros(GRID.shape, np.uint8), GRID), second)
    with pytest.raises(ValueError, match="expected one for each of the channels"):
        replace(cohort, cases=(replace(case, images=(case.image, second)), *others))
    for path in [path for other in others for path in other.files]:
        path.unlink()
    with_mr = replace(cohort, cases=(replace(case, images=(case.image, second)),), channels=("CT", "MR"))
    with_mr.save()
    assert Cohort.load(cohort.folder) == with_mr
    assert json.loads((cohort.folder / "dataset.json").read_text())["channel_names"] == {"0": "CT", "1": "MR"}
    second.unlink()
    with pytest.raises(BadInput, match=r"1 file, .*_0001"):
        Cohort.load(cohort.folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"volumes_cm3": {"other": 1.0}}, "has 'other', which is not among the cohort's structures"),
        ({"missing": ("other",)}, "has 'other', which is not among the cohort's structures"),
        ({"volumes_cm3": {"bladder": -1.0}}, "a volume that is negative or not finite"),
    ],
)
def test_cases_that_contradict_their_cohort_are_refused(
    cohort: Cohort, changes: dict[str, object], message: str
) -> None:
    cohort.save()
    manifest = json.loads((cohort.folder / "cohort.json").read_text())
    manifest["cases"][0] |= changes
    (cohort.folder / "cohort.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match=message):
        Cohort.load(cohort.folder)


def test_structures_of_one_name_are_refused(cohort: Cohort) -> None:
    cohort.save()
    manifest = json.loads((cohort.folder / "cohort.json").read_text())
    manifest["structures"].append(manifest["structures"][0])
    (cohort.folder / "cohort.json").write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="two structures of a cohort have the same name"):
        Cohort.load(cohort.folder)
