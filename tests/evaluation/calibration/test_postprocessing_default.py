"""Post-processing of models that were validated on few patients, and on enough patients."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.calibration.postprocessing_default import NOTE, choose_postprocessing
from gynbtnet.imaging import NO_NESTING, Geometry, Volume, write_volume
from gynbtnet.preparation import PostprocessingRule

GRID = Geometry((8, 24, 24), (3.0, 2.0, 2.0))
STRUCTURES = ("hr_ctv", "bladder", "sigmoid")


def cohort_of(patients: int, folder: Path, *, specks: bool) -> Cohort:
    """Write a bladder for every patient; predictions are correct, or have a false component far away (``specks``)."""
    cases = []
    for number in range(patients):
        case_id = f"p{number}_f1"
        truth = np.zeros(GRID.shape, np.uint8)
        truth[2:6, 4 : 14 + number % 3, 4:12] = 2
        prediction = truth.copy()
        if specks:
            prediction[1:3, 20:22, 20:23] = 2
        image, labels = folder / "imagesTr" / f"{case_id}_0000.nii.gz", folder / "labelsTr" / f"{case_id}.nii.gz"
        write_volume(Volume(np.zeros(GRID.shape, np.int16), GRID), image)
        write_volume(Volume(truth, GRID), labels)
        write_volume(Volume(prediction, GRID), folder / "predictions" / case_id / "labels.nii.gz")
        (folder / "predictions" / case_id / "labels.json").write_text(
            '{"labels": {"background": 0, "hr_ctv": 1, "bladder": 2, "sigmoid": 3}}'
        )
        cases.append(Case(f"p{number}", 1, case_id, (image,), labels, Source(), GRID, missing=("hr_ctv", "sigmoid")))
    return Cohort("name", STRUCTURES, tuple(cases), folder)


def test_few_patients_get_the_stated_default(tmp_path: Path) -> None:
    chosen = choose_postprocessing(STRUCTURES, cohort_of(4, tmp_path, specks=False), tmp_path / "not read", NO_NESTING)
    assert chosen.rules == tuple(PostprocessingRule(name, largest_component=True) for name in ("bladder", "hr_ctv"))
    assert chosen.note.startswith(NOTE)
    assert "default" in chosen.note
    assert "4 validation patients" in chosen.note


def test_five_patients_are_enough_for_a_selection(tmp_path: Path) -> None:
    cohort = cohort_of(5, tmp_path, specks=True)
    chosen = choose_postprocessing(STRUCTURES, cohort, tmp_path / "predictions", NO_NESTING)
    (rule,) = chosen.rules
    assert rule.structure == "bladder"
    assert "default" not in chosen.note
    assert rule.words in chosen.note


@pytest.mark.parametrize("structures", [STRUCTURES, ()])
def test_no_rules_if_nothing_helps(tmp_path: Path, structures: tuple[str, ...]) -> None:
    cohort = replace(cohort_of(5, tmp_path, specks=False))
    chosen = choose_postprocessing(structures, cohort, tmp_path / "predictions", NO_NESTING)
    assert chosen.rules == ()
    assert "none" in chosen.note
