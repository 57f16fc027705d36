"""Predictions of GynBTNet are never used as the contours of a person without a word."""

import shutil
from pathlib import Path

import pydicom
import pytest

from gynbtnet.datasets import Cohort, ingest
from gynbtnet.datasets.adapters.dicom_rt_export import PREDICTED
from gynbtnet.datasets.reference_contours import refuse_automatic
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.runtime import BadInput

from ..conftest import WriteExport

ROIS = {"Bladder": "bladder"}


def taken(export: Path, out: Path, **options: object) -> Cohort:
    return ingest(export, out, structures=("bladder",), **options).cohort  # type: ignore[arg-type]


def edit(path: Path, **values: str) -> None:
    header = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(header, keyword, value)
    header.save_as(path)


def test_predictions_alone_are_ingested_with_a_note_and_refused_as_reference(
    write_export: WriteExport, tmp_path: Path
) -> None:
    write_export(tmp_path / "export" / "A", "A", ROIS, automatic=True)
    write_export(tmp_path / "export" / "B", "B", ROIS, seed=1)
    cohort = taken(tmp_path / "export", tmp_path / "cohort")
    assert [case.source.automatic for case in cohort.cases] == [True, False]
    assert [PREDICTED in case.notes for case in cohort.cases] == [True, False]
    assert Cohort.load(tmp_path / "cohort") == cohort
    with pytest.raises(BadInput, match=r"1 of 2 cases in .*, first patient-001_f1, were predicted .*--allow-automatic"):
        refuse_automatic(cohort, "for training")
    refuse_automatic(cohort.of_patients(["patient-002"]), "for training")


def test_a_persons_contours_are_taken_without_asking_if_a_prediction_is_next_to_them(
    write_export: WriteExport, tmp_path: Path
) -> None:
    folder = tmp_path / "export" / "A"
    write_export(folder, "A", ROIS, automatic=True)
    predicted = pydicom.dcmread(folder / "RS.dcm")
    predicted.SOPInstanceUID = pydicom.uid.generate_uid()
    predicted.save_as(folder / "predicted.dcm")
    (folder / "RS.dcm").unlink()
    shutil.rmtree(folder / "CT")
    write_export(folder, "A", ROIS)
    (case,) = taken(tmp_path / "export", tmp_path / "cohort").cases
    assert case.source.rtstruct == folder / "RS.dcm"
    assert not case.source.automatic
    assert case.notes == ("Left out 1 structure set that GynBTNet predicted and nobody has approved.",)


@pytest.mark.parametrize(
    "change",
    [{"ApprovalStatus": "APPROVED"}, {"Manufacturer": "Vendor"}, {"SoftwareVersions": "gynbtnet phantom"}],
    ids=["approved", "stored by a planning system", "phantom"],
)
def test_contours_that_a_person_has_checked(write_export: WriteExport, tmp_path: Path, change: dict[str, str]) -> None:
    write_export(tmp_path / "export" / "A", "A", ROIS, automatic=True)
    edit(tmp_path / "export" / "A" / "RS.dcm", **change)
    (case,) = taken(tmp_path / "export", tmp_path / "cohort").cases
    assert not case.source.automatic
    assert case.notes == ()


def test_the_contours_of_a_phantom_are_its_truth(tmp_path: Path) -> None:
    write_brachytherapy(tmp_path / "export", patients=1, fractions=1, spacing=(12, 10, 10), matrix=(16, 32, 40))
    (case,) = taken(tmp_path / "export", tmp_path / "cohort").cases
    assert not case.source.automatic
