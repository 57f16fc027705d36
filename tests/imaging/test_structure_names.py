import re
from functools import partial

import pytest
from pydicom.sr.codedict import codes

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.targets import TARGET_TYPES
from gynbtnet.runtime import BadInput

FIVE = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


@pytest.mark.parametrize(
    ("written", "structure"),
    [
        ("HR-CTV", "hr_ctv"),
        ("HRCTV", "hr_ctv"),
        ("CTV_HR", "hr_ctv"),
        ("ctv-t hr", "hr_ctv"),
        ("CTV_High", "hr_ctv"),
        ("hr_ctv", "hr_ctv"),
        ("BLADDER", "bladder"),
        ("Colon_Sigmoid", "sigmoid"),
        ("sigmoid colon", "sigmoid"),
        ("Rectum ", "rectum"),
        ("Uterus", "uterus"),
        ("IR-CTV", "ir_ctv"),
        ("CTV-T_IR", "ir_ctv"),
        ("GTV_res", "gtv_res"),
        ("Bowel Bag", "bowel_bag"),
        ("BOWEL", "bowel"),
        ("Ureter_Left", "ureter_left"),
        ("Femur_Head_R", "femoral_head_right"),
        ("Femur_R", None),
        ("Rectum_L", None),
        ("Bladder_old", None),
        ("", None),
    ],
)
def test_names_as_clinics_write_them(names, written, structure):
    assert names.resolve(written, FIVE) == structure


def test_the_id_of_a_requested_structure_takes_precedence(names):
    assert names.resolve("gtv mass-ct", ("GTV_Mass_CT",)) == "GTV_Mass_CT"
    assert names.resolve("GTV_Mass_CT", FIVE) is None
    assert names.resolve("Urinary_Bladder", ("urinary_bladder",)) == "urinary_bladder"
    assert names.resolve("Urinary_Bladder", FIVE) == "bladder"


def test_every_entry_of_the_table_is_read_as_it_is_written(names):
    for structure, entry in names.entries.items():
        for written in (structure, names.display_name(structure), names.tg263(structure), *entry["aliases"]):
            assert names.resolve(written) == structure, f"{written} belongs to two structures"
        assert len(names.tg263(structure)) <= 16
        assert re.fullmatch(r"[a-z0-9_]+", structure)


def test_every_entry_of_the_table_has_a_type_a_code_and_its_own_colour(names):
    known = {(code.value, code.meaning.split(" (")[0]) for code in map(partial(getattr, codes.SCT), codes.SCT.dir())}
    for structure in names.entries:
        assert names.interpreted_type(structure) in ("ORGAN", *TARGET_TYPES)
        assert names.snomed_code(structure) in known
    colours = [names.colour(structure) for structure in names.entries]
    assert len(set(colours)) == len(colours)


def test_colours_and_types(names):
    assert names.colour("hr_ctv") == (255, 0, 0)
    assert names.colour("uterus") == (0, 0, 255)
    assert names.colour("femur_left") == StructureNames.load().colour("femur_left") != names.colour("femur_right")
    assert all(0 <= part <= 255 for part in names.colour("femur_left"))
    types = [names.interpreted_type(structure) for structure in ("hr_ctv", "rectum", "GTV_Mass_CT", "femur_left")]
    assert types == ["CTV", "ORGAN", "GTV", "ORGAN"]
    assert names.tg263("femur_left") == "femur_left"


def test_structures_of_a_gynecologic_clinic_have_their_types(names):
    structures = ("gtv_res", "ir_ctv", "bowel", "bowel_bag", "vagina", "ureter_left", "femoral_head_right")
    types = [names.interpreted_type(structure) for structure in structures]
    assert types == ["GTV", "CTV", *["ORGAN"] * 5]
    assert [names.tg263(name) for name in structures[3:]] == ["Bag_Bowel", "Vagina", "Ureter_L", "Femur_Head_R"]


def test_a_clinics_aliases_are_added_and_take_precedence(tmp_path):
    file = tmp_path / "aliases.yaml"
    file.write_text("hr_ctv: [Zielvolumen]\nsigmoid: [Sigma-2]\nbowel: [Sigma]\n")
    names = StructureNames.load(file)
    assert names.resolve("ZIELVOLUMEN") == "hr_ctv"
    assert names.resolve("sigma 2") == "sigmoid"
    assert names.resolve("Sigma") == "bowel"
    assert names.resolve("HR-CTV") == "hr_ctv"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("- hr_ctv\n", "not a table of structures"),
        ("", "not a table of structures"),
        ("1: [a]\n", "has a structure that YAML reads as a number; expected the identifier of a structure"),
        ("no: [a]\n", "has a structure that YAML reads as false"),
        ("hr_ctv: CTV\n", "does not give “hr_ctv” a list of names"),
        ("hr_ctv: [1]\n", "gives “hr_ctv” an entry that YAML reads as a number; expected names: put it into quotes"),
        ("hr_ctv: [CTV, No]\n", "an entry that YAML reads as false; expected names: put it into quotes"),
        ("hr_ctv: [2026-01-01]\n", "an entry that YAML reads as a date"),
        ("hr_ctv: [~]\n", "an entry that YAML reads as empty"),
        ("hr_ctv: [[CTV]]\n", "an entry that YAML reads as a list"),
        ("hr_ctv: [A]\nhr_ctv: [B]\n", "can't be used: it holds the key 'hr_ctv' twice, at line 2"),
        ("hr_ctv: [CTV 1]\nuterus: [ctv_1]\n", "“ctv_1” to both hr_ctv and uterus"),
        ("hr_ctv: [", "can't be used: it is not YAML, at line 2"),
        (None, r"can't be read \(No such file"),
    ],
)
def test_bad_alias_files_get_one_sentence(tmp_path, content, sentence):
    file = tmp_path / "aliases.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput, match=sentence):
        StructureNames.load(file)
