"""Selection of post-processing on predictions with known errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.calibration.postprocessing_selection import (
    MAX_P,
    MIN_DSC_GAIN,
    max_statistic_p,
    select_postprocessing,
)
from gynbtnet.evaluation.metrics.metrics import dice
from gynbtnet.imaging import NO_NESTING, Geometry, Volume, read_volume, write_volume
from gynbtnet.preparation import PostprocessingRule

GRID = Geometry((10, 12, 20), (10.0, 10.0, 10.0))  # voxels of 1 cm³
NAMES = ("bladder", "rectum")
TRUTH = np.zeros(GRID.shape, np.uint8)
TRUTH[2:7, 2:7, 2:8] = 1  # 150 voxels
TRUTH[2:7, 8:11, 2:8] = 2  # 90 voxels


def cohort(folder: Path, *predictions: np.ndarray, truths: dict[int, np.ndarray] | None = None) -> Cohort:
    """Write a cohort in which patient n has the n-th prediction."""
    cases = []
    for number, prediction in enumerate(predictions):
        name = f"p{number}_f1"
        labels, image = folder / "labelsTr" / f"{name}.nii.gz", folder / "imagesTr" / f"{name}_0000.nii.gz"
        write_volume(Volume((truths or {}).get(number, TRUTH), GRID), labels)
        write_volume(Volume(prediction, GRID), folder / "predictions" / name / "labels.nii.gz")
        cases.append(Case(f"p{number}", 1, name, (image,), labels, Source(synthetic=True), GRID))
    return Cohort("boxes", NAMES, tuple(cases), folder)


def with_extra_component(voxels: int) -> np.ndarray:
    """Return the truth with an additional component of the bladder far away."""
    labels = TRUTH.copy()
    labels[9, 0, 20 - voxels :] = 1
    return labels


def test_small_components_are_removed_if_that_helps_and_the_other_structure_is_unchanged(tmp_path: Path) -> None:
    chosen = select_postprocessing(
        cohort(tmp_path, *(with_extra_component(n) for n in (3, 5, 4, 8, 6))), tmp_path / "predictions", NO_NESTING
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


def test_structure_with_two_true_components_keeps_them(tmp_path: Path) -> None:
    """The second component is true in three of eight cases: removing it lowers the DSC."""
    divided = TRUTH.copy()
    divided[4, 2:7, 2:8] = 0
    predictions = [divided if n < 3 else with_extra_component(4) for n in range(8)]
    truths = dict.fromkeys(range(3), divided)
    chosen = select_postprocessing(cohort(tmp_path, *predictions, truths=truths), tmp_path / "predictions", NO_NESTING)
    assert [rule for rule in chosen.rules if rule.largest_component] == []
    assert chosen.rules == (PostprocessingRule("bladder", minimum_cm3=4.1),)


def test_holes_are_filled_if_that_helps(tmp_path: Path) -> None:
    hollow = TRUTH.copy()
    hollow[4, 3:6, 3:7] = 0
    chosen = select_postprocessing(cohort(tmp_path, *[hollow] * 5), tmp_path / "predictions", NO_NESTING)
    assert chosen.rules == (PostprocessingRule("bladder", fill_holes=True),)
    (trial,) = (trial for trial in chosen.trials if trial.kept)
    assert trial.dsc_before == pytest.approx(dice(TRUTH == 1, hollow == 1))
    assert (trial.dsc_after, trial.step, trial.best_option) == (1, "holes", "holes filled")


def test_true_holes_are_kept(tmp_path: Path) -> None:
    hollow = TRUTH.copy()
    hollow[4, 3:6, 3:7] = 0
    same = dict.fromkeys(range(5), hollow)
    assert (
        select_postprocessing(cohort(tmp_path, *[hollow] * 5, truths=same), tmp_path / "predictions", NO_NESTING).rules
        == ()
    )


def test_one_patient_is_not_enough(tmp_path: Path) -> None:
    """One of five patients has an additional component: p is 0.5."""
    chosen = select_postprocessing(
        cohort(tmp_path, with_extra_component(9), *[TRUTH] * 4), tmp_path / "predictions", NO_NESTING
    )
    assert chosen.rules == ()
    bladder = chosen.trials[0]
    assert bladder.dsc_after > bladder.dsc_before
    assert bladder.p == 0.5
    assert chosen.trials[1].p == 1


def test_four_patients_are_too_few(tmp_path: Path) -> None:
    labelled = cohort(tmp_path, *[with_extra_component(5)] * 5)
    assert select_postprocessing(labelled, tmp_path / "predictions", NO_NESTING).rules
    fewer = replace(labelled, cases=labelled.cases[:4])
    assert select_postprocessing(fewer, tmp_path / "predictions", NO_NESTING).rules == ()


def test_fractions_count_as_one_patient(tmp_path: Path) -> None:
    labelled = cohort(tmp_path, *[with_extra_component(5)] * 6)
    grouped = replace(
        labelled, cases=tuple(replace(case, patient=f"p{n // 2}") for n, case in enumerate(labelled.cases))
    )
    chosen = select_postprocessing(grouped, tmp_path / "predictions", NO_NESTING)
    assert chosen.rules == ()
    assert chosen.trials[0].patients == 3


def test_structures_that_the_source_does_not_contour_are_ignored(tmp_path: Path) -> None:
    labelled = cohort(tmp_path, *[with_extra_component(5)] * 5)
    unknown = replace(labelled, cases=tuple(replace(case, missing=("bladder",)) for case in labelled.cases))
    chosen = select_postprocessing(unknown, tmp_path / "predictions", NO_NESTING)
    assert {trial.structure for trial in chosen.trials} == {"rectum"}


def test_patients_without_the_structure_gain_if_it_is_removed_completely(tmp_path: Path) -> None:
    without = np.where(TRUTH == 1, 0, TRUTH).astype(np.uint8)
    false = without.copy()
    false[9, 0, 15:] = 1
    labelled = cohort(
        tmp_path, *[with_extra_component(5)] * 5, *[false] * 5, truths=dict.fromkeys(range(5, 10), without)
    )
    selection = select_postprocessing(labelled, tmp_path / "predictions", NO_NESTING)
    assert selection.rules == (PostprocessingRule("bladder", minimum_cm3=5.1),)
    assert selection.trials[0].dsc_after == 1
    assert read_volume(tmp_path / "predictions/p9_f1/labels.nii.gz").array.max() == 2  # predictions stay as they were


@pytest.mark.parametrize(
    ("gains", "p"),
    [
        ([0.1, 0.2, 0.1, 0.3, 0.2], 1 / 32),
        ([0.1, 0.2, 0.1, 0.3, 0.2, 0.0, 0.0], 1 / 32),
        ([0.1, 0.2, 0.3, 0.4], 1 / 16),
        ([0.1, 0.2, -0.3], 5 / 8),  # sums of ±1 ±2 ±3 of at least 0: 6, 4, 2, 0 and 0
        ([0.2], 1 / 2),
        ([0.0, 0.0], 1),
    ],
)
def test_p_by_hand(gains: list[float], p: float) -> None:
    assert max_statistic_p(np.array(gains)[:, None], 0) == pytest.approx(p)


def test_p_with_two_options_by_hand() -> None:
    """Both patients gain 1, each by another option: the better option gains 1 for ++, +- and -+, and loses 1 for --."""
    assert max_statistic_p(np.array([[1.0, 0.0], [0.0, 1.0]]), 1) == 3 / 4


def test_p_of_one_option_equals_scipy() -> None:
    gains = np.random.default_rng(1).normal(0.3, 1, 11)
    test = stats.permutation_test((gains,), np.sum, permutation_type="samples", alternative="greater")
    assert max_statistic_p(gains[:, None], 0) == pytest.approx(test.pvalue)
    many = np.random.default_rng(2).normal(0.3, 1, 30)
    assert max_statistic_p(many[:, None], 0) == pytest.approx(
        stats.ttest_1samp(many, 0, alternative="greater").pvalue, abs=0.02
    )


def test_false_positive_rate_is_5_percent() -> None:
    """Nine options have no effect on average; the best of them shows a gain in every cohort."""
    random = np.random.default_rng(0)
    tables = random.normal(0, 0.05, (400, 9, 9))
    assert np.mean([gains.mean(axis=0).max() > MIN_DSC_GAIN for gains in tables]) > 0.95
    passed = np.mean([max_statistic_p(gains, int(gains.mean(axis=0).argmax())) <= MAX_P for gains in tables])
    assert passed == pytest.approx(MAX_P, abs=0.033)  # three standard errors
