from gynbtnet.evaluation.statistics.sample_size import sample_size_notes


def test_twenty_nine_cases_of_six_patients() -> None:
    """2/64 = 0.03125; of 30 comparisons k at that value are below 0.05 where 0.03125·30/k < 0.05: k > 18.75."""
    fractions, least, family, intervals = sample_size_notes(29, 6, 30)
    assert fractions.startswith("The 29 cases are of 6 patients")
    assert "less than p = 2/64 = 0.031" in least
    assert least.endswith("below 0.05, and never below 0.01.")
    assert "only where at least 19 of them" in family
    assert "6 patients: fewer than 20" in intervals


def test_fewer_and_more() -> None:
    assert "p = 2/32 = 0.062, however clear the difference: never below 0.05." in sample_size_notes(20, 5, 15)[1]
    assert sample_size_notes(1, 1, 1)[0].startswith("With 1 patient the permutation")
    assert sample_size_notes(40, 40, 30) == ()
