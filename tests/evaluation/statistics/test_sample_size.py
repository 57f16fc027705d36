from gynbtnet.evaluation.statistics.sample_size import sample_size_notes


def test_29_cases_of_six_patients() -> None:
    """2/64 = 0.03125; of 30 comparisons, k at that value are below 0.05 if 0.03125·30/k < 0.05, that is k > 18.75."""
    fractions, smallest, family, intervals = sample_size_notes(29, 6, 30)
    assert fractions.startswith("The 29 cases are from 6 patients")
    assert "smallest possible p of the permutation by patient is 2/64 = 0.031" in smallest
    assert "it can be below 0.05, but never below 0.01. The t test by patient has no such limit" in smallest
    assert "only if at least 19 of them" in family
    assert "6 patients: with fewer than 20" in intervals


def test_fewer_and_more_patients() -> None:
    assert (
        "is 2/32 = 0.062, even for the clearest difference: it is never below 0.05." in sample_size_notes(20, 5, 15)[1]
    )
    assert [len(sample_size_notes(n_cases, 1, 1)) for n_cases in (1, 2)] == [1, 2]
    assert sample_size_notes(2, 1, 1)[-1].startswith("With 1 patient no test and no interval by patient is possible")
    assert sample_size_notes(40, 40, 30) == ()
