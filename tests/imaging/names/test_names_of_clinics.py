"""Names as clinics write them: words around a structure are ignored, everything else is left alone."""

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.imaging.names.name_cores import find_cores, whole_core
from gynbtnet.imaging.names.spelling import plain_letters
from gynbtnet.imaging.roi_matching import RoiMatch, match_rois
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime import BadInput

NAMES = StructureNames.load()
FIELD = Path(__file__).parent / "names_of_clinics.csv"
ALIASES = sorted(
    {
        (name, structure)
        for structure, entry in NAMES.entries.items()
        for name in (structure, entry["name"], entry["tg263"], *entry["aliases"])
    }
)
IN_LANGUAGES = sorted(
    {
        (name, structure)
        for structure, entry in NAMES.entries.items()
        for names in entry.get("languages", {}).values()
        for name in names
        if not structure.endswith(("_left", "_right"))
    }
)
PREFIXES = ["z", "z_", "_", "x_", "OAR ", "1_", "Fx2 ", "01 "]
SUFFIXES = [
    *(
        "_Fx1",
        " Fx 2",
        "_2",
        " 3",
        " HDR",
        "_BT",
        " (MRI)",
        "_CT",
        "_final",
        " plan 1",
        "_v2",
        " F3",
        "_20230105",
        " KM",
    ),
    *(
        "_2023-01-05",
        " 12.03.2021",
        " 12/03/2021",
        "_12Mar2021",
        " approved",
        " adapt",
        " #2",
        " 2nd fraction",
        "_2 MR",
    ),
    *(" reader A", " Obs 1", " contour"),
]
HELPERS = [
    *(
        "_PRV",
        "PRV05",
        "-PTV",
        "_opt",
        " Opt",
        "_ring",
        " avoid",
        "_wall",
        "+5mm",
        " 3 mm",
        "_crop",
        "~",
        "_ant",
        " inf",
    ),
    *(
        " minus CTV",
        " D2cc",
        "_sub",
        "-rest",
        " air",
        " 7Gy",
        "?",
        " 50%",
        "_eval",
        " 1/3",
        "_LN",
        "_old",
        " auto",
        "_full",
    ),
]


def written_names() -> list[tuple[str, str]]:
    with FIELD.open(encoding="utf-8", newline="") as file:
        return [(row["name"], row["means"]) for row in csv.DictReader(file)]


def test_the_table_has_some_forty_structures_in_the_languages_of_europe() -> None:
    languages = {code for entry in NAMES.entries.values() for code in entry.get("languages", {})}
    assert len(NAMES.entries) >= 40
    assert {"de", "fr", "es", "it", "pt", "nl", "da", "no", "sv", "fi", "pl", "cs", "hu", "ro", "tr", "el"} <= languages
    assert set(NAMES.entries["bladder"]["languages"]) >= languages - {"en", "la"}


@pytest.mark.parametrize(("name", "means"), written_names())
def test_names_that_were_met(name: str, means: str) -> None:
    assert (NAMES.resolve(name) or "") == means


def test_no_core_belongs_to_two_structures() -> None:
    """The order of the table doesn't matter."""
    seen: dict[object, str] = {}
    for name, structure in (*ALIASES, *IN_LANGUAGES):
        core = whole_core(name, sided=structure.endswith(("_left", "_right")))
        assert core is None or seen.setdefault(core, structure) == structure, name


@given(st.sampled_from(ALIASES), st.sampled_from(["", *PREFIXES]), st.lists(st.sampled_from(SUFFIXES), max_size=2))
@settings(max_examples=300, deadline=None)
def test_words_around_a_name_are_ignored(alias: tuple[str, str], prefix: str, suffixes: list[str]) -> None:
    name, structure = alias
    assert NAMES.resolve(prefix + name + "".join(suffixes)) == structure


@given(st.sampled_from(IN_LANGUAGES), st.sampled_from(["", "_Fx1", " HDR", "_2"]), st.sampled_from("ulc"))
@settings(max_examples=200, deadline=None)
def test_languages_in_any_case_and_coding(alias: tuple[str, str], suffix: str, case: str) -> None:
    name, structure = alias
    cased = {"u": name.upper(), "l": name.lower(), "c": name}[case]
    for form in ("NFC", "NFD"):
        assert NAMES.resolve(unicodedata.normalize(form, cased) + suffix) == structure


@given(st.sampled_from(IN_LANGUAGES))
@settings(max_examples=200, deadline=None)
def test_accents_may_be_missing(alias: tuple[str, str]) -> None:
    name, structure = alias
    assert NAMES.resolve(plain_letters(name)) == structure


@given(st.sampled_from([*ALIASES, *IN_LANGUAGES]), st.sampled_from(HELPERS), st.sampled_from(["", "_Fx1", " 2"]))
@settings(max_examples=300, deadline=None)
def test_helpers_are_left_alone(alias: tuple[str, str], helper: str, suffix: str) -> None:
    assert NAMES.resolve(alias[0] + helper + suffix) is None


