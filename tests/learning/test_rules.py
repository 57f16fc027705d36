"""Rules without files of scans: assignment, promotion, choice of cases, distance, and settings of a round."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.datasets import Split
from gynbtnet.evaluation import Evaluation, Score, ScoringSettings
from gynbtnet.learning import Assignment, Candidate, LearningSettings, choose_cases
from gynbtnet.learning.challenge import Challenge, challenge
from gynbtnet.learning.scan_measures import ScanMeasures, distance_from
from gynbtnet.learning.short_training import short_training
from gynbtnet.runtime import BadInput
from gynbtnet.training import SegmentationSettings

SPLIT = Split(("t1", "t2"), (("v1",), ("a", "b")), 0)


def test_a_split_becomes_an_assignment() -> None:
    assignment = Assignment.of_split(SPLIT, fold=0)
    assert assignment.groups == {
        "t1": "frozen test",
        "t2": "frozen test",
        "v1": "validation",
        "a": "training",
        "b": "training",
    }
    assert Assignment.of_split(SPLIT, fold=1).patients_of("training") == ("v1",)
    with pytest.raises(BadInput, match="no fold 2"):
        Assignment.of_split(SPLIT, fold=2)


@given(st.lists(st.sets(st.text("tvabxyz123", min_size=1, max_size=3)), max_size=6), st.floats(0, 1), st.integers(0, 9))
def test_nobody_changes_the_group_and_nobody_new_is_in_the_test(
    arrivals: list[set[str]], validation: float, seed: int
) -> None:
    assignment = Assignment.of_split(SPLIT, 0, seed)
    for number, patients in enumerate(arrivals):
        before = dict(assignment.groups)
        assignment = assignment.with_patients(patients, validation if number % 2 else 1 - validation)
        assert before.items() <= assignment.groups.items()
        assert patients <= set(assignment.groups)
    assert assignment.patients_of("frozen test") == ("t1", "t2")


def test_a_new_patients_group_does_not_depend_on_the_others() -> None:
    names = [f"patient-{number:03d}" for number in range(400)]
    together = Assignment({}).with_patients(names, 0.25).groups
    alone = {name: Assignment({}).with_patients([name], 0.25).groups[name] for name in names}
    assert together == alone
    assert 60 <= sum(group == "validation" for group in alone.values()) <= 140
    assert Assignment({}, seed=1).with_patients(names, 0.25).groups != together


def evaluation(dsc: Mapping[str, list[float]]) -> Evaluation:
    """Return scores with two cases per patient, which differ by little."""
    scores = []
    for structure, values in dsc.items():
        for patient, value in enumerate(values):
            for case in range(2):
                fields = dict.fromkeys(Score.__dataclass_fields__, 1.0) | {
                    "case": f"p{patient}_f{case}",
                    "patient": f"p{patient}",
                    "structure": structure,
                    "missing_in": "none",
                    "dsc": value + 0.001 * case,
                }
                scores.append(Score(**fields))  # type: ignore[arg-type]
    return Evaluation(tuple(scores), ScoringSettings())


BASE = [0.5, 0.6, 0.7, 0.8, 0.55, 0.65]
UP, DOWN = [value + 0.05 for value in BASE], [value - 0.05 for value in BASE]
MIXED = [value + change for value, change in zip(BASE, (0.1, -0.1, 0.08, -0.09, 0.1, -0.1), strict=True)]


def meet(first: list[float], second: list[float], patients: int = 6) -> Challenge:
    base = {"bladder": BASE[:patients], "rectum": BASE[:patients]}
    new = {"bladder": first[:patients], "rectum": second[:patients]}
    return challenge(evaluation(base), evaluation(new), ("bladder", "rectum"), LearningSettings())


@pytest.mark.parametrize(
    ("first", "second", "promoted", "words"),
    [
        (UP, MIXED, True, "gains on Bladder and loses on no structure"),
        (UP, UP, True, "gains on Bladder and Rectum"),
        (UP, DOWN, False, "loses on Rectum"),
        (MIXED, BASE, False, "gains on no structure"),
        (BASE, BASE, False, "gains on no structure"),
        (DOWN, DOWN, False, "loses on Bladder and Rectum"),
    ],
)
def test_promotion(first: list[float], second: list[float], promoted: bool, words: str) -> None:
    result = meet(first, second)
    assert (result.promoted, words in result.reason) == (promoted, True), result.reason
    bladder = result.structures[0]
    assert bladder.patients == 6
    assert bladder.difference == pytest.approx(np.mean(first) - np.mean(BASE))
    assert bladder.low is not None and bladder.high is not None
    assert bladder.low - 1e-9 <= bladder.difference <= bladder.high + 1e-9


def test_four_patients_decide_nothing() -> None:
    result = meet(UP, UP, patients=4)
    assert not result.promoted
    assert "can't be excluded" in result.reason
    assert {row.verdict for row in result.structures} == {"can't be decided"}
    nothing = challenge(evaluation({"bladder": BASE}), evaluation({"bladder": UP}), ("uterus",), LearningSettings())
    assert not nothing.promoted and nothing.structures[0].patients == 0


def test_the_interval_is_by_patient_not_by_case() -> None:
    """One patient with a large gain in both fractions doesn't count as two witnesses."""
    one = [*BASE[:5], BASE[5] + 0.3]
    row = meet(one, BASE).structures[0]
    assert row.verdict == "no difference shown" and row.difference == pytest.approx(0.05)


