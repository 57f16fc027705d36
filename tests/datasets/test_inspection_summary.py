"""Summary of a folder, and the draft of an alias file that a user confirms."""

from pathlib import Path

import pytest

from gynbtnet.datasets.inspection import InspectedItem, Inspection
from gynbtnet.datasets.inspection_summary import list_roi_names, summarise_inspection, write_aliases_draft
from gynbtnet.imaging import StructureNames
from gynbtnet.runtime import BadInput

NAMES = StructureNames.load()
SETS = (
    ("Bladder", "zRectum_Fx1", "Blader", "Recto-sigmoid", "Ring"),
    ("Bladder", "Sigmoidd", "Ring", 'a "quoted": #name'),
)


def folder(*, problem: str = "") -> Inspection:
    ct = [InspectedItem(n + 1, f"{n}/CT", "CT", "99 × 512 × 512", "−1000 to 3000") for n in range(2)]
    sets = [InspectedItem(n + 1, f"{n}/RS.dcm", "RTSTRUCT", rois=rois) for n, rois in enumerate(SETS)]
    bad = [InspectedItem(2, "1/CT2", "CT", problem=problem)] if problem else []
    return Inspection((*ct, *sets, *bad), ())


def test_five_lines_with_the_verdict_first() -> None:
    lines = summarise_inspection(folder(), NAMES)
    assert len(lines) == 5
    assert lines[0] == "Verdict: scans with contours that can be ingested."
    assert lines[1] == "Scans: 2 scans of 2 patients can be read."
    assert "understood as bladder, rectum; 5 not understood: “Ring”" in lines[3]
    assert lines[4] == "Problems: none."


def test_the_verdict_tells_of_problems() -> None:
    lines = summarise_inspection(folder(problem="It is cut short."), NAMES)
    assert lines[0].endswith("except for the problems below.") and "1 scan can't" in lines[1]
    assert lines[4].startswith("Problems: 1 of 5 items")


@pytest.mark.parametrize(
    ("items", "verdict"),
    [
        ((InspectedItem(1, "CT", "CT", problem="x"),), "no scan here can be used."),
        ((InspectedItem(1, "CT", "CT"),), "scans without contours, for gynbtnet predict and stage 1."),
        ((InspectedItem(1, "CT", "CT"), InspectedItem(1, "RS", "RTSTRUCT", rois=("X",))), "no name of a structure"),
    ],
)
def test_verdicts(items: tuple[InspectedItem, ...], verdict: str) -> None:
    assert verdict in summarise_inspection(Inspection(items, ()), NAMES)[0]


def test_names_have_counts_and_proposals() -> None:
    listed = {one.name: (one.count, one.structure, set(one.proposals)) for one in list_roi_names(folder(), NAMES)}
    assert listed["Bladder"] == (2, "bladder", set())
    assert listed["zRectum_Fx1"] == (1, "rectum", set())
    assert listed["Blader"] == (1, None, {"bladder"})
    assert listed["Recto-sigmoid"] == (1, None, {"rectum", "sigmoid"})
    assert listed["Ring"] == (2, None, set())


def test_the_draft_confirms_nothing_until_a_line_is_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "aliases.yaml"
    write_aliases_draft(list_roi_names(folder(), NAMES), path, Path("export"))
    text = path.read_text(encoding="utf-8")
    for name in ("Bladder", "Blader", "Recto-sigmoid", "Ring", "Sigmoidd"):
        assert f'"{name}"' in text
    assert "sigmoid or rectum" in text or "rectum or sigmoid" in text
    draft = StructureNames.load(path)
    assert draft.resolve("Blader") is None and draft.resolve("Bladder") == "bladder"

    for line in ("# bladder:", '#   - "Blader"  # 1'):
        assert line in text
        text = text.replace(line, line[2:])
    path.write_text(text, encoding="utf-8")
    confirmed = StructureNames.load(path)
    assert confirmed.resolve("Blader") == "bladder" and confirmed.resolve("Sigmoidd") is None


def test_a_file_with_confirmed_names_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "aliases.yaml"
    path.write_text("bladder: [BLA]\n")
    with pytest.raises(BadInput, match="confirmed"):
        write_aliases_draft((), path, Path("export"))
    assert path.read_text() == "bladder: [BLA]\n"
