"""What helps on predictions with flaws that are known, patient by patient."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.calibration.postprocessing_selection import (
    MAX_P,
    MIN_DSC_GAIN,
    max_statistic_p,
    select_postprocessing,
)
from gynbtnet.evaluation.metrics.metrics import dice
from gynbtnet.imaging.files.volume_files import read_volume, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule

GRID = Geometry((10, 12, 20), (10.0, 10.0, 10.0))  # 1 cm³ a voxel
NAMES = ("bladder", "rectum")
TRUTH = np.zeros(GRID.shape, np.uint8)
TRUTH[2:7, 2:7, 2:8] = 1  # 150 voxels
TRUTH[2:7, 8:11, 2:8] = 2  # 90 voxels


def cohort(folder: Path, *predictions: np.ndarray, truths: dict[int, np.ndarray] | None = None) -> Cohort:
    """Patient n with the n-th prediction."""
    cases = []
    for number, prediction in enumerate(predictions):
        name = f"p{number}_f1"
        labels, image = folder / "labelsTr" / f"{name}.nii.gz", folder / "imagesTr" / f"{name}_0000.nii.gz"
        write_volume(Volume((truths or {}).get(number, TRUTH), GRID), labels)
        write_volume(Volume(prediction, GRID), folder / "predictions" / name / "labels.nii.gz")
        cases.append(Case(f"p{number}", 1, name, (image,), labels, Source(synthetic=True), GRID))
    return Cohort("boxes", NAMES, tuple(cases), folder)


def with_piece(voxels: int) -> np.ndarray:
    """The truth, and a piece of the bladder far away."""
    labels = TRUTH.copy()
    labels[9, 0, 20 - voxels :] = 1
    return labels


def test_small_pieces_go_where_that_helps_and_the_other_structure_is_left_alone(tmp_path: Path) -> None:
    chosen = select_postprocessing(
        cohort(tmp_path, *(with_piece(n) for n in (3, 5, 4, 8, 6))), tmp_path / "predictions"
    )
    (rule,) = chosen.rules
    assert rule == PostprocessingRule("bladder", minimum_cm3=8.1)  # all of them; the first of equally good options
    bladder, rectum = (trial for trial in chosen.trials if trial.step == "components")
    expected = np.mean([2 * 150 / (300 + n) for n in (3, 5, 4, 8, 6)])
    assert bladder.dsc_before == pytest.approx(expected)
    assert bladder.dsc_after == 1
    assert bladder.kept
    assert bladder.hd95_before_mm >= bladder.hd95_after_mm == 0
    assert (rectum.best_option, rectum.kept, rectum.dsc_before) == ("nothing", False, 1)


def test_a_structure_that_is_really_in_two_pieces_keeps_them(tmp_path: Path) -> None:
    """The second piece is true in three of eight: whoever takes it away loses."""
    torn = TRUTH.copy()
    torn[4, 2:7, 2:8] = 0
    predictions = [torn if n < 3 else with_piece(4) for n in range(8)]
    truths = dict.fromkeys(range(3), torn)
    chosen = select_postprocessing(cohort(tmp_path, *predictions, truths=truths), tmp_path / "predictions")
    assert [rule for rule in chosen.rules if rule.largest_component] == []
    assert chosen.rules == (PostprocessingRule("bladder", minimum_cm3=4.1),)


def test_holes_are_filled_where_that_helps(tmp_path: Path) -> None:
    hollow = TRUTH.copy()
    hollow[4, 3:6, 3:7] = 0
    chosen = select_postprocessing(cohort(tmp_path, *[hollow] * 5), tmp_path / "predictions")
    assert chosen.rules == (PostprocessingRule("bladder", fill_holes=True),)
    (trial,) = (one for one in chosen.trials if one.kept)
    assert trial.dsc_before == pytest.approx(dice(TRUTH == 1, hollow == 1))
    assert (trial.dsc_after, trial.step, trial.best_option) == (1, "holes", "holes filled")


def test_holes_that_are_true_stay(tmp_path: Path) -> None:
    hollow = TRUTH.copy()
    hollow[4, 3:6, 3:7] = 0
    same = dict.fromkeys(range(5), hollow)
    assert select_postprocessing(cohort(tmp_path, *[hollow] * 5, truths=same), tmp_path / "predictions").rules == ()


def test_one_patient_is_no_reason(tmp_path: Path) -> None:
    """Of five patients one has a piece to take away: that is as likely as not."""
    chosen = select_postprocessing(cohort(tmp_path, with_piece(9), *[TRUTH] * 4), tmp_path / "predictions")
    assert chosen.rules == ()
    bladder = chosen.trials[0]
    assert bladder.dsc_after > bladder.dsc_before
    assert bladder.p == 0.5
    assert chosen.trials[1].p == 1


def test_four_patients_are_too_few(tmp_path: Path) -> None:
    made = cohort(tmp_path, *[with_piece(5)] * 5)
    assert select_postprocessing(made, tmp_path / "predictions").rules
    fewer = replace(made, cases=made.cases[:4])
    assert select_postprocessing(fewer, tmp_path / "predictions").rules == ()


def test_fractions_of_one_patient_are_one_patient(tmp_path: Path) -> None:
    made = cohort(tmp_path, *[with_piece(5)] * 6)
    alike = replace(made, cases=tuple(replace(case, patient=f"p{n // 2}") for n, case in enumerate(made.cases)))
    chosen = select_postprocessing(alike, tmp_path / "predictions")
    assert chosen.rules == ()
    assert chosen.trials[0].patients == 3


def test_a_structure_that_the_source_leaves_out_has_no_say(tmp_path: Path) -> None:
    made = cohort(tmp_path, *[with_piece(5)] * 5)
    unknown = replace(made, cases=tuple(replace(case, missing=("bladder",)) for case in made.cases))
    chosen = select_postprocessing(unknown, tmp_path / "predictions")
    assert {trial.structure for trial in chosen.trials} == {"rectum"}


def test_patients_without_the_structure_gain_where_all_of_it_goes(tmp_path: Path) -> None:
    without = np.where(TRUTH == 1, 0, TRUTH).astype(np.uint8)
    false = without.copy()
    false[9, 0, 15:] = 1
    made = cohort(tmp_path, *[with_piece(5)] * 5, *[false] * 5, truths=dict.fromkeys(range(5, 10), without))
    found = select_postprocessing(made, tmp_path / "predictions")
    assert found.rules == (PostprocessingRule("bladder", minimum_cm3=5.1),)
    assert found.trials[0].dsc_after == 1
    assert read_volume(tmp_path / "predictions/p9_f1/labels.nii.gz").array.max() == 2  # predictions stay as they were


@pytest.mark.parametrize(
    ("gains", "chance"),
    [
        ([0.1, 0.2, 0.1, 0.3, 0.2], 1 / 32),
        ([0.1, 0.2, 0.1, 0.3, 0.2, 0.0, 0.0], 1 / 32),
        ([0.1, 0.2, 0.3, 0.4], 1 / 16),
        ([0.1, 0.2, -0.3], 5 / 8),  # sums of ±1 ±2 ±3 of at least 0: 6, 4, 2, 0 and 0
        ([0.2], 1 / 2),
        ([0.0, 0.0], 1),
    ],
)
def test_chance_by_hand(gains: list[float], chance: float) -> None:
    assert max_statistic_p(np.array(gains)[:, None], 0) == pytest.approx(chance)


def test_chance_with_two_options_by_hand() -> None:
    """Both patients gain 1, each by another option: at ++ and +- and -+ the best of both gains 1, at -- it loses 1."""
    assert max_statistic_p(np.array([[1.0, 0.0], [0.0, 1.0]]), 1) == 3 / 4


def test_chance_of_one_option_is_that_of_scipy() -> None:
    gains = np.random.default_rng(1).normal(0.3, 1, 11)
    test = stats.permutation_test((gains,), np.sum, permutation_type="samples", alternative="greater")
    assert max_statistic_p(gains[:, None], 0) == pytest.approx(test.pvalue)
    many = np.random.default_rng(2).normal(0.3, 1, 30)
    assert max_statistic_p(many[:, None], 0) == pytest.approx(
        stats.ttest_1samp(many, 0, alternative="greater").pvalue, abs=0.02
    )


def test_chance_passes_in_one_of_twenty_cohorts() -> None:
    """Nine options that change nothing on the mean: hindsight finds a gain in every cohort."""
    random = np.random.default_rng(0)
    tables = random.normal(0, 0.05, (400, 9, 9))
    assert np.mean([gains.mean(axis=0).max() > MIN_DSC_GAIN for gains in tables]) > 0.95
    passed = np.mean([max_statistic_p(gains, int(gains.mean(axis=0).argmax())) <= MAX_P for gains in tables])
    assert passed == pytest.approx(MAX_P, abs=0.033)  # three standard errors
