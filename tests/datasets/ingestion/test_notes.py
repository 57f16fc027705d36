from pathlib import Path

from gynbtnet.datasets import ingest
from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.notes import notes_on_cases
from gynbtnet.imaging import Geometry, Overlap

from ..conftest import WriteExport

STRUCTURES = ("hr_ctv", "bladder", "rectum")


def case(number: int, rtstruct: Path | None = Path("RS.dcm"), **findings: object) -> Case:
    name = f"Secret{number}"
    return Case(name, 1, name, (Path(name),), None, Source(rtstruct=rtstruct), Geometry((1, 1, 1)), **findings)  # type: ignore[arg-type]


def test_notes_count_missing_overlapping_and_unmapped_structures() -> None:
    overlap = Overlap("hr_ctv", "bladder", 1.25)
    notes = notes_on_cases(
        [
            case(1, missing=("rectum",), unmapped=("Skin", "Hohlraum")),
            case(2, missing=("hr_ctv", "rectum"), overlaps=(overlap,), unmapped=("Skin",)),
            case(3, overlaps=(overlap, Overlap("bladder", "rectum", 0.5))),
        ],
        STRUCTURES,
    )
    assert notes == (
        "Structures absent among 3 cases, whose voxels are background there: hr_ctv in 1, rectum in 2.",
        (
            "Structures that overlap among 3 cases, the second of which has the voxels in the label map: "
            "bladder and rectum by 0.50 cm³ in 1, hr_ctv and bladder by 2.50 cm³ in 2."
        ),
        "ROIs among 3 cases whose names don't map to any of the structures: “Skin” in 2, “Hohlraum” in 1.",
    )


def test_complete_cases_have_no_notes() -> None:
    assert notes_on_cases([case(1), case(2, rtstruct=None, unmapped=("liver",))], STRUCTURES) == ()


def test_an_ingested_cohort_has_the_notes(tmp_path: Path, write_export: WriteExport) -> None:
    write_export(tmp_path / "export" / "A", "Secret-A", {"Bladder": "bladder", "Rectum": "rectum"}, seed=0)
    write_export(tmp_path / "export" / "B", "Secret-B", {"Hohlraum": "bladder", "Rectum": "rectum"}, seed=1)
    for _ in range(2):  # the second time from the first cohort
        cohort = ingest(tmp_path / "export", tmp_path / "cohort", structures=("bladder", "rectum")).cohort
        missing, unmapped = Cohort.load(tmp_path / "cohort").notes
        assert cohort.notes == (missing, unmapped)
        assert missing.endswith("there: bladder in 1.") and unmapped.endswith(": “Hohlraum” in 1.")
        assert "Secret" not in missing + unmapped
