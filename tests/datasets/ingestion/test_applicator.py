from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from gynbtnet.datasets.adapters import dicom_rt_export
from gynbtnet.datasets.ingestion.applicator import PARTS, applicator_in, canonical_applicator
from gynbtnet.runtime.errors import BadInput

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
def test_a_type_says_itself_again(words: list[str]) -> None:
    said = applicator_in(words)
    assert said
    assert applicator_in([said]) == said
    assert applicator_in(reversed(words)) == said
    assert applicator_in([" ".join(words).upper()]) == said


def test_a_users_own_word_stands() -> None:
    assert canonical_applicator(" tandem & ring ") == "tandem+ring"
    assert canonical_applicator(" Geneva   special") == "Geneva special"


def write_plan(folder: Path, *, channels: tuple[str, ...] = (), setup: str = "", name: str = "RP.dcm") -> None:
    """An RTPLAN of the RTSTRUCT in ``folder``."""
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


def ingest(tmp_path: Path, **options: Any):
    (case,) = dicom_rt_export.ingest(tmp_path / "export", tmp_path / "cohort", structures=["bladder"], **options).cases
    return case


def test_the_plan_says_it(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Tandem", "Ovoid left", "Ovoid right"))
    case = ingest(tmp_path)
    assert (case.applicator, case.source.applicator) == ("tandem+ovoids", "RTPLAN")
    assert str(tmp_path / "export" / "A" / "RP.dcm") in case.source.sha256


def test_the_type_that_the_standard_demands_says_nothing(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Channel 1",), setup="Setup 1")
    assert ingest(tmp_path).applicator is None


@pytest.mark.parametrize(
    ("rois", "type_"),
    [
        ({"Tandem": "rectum"}, "tandem"),
        ({"Ring": "rectum"}, None),  # a planner's help structure may be called so
        ({"Applicator": "rectum"}, None),
    ],
)
def test_the_structures_say_it(
    tmp_path: Path, write_export: WriteExport, rois: dict[str, str], type_: str | None
) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER | rois)
    case = ingest(tmp_path)
    assert (case.applicator, case.source.applicator) == (type_, "RTSTRUCT" if type_ else None)


def test_a_ring_counts_where_its_type_or_a_tandem_says_so(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER | {"Ring": "rectum"})
    path = tmp_path / "export" / "A" / "RS.dcm"
    rtstruct = pydicom.dcmread(path)
    rtstruct.RTROIObservationsSequence[1].RTROIInterpretedType = "BRACHY_SRC_APP"
    rtstruct.save_as(path)
    assert ingest(tmp_path).applicator == "ring"
    rtstruct.RTROIObservationsSequence[1].RTROIInterpretedType = "CONTROL"
    rtstruct.StructureSetROISequence[0].ROIName = "Bladder"
    rtstruct.StructureSetROISequence[1].ROIName = "Tandem and ring"
    rtstruct.save_as(path)
    assert ingest(tmp_path).applicator == "tandem+ring"


def test_plans_that_disagree_say_nothing_and_are_told(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Tandem",))
    write_plan(tmp_path / "export" / "A", channels=("Cylinder",), name="RP2.dcm")
    case = ingest(tmp_path)
    assert case.applicator is None
    assert any("different applicators, cylinder and tandem" in note for note in case.notes)


def test_a_plan_outranks_the_structures_and_a_table_the_plan(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER | {"Needles": "rectum"})
    write_plan(tmp_path / "export" / "A", channels=("Tandem", "Needle 1"))
    case = ingest(tmp_path)
    assert case.applicator == "tandem+needles"
    assert any("the RTSTRUCT needles; the plan's counts" in note for note in case.notes)
    (tmp_path / "table.csv").write_text("folder,applicator\nA,Tandem and ring\n")
    case = ingest(tmp_path, patients_from=str(tmp_path / "table.csv"))
    assert (case.applicator, case.source.applicator) == ("tandem+ring", "table")


def test_a_plan_of_other_structures_is_not_asked(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER, seed=1)
    write_export(tmp_path / "export" / "B", "B", BLADDER, seed=2)
    write_plan(tmp_path / "export" / "A", channels=("Tandem",))
    cohort = dicom_rt_export.ingest(tmp_path / "export", tmp_path / "cohort", structures=["bladder"])
    assert cohort.applicators == {"patient-001": "tandem"}


def test_a_damaged_plan_is_told(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "A", BLADDER)
    write_plan(tmp_path / "export" / "A", channels=("Tandem",))
    path = tmp_path / "export" / "A" / "RP.dcm"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(BadInput, match=r"RP\.dcm can't be parsed"):
        ingest(tmp_path)
