from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from gynbtnet.datasets import ingest
from gynbtnet.datasets.ingestion.applicator import PARTS, applicator_in, canonical_applicator
from gynbtnet.runtime import BadInput

from ..conftest import WriteExport

BLADDER = {"Bladder": "bladder"}


@pytest.mark.parametrize(
    ("names", "type_"),
    [
        (["Tandem_1", "Ovoid L", "Ovoid R"], "tandem+ovoids"),
        (["T&O"], "tandem+ovoids"),
        (["t + r 60 degrees"], "tandem+ring"),
        (["TandemAndRing"], "tandem+ring"),
        (["Ring", "IU 60mm", "Needle3"], "tandem+ring+needles"),
        (["VaginalCylinder35mm"], "cylinder"),
        (["Vaginal mold"], "mould"),
        (["colpostats"], "ovoids"),
        (["string", "Monitoring", "Tandemly", "GTV ringed", "applicator", "TO", ""], None),
        ([], None),
    ],
)
def test_words_in_names(names: list[str], type_: str | None) -> None:
    assert applicator_in(names) == type_


@given(st.lists(st.sampled_from(sorted(word for words in PARTS.values() for word in words)), min_size=1))
def test_the_type_of_a_type_is_the_type(words: list[str]) -> None:
    type_ = applicator_in(words)
    assert type_
    assert applicator_in([type_]) == type_
    assert applicator_in(reversed(words)) == type_
    assert applicator_in([" ".join(words).upper()]) == type_


def test_an_unknown_word_of_a_user_is_kept() -> None:
    assert canonical_applicator(" tandem & ring ") == "tandem+ring"
    assert canonical_applicator(" Geneva   special") == "Geneva special"


def write_plan(folder: Path, *, channels: tuple[str, ...] = (), setup: str = "", name: str = "RP.dcm") -> None:
    """Write an RTPLAN that refers to the RTSTRUCT in ``folder``."""
    rtstruct = pydicom.dcmread(folder / "RS.dcm")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.481.5")
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{len(channels)}.{sum(name.encode())}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plan = FileDataset(str(folder / name), {}, file_meta=meta, preamble=b"\0" * 128)
    plan.SOPClassUID, plan.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    plan.Modality, plan.PatientID = "RTPLAN", rtstruct.PatientID
    plan.SeriesInstanceUID = f"{meta.MediaStorageSOPInstanceUID}.1"
    reference, application = Dataset(), Dataset()
    reference.ReferencedSOPInstanceUID = rtstruct.SOPInstanceUID
    plan.ReferencedStructureSetSequence = [reference]
    application.ApplicationSetupType, application.ApplicationSetupName = "FLETCHER_SUIT", setup
    application.ChannelSequence = [Dataset() for _ in channels]
    for channel, applicator in zip(application.ChannelSequence, channels, strict=True):
        channel.SourceApplicatorName = applicator
    plan.ApplicationSetupSequence = [application]
    plan.save_as(folder / name, enforce_file_format=True)


def ingest_export(tmp_path: Path, **options: Any):
    (case,) = ingest(tmp_path / "export", tmp_path / "cohort", structures=["bladder"], **options).cohort.cases
    return case


def test_the_type_by_the_plan(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Tandem", "Ovoid left", "Ovoid right"))
    case = ingest_export(tmp_path)
    assert (case.applicator, case.source.applicator) == ("tandem+ovoids", "RTPLAN")
    assert str(tmp_path / "export" / "A" / "RP.dcm") in case.source.sha256


def test_the_application_setup_type_is_ignored(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Channel 1",), setup="Setup 1")
    assert ingest_export(tmp_path).applicator is None


@pytest.mark.parametrize(
    ("rois", "type_"),
    [
        ({"Tandem": "rectum"}, "tandem"),
        ({"Ring": "rectum"}, None),  # a planner's help structure may have this name
        ({"Applicator": "rectum"}, None),
    ],
)
def test_the_type_by_the_structures(
    tmp_path: Path, write_export: WriteExport, rois: dict[str, str], type_: str | None
) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER | rois)
    case = ingest_export(tmp_path)
    assert (case.applicator, case.source.applicator) == (type_, "RTSTRUCT" if type_ else None)


def test_a_ring_counts_by_its_roi_type_or_with_a_tandem(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER | {"Ring": "rectum"})
    path = tmp_path / "export" / "A" / "RS.dcm"
    rtstruct = pydicom.dcmread(path)
    rtstruct.RTROIObservationsSequence[1].RTROIInterpretedType = "BRACHY_SRC_APP"
    rtstruct.save_as(path)
    assert ingest_export(tmp_path).applicator == "ring"
    rtstruct.RTROIObservationsSequence[1].RTROIInterpretedType = "CONTROL"
    rtstruct.StructureSetROISequence[0].ROIName = "Bladder"
    rtstruct.StructureSetROISequence[1].ROIName = "Tandem and ring"
    rtstruct.save_as(path)
    assert ingest_export(tmp_path).applicator == "tandem+ring"


def test_plans_that_disagree_are_noted_and_the_type_is_unknown(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Tandem",))
    write_plan(tmp_path / "export" / "A", channels=("Cylinder",), name="RP2.dcm")
    case = ingest_export(tmp_path)
    assert case.applicator is None
    assert any("different applicators, cylinder and tandem" in note for note in case.notes)


def test_a_plan_has_priority_over_structures_and_a_table_over_the_plan(
    tmp_path: Path, write_export: WriteExport
) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER | {"Needles": "rectum"})
    write_plan(tmp_path / "export" / "A", channels=("Tandem", "Needle 1"))
    case = ingest_export(tmp_path)
    assert case.applicator == "tandem+needles"
    assert any("the RTSTRUCT needles; the RTPLAN has priority" in note for note in case.notes)
    (tmp_path / "table.csv").write_text("folder,applicator\nA,Tandem and ring\n")
    case = ingest_export(tmp_path, patient_id_from=str(tmp_path / "table.csv"))
    assert (case.applicator, case.source.applicator) == ("tandem+ring", "table")


def test_a_plan_of_other_structures_is_ignored(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER, seed=1)
    write_export(tmp_path / "export" / "B", "B", BLADDER, seed=2)
    write_plan(tmp_path / "export" / "A", channels=("Tandem",))
    cohort = ingest(tmp_path / "export", tmp_path / "cohort", structures=["bladder"]).cohort
    assert cohort.applicators == {"patient-001": "tandem"}


def test_a_damaged_plan_is_reported(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Tandem",))
    path = tmp_path / "export" / "A" / "RP.dcm"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(BadInput, match=r"RP\.dcm can't be parsed"):
        ingest_export(tmp_path)
