"""SEG and RTSTRUCT on the headers that anonymisers and planning systems leave."""

import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from gynbtnet.imaging import StructureNames, read_ct_series, read_rtstruct, read_seg, write_rtstruct, write_seg

from .battery import CASES, boxes
from .builders import CT, rtstruct

NAMES = StructureNames.load()
TOOL = shutil.which("dciodvfy", path=sysconfig.get_path("scripts")) or shutil.which("dciodvfy")


def odd(tag: str, vr: str, value: Any) -> Callable[[Dataset, int], None]:
    """Set an element without validation of its value."""

    def change(dataset: Dataset, _: int) -> None:
        with disable_value_validation():
            dataset.add(DataElement(tag, vr, value))

    return change


PLACEHOLDER = "98765432"


def word(tag: str, text: str) -> Callable[[Dataset, int], None]:
    """Write a word instead of a number, which no library writes: overwrite a placeholder in the file."""
    change = odd(tag, "DS", PLACEHOLDER)
    change.word = text.ljust(len(PLACEHOLDER))  # type: ignore[attr-defined]
    return change


def without(*keywords: str) -> Callable[[Dataset, int], None]:
    def change(dataset: Dataset, _: int) -> None:
        for keyword in keywords:
            if keyword in dataset:
                delattr(dataset, keyword)

    return change


PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName")

HEADERS = {
    "as it should be": lambda dataset, number: None,
    "no patient module": without(*PATIENT),
    "no study module": without(*STUDY),
    "no thickness": without("SliceThickness"),
    "thickness empty": odd("SliceThickness", "DS", ""),
    "thickness 0": odd("SliceThickness", "DS", "0"),
    "thickness a word": word("SliceThickness", "REMOVED"),
    "spacing between slices a word": word("SpacingBetweenSlices", "x"),
    "study date a word": odd("StudyDate", "DA", "ANON"),
    "study date zeros": odd("StudyDate", "DA", "00000000"),
    "study date with dots": odd("StudyDate", "DA", "2020.01.02"),
    "study time a word": odd("StudyTime", "TM", "REMOVED"),
    "birth date a year": odd("PatientBirthDate", "DA", "1960"),
    "birth date that never was": odd("PatientBirthDate", "DA", "19600231"),
    "sex unknown": odd("PatientSex", "CS", "unknown"),
    "sex in full": odd("PatientSex", "CS", "FEMALE"),
    "age a number": odd("PatientAge", "AS", "61"),
    "age in words": odd("PatientAge", "AS", "over 60 years"),
    "weight a word": word("PatientWeight", "n/a"),
    "size a word": word("PatientSize", "tall"),
    "pregnancy status": odd("PregnancyStatus", "US", 9),
    "long patient id": odd("PatientID", "LO", "P" * 90),
    "two patient ids": odd("PatientID", "LO", ["A", "B"]),
    "long accession number": odd("AccessionNumber", "SH", "A" * 40),
    "name with line breaks": odd("PatientName", "PN", "A\r\nB^C"),
    "long name": odd("PatientName", "PN", "N" * 200),
    "many components": odd("PatientName", "PN", "a^b^c^d^e^f^g"),
    "unknown character set": odd("SpecificCharacterSet", "CS", "UTF-8"),
    "default character set": odd("SpecificCharacterSet", "CS", "ISO_IR 6"),
    "other patient ids": odd("OtherPatientIDs", "LO", "X" * 100),
    "lossy without a ratio": odd("LossyImageCompression", "CS", "01"),
    "physician of a wrong kind": odd("ReferringPhysicianName", "PN", "REMOVED^^^^^^"),
    "manufacturer too long": odd("Manufacturer", "LO", "M" * 100),
    "no position reference": without("PositionReferenceIndicator"),
    "specimen of a wrong kind": odd("ContainerIdentifier", "LO", "x" * 99),
}