def candidate(name: str, **signs: object) -> Candidate:
    values: dict[str, object] = {
        "model": "ab" * 32,
        "lowest_dsc": 0.8,
        "lowest_agreement": 0.95,
        "structures_flagged": 0,
        "distance": 1.0,
    }
    return Candidate(name, f"sha-{name}", **{**values, **signs})  # type: ignore[arg-type]


def test_the_worst_signs_come_first_and_one_case_is_random() -> None:
    plain = [candidate(f"plain{number}", distance=1 + number / 100) for number in range(20)]
    bad = [
        candidate("low", lowest_dsc=0.2, lowest_agreement=0.4, structures_flagged=3, distance=6.0),
        candidate("middle", lowest_dsc=0.4, lowest_agreement=0.5, structures_flagged=2, distance=4.0),
    ]
    chosen = choose_cases([*plain[:10], *bad, *plain[10:]], 3)
    assert [case.candidate.name for case in chosen[:2]] == ["low", "middle"]
    assert "predicted DSC from 0.20" in chosen[0].reason
    assert "6.0 SD from the training" in chosen[0].reason
    assert chosen[2].reason == "at random" and chosen[2].candidate.name.startswith("plain")
    assert choose_cases([*bad, *reversed(plain)], 3) == chosen, "the order of the folder has no effect"
    drawn = {choose_cases([*plain, *bad], 3, seed)[2].candidate.name for seed in range(30)}
    assert len(drawn) > 8


def test_unknown_signs_are_omitted() -> None:
    unknown = {"lowest_dsc": None, "lowest_agreement": None, "distance": None}
    cases = [candidate(f"c{number}", **unknown, structures_flagged=number) for number in range(4)]
    chosen = choose_cases(cases, 2)
    assert (chosen[0].candidate.name, chosen[0].reason) == ("c3", "3 structures flagged")
    assert len(choose_cases(cases, 9)) == 4
    same = [candidate(f"c{number}", **unknown) for number in range(3)]
    assert choose_cases(same, 2)[0].reason == "the mean of all signs"
    half = [
        candidate("known", **{**unknown, "distance": 9.0}),
        candidate("less", **{**unknown, "distance": 1.0}),
        *same,
    ]
    assert choose_cases(half, 2)[0].candidate.name == "known"
    assert choose_cases([], 3) == ()
    with pytest.raises(BadInput, match="at least 2"):
        choose_cases(cases, 1)


def test_distance_in_standard_deviations() -> None:
    training = [ScanMeasures({"bladder": (float(value), 10.0 * value, 5.0 + value)}) for value in (0, 1, 2)]
    assert distance_from(training[1], training) == 0
    far = ScanMeasures({"bladder": (5.0, 50.0, 10.0)})
    assert distance_from(far, training) == pytest.approx(3.0), "three SD from the nearest in each measure"
    assert distance_from(ScanMeasures({"uterus": (1, 1, 1)}), training) is None
    assert distance_from(far, training[:2]) is None
    assert distance_from(ScanMeasures({}), training) is None


def test_a_round_is_a_short_training() -> None:
    first = SegmentationSettings(
        epochs=1000, learning_rate=1e-3, warm_up_epochs=20, patience=5, decoder_first_share=0.2
    )
    short = short_training(first, LearningSettings(length=0.05, learning_rate=0.2), 3)
    assert (short.epochs, short.learning_rate, short.warm_up_epochs, short.patience) == (50, 2e-4, 0, None)
    assert (short.seed, short.decoder_first_share) == (3, 0)
    steps = SegmentationSettings(budget={"steps": 150})
    assert short_training(steps, LearningSettings(length=0.001), 1).budget.steps == 1