@given(st.sampled_from(ALIASES), st.sampled_from(ALIASES), st.sampled_from(["+", "-", "_", " ", " and ", "&"]))
@settings(max_examples=300, deadline=None)
def test_two_structures_are_none(first: tuple[str, str], second: tuple[str, str], between: str) -> None:
    """Unless together they are the name of a third one, as sigmoid and colon are."""
    resolved = NAMES.resolve(first[0] + between + second[0])
    assert resolved is None or resolved in (first[1], second[1])
    if resolved is not None:
        joined = plain_letters(first[0] + second[0]).replace(" ", "").replace("_", "").replace("-", "")
        assert joined in {plain_letters(name).replace(" ", "").replace("_", "").replace("-", "") for name, _ in ALIASES}


@pytest.mark.parametrize("name", ["A_Iliac_R-Rect", "A_Iliac-Rect", "Ureter R Rect", "Kidney_R-Rect", "Rect-A_Iliac_R"])
def test_a_structure_is_no_side_with_a_modality(name: str) -> None:
    """“Rect” ends like “CT”, and “re” is short for right."""
    assert NAMES.resolve(name) is None


SIDED = sorted({structure.rpartition("_")[0] for structure in NAMES.entries if structure.endswith("_left")})
LEFT = ["L", "Lt", "left", "LEFT", "li", "links", "sin", "gauche", "izq", "sx", "venstre"]
RIGHT = ["R", "Rt", "right", "RIGHT", "re", "rechts", "dex", "droite", "der", "dx", "höger"]


@given(st.sampled_from(SIDED), st.integers(0, 10), st.booleans(), st.sampled_from([" ", "_", "-", ". "]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_side_is_kept_and_never_guessed(base: str, i: int, left: bool, between: str, first: bool) -> None:
    side = (LEFT if left else RIGHT)[i]
    name = base.replace("_", " ")
    written = f"{side}{between}{name}" if first else f"{name}{between}{side}"
    assert NAMES.resolve(written + " Fx2") == f"{base}_{'left' if left else 'right'}"
    assert NAMES.resolve(name) is None
    assert NAMES.resolve(f"{name} L R") is None


@pytest.mark.parametrize("structure", ["bladder", "rectum", "uterus", "hr_ctv", "vagina", "cervix"])
def test_a_structure_without_sides_has_none(structure: str) -> None:
    name = NAMES.tg263(structure)
    assert [NAMES.resolve(f"{name}_{side}") for side in ("L", "R", "left", "right")] == [None] * 4


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_left_alone(text: str) -> None:
    resolved = NAMES.resolve(text)
    assert resolved is None or resolved in NAMES.entries
    assert find_cores(text) == find_cores(text)


@pytest.mark.parametrize("name", ["CTV", "GTV", "PTV", "ITV", "CTV_2", "GTV_Fx1", "CTV-N1", "CTVn_HR", "CTV_HR_N1"])
def test_targets_are_never_guessed(name: str) -> None:
    assert NAMES.resolve(name) is None


def test_a_very_long_name_is_left_alone_at_once() -> None:
    assert NAMES.resolve("bladder " * 500) is None
    assert NAMES.resolve("z" * 10_000) is None


def test_the_plainest_name_is_taken_and_the_others_are_reported() -> None:
    def match(*rois: str, filled: tuple[bool, ...] | None = None) -> RoiMatch:
        return match_rois(rois, filled or (True,) * len(rois), ("bladder", "hr_ctv"), NAMES, Path("RS.dcm"))

    plain = match("zBladder_Fx1", "Bladder", "HRCTV_CT")
    assert plain.rois == {"bladder": 1, "hr_ctv": 2}
    assert plain.passed_over == ("Took “Bladder” for bladder, not “zBladder_Fx1”.",)
    assert match("Bladder", "Bladder1", filled=(False, True)).rois == {"bladder": 1}
    with pytest.raises(BadInput, match="2 ROIs for hr_ctv: “HRCTV_CT”, “HRCTV_MR”"):
        match("HRCTV_CT", "HRCTV_MR")


def test_a_name_in_the_alias_file_is_taken_before_a_plain_one(tmp_path: Path) -> None:
    file = tmp_path / "aliases.yaml"
    file.write_text("bladder: [Bladder_Fx2]\n")
    names = StructureNames.load(file)
    rois = ("Bladder", "Bladder_Fx2", "BLADDER")
    assert match_rois(rois, (True,) * 3, ("bladder",), names, Path("RS.dcm")).rois == {"bladder": 1}


def test_rank_tells_how_plain_a_name_is(tmp_path: Path) -> None:
    file = tmp_path / "aliases.yaml"
    file.write_text("bladder: [BLA]\n")
    names = StructureNames.load(file)
    ranks = [match.rank for name in ("bla", "Bladder", "zBladder", "BLA_Fx1") if (match := names.match(name))]
    assert ranks == [0, 1, 2, 2]