def errors(path: Path) -> list[str]:
    run = subprocess.run([TOOL, str(path)], capture_output=True, check=False)
    texts = (run.stdout + run.stderr).decode(errors="replace")
    return [line for line in texts.splitlines() if line.startswith("Error")]


def written_on(folder: Path) -> None:
    """Write SEG and RTSTRUCT of the bladder on a CT; both come back the same and are valid."""
    ct = read_ct_series(folder / "in")
    drawn, _ = read_rtstruct(folder / "in" / "RS.dcm", ct, ("bladder",), NAMES)
    assert drawn.mask("bladder").sum() == 640
    metadata: dict[str, Any] = {"names": NAMES, "description": "test", "software_version": "1"}
    write_rtstruct(drawn, ct, folder / "out.dcm", label="test", contour_style="exact", **metadata)
    write_seg(drawn, ct, folder / "seg.dcm", **metadata)
    for path, read in ((folder / "out.dcm", read_rtstruct), (folder / "seg.dcm", read_seg)):
        assert np.array_equal(read(path, ct, ("bladder",), NAMES)[0].labels.array, drawn.labels.array)
        assert pydicom.dcmread(path).StudyInstanceUID == ct.study_uid
        if TOOL is not None:
            assert errors(path) == []


ONE_OF_THREE = [
    pytest.param(header, marks=pytest.mark.slow if number % 3 else ()) for number, header in enumerate(HEADERS)
]
"""All headers; two of three are slow tests."""


@pytest.mark.parametrize("header", ONE_OF_THREE)
def test_segmentations_are_written_on_any_header(tmp_path, header):
    made = CT(tmp_path / "in", change=HEADERS[header])
    if text := getattr(HEADERS[header], "word", ""):
        for path in (tmp_path / "in").glob("CT*.dcm"):
            path.write_bytes(path.read_bytes().replace(PLACEHOLDER.encode(), text.encode()))
    rtstruct(tmp_path / "in" / "RS.dcm", made, [(1, "Bladder", boxes(made, range(2, 10), 10, 19, 8, 15))])
    written_on(tmp_path)


@pytest.mark.parametrize("kind", ["seg_without_slice_thickness", "seg_anonymised_dates"])
def test_segmentations_of_the_battery_are_written(tmp_path, kind):
    CASES[kind][0](tmp_path / "in")
    written_on(tmp_path)


def test_valid_values_are_kept_and_others_emptied(tmp_path):
    def change(dataset: Dataset, number: int) -> None:
        dataset.PatientName, dataset.StudyTime, dataset.PatientSex = "Doe^Jane", "120000.5", "F"
        odd("PatientBirthDate", "DA", "1960")(dataset, number)

    made = CT(tmp_path / "in", change=change)
    rtstruct(tmp_path / "in" / "RS.dcm", made, [(1, "Bladder", boxes(made, range(2, 10), 10, 19, 8, 15))])
    written_on(tmp_path)
    for name in ("out.dcm", "seg.dcm"):
        found = pydicom.dcmread(tmp_path / name)
        assert (found.PatientID, str(found.PatientName), found.PatientSex) == ("CASE", "Doe^Jane", "F")
        assert (str(found.StudyTime), str(found.PatientBirthDate)) == ("120000.5", "")
    measures = pydicom.dcmread(tmp_path / "seg.dcm").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == 3


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Müller^Łucja"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞"),
        ("ISO 2022 IR 100", "Müller"),
    ],
)
def test_names_keep_their_characters(tmp_path, character_set, name):
    def change(dataset: Dataset, _: int) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = character_set, name

    made = CT(tmp_path / "in", change=change)
    rtstruct(tmp_path / "in" / "RS.dcm", made, [(1, "Bladder", boxes(made, range(2, 10), 10, 19, 8, 15))])
    written_on(tmp_path)
    for file in ("out.dcm", "seg.dcm"):
        assert str(pydicom.dcmread(tmp_path / file).PatientName) == name
