"""Ratings: the sheet is checked row by row, and its summary is worked by hand."""

import warnings

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.readers.rating_sheet import Rating, read_ratings
from gynbtnet.evaluation.readers.rating_study import study_ratings
from gynbtnet.evaluation.statistics.weighted_kappa import mean_weighted_kappa, weighted_kappa
from gynbtnet.runtime import BadInput

HEAD = "case,structure,rater,score\n"


def test_the_sheet_of_a_german_excel(scanned, tmp_path):
    """Byte order mark, semicolons, columns in another order, spaces, names as people write them, empty rows."""
    (tmp_path / "a.csv").write_text("\ufeffRater;case;structure;score\nAnna; p1_f1 ;Bladder;4\n;;;\n\n", "utf-8")
    assert read_ratings(tmp_path / "a.csv", scanned) == (Rating("p1_f1", "bladder", "Anna", 4),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "p9,bladder,A,4\n", "Row 2 of .*: there is no case p9 among the 4 that are scored"),
        (HEAD + "p1_f1,bladder,A,4\np1_f1,spleen,A,4\n", "Row 3 of .*: spleen is not among the structures bladder"),
        (HEAD + "p1_f1,bladder,A,6\n", "the score is 6; expected a whole number from 1 to 5"),
        (HEAD + "p1_f1,bladder,A,4.5\n", "the score is 4.5"),
        (HEAD + "p1_f1,bladder,A,\n", "the score is empty"),
        (HEAD + "p1_f1,bladder,,4\n", "the rater is empty"),
        (HEAD + "p1_f1,bladder,A,4\np1_f1,Bladder,A,5\n", "Row 3 of .*: A has rated bladder of p1_f1 before"),
        (HEAD + "p1_f1,bladder,A\n", "Row 2 of .*: the score is empty"),
        (HEAD + "p1_f1,bladder,A,4,5\n", "Row 2 of .* has 5 cells; expected 4"),
        (HEAD, "has no ratings"),
        ("case,structure,score\n", "has the columns case, structure, score; expected case, structure, rater, score"),
        ("", "has the columns of an empty file"),
    ],
)
def test_sheets_that_are_refused(scanned, tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadInput, match=words.replace("(", r"\(")):
        read_ratings(tmp_path / "a.csv", scanned)


def test_files_that_are_no_sheet(scanned, tmp_path):
    with pytest.raises(BadInput, match="There is no file"):
        read_ratings(tmp_path / "absent.csv", scanned)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00case")
    with pytest.raises(BadInput, match="can't be read; expected a CSV file"):
        read_ratings(tmp_path / "a.csv", scanned)


def test_kappa_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for _ in range(20):
        first = random.integers(1, 6, 30)
        second = np.clip(first + random.integers(-1, 2, 30), 1, 5)
        counts = np.zeros((5, 5))
        np.add.at(counts, (first - 1, second - 1), 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = cohens_kappa(counts, wt="quadratic", return_results=False)
        assert weighted_kappa(first.tolist(), second.tolist(), 5) == pytest.approx(expected)


def test_kappa_of_several_raters_is_the_mean_over_pairs():
    ratings = np.array([[1, 1, np.nan], [2, 2, 3], [3, 3, 3], [5, 5, 4]])
    raters = ratings[1:].astype(int).T.tolist()
    pairs = [weighted_kappa(raters[one], raters[2], 5) for one in (0, 1)]
    assert mean_weighted_kappa(ratings, 5) == pytest.approx(np.mean([1.0, *pairs]))
    assert np.isnan(mean_weighted_kappa(np.full((3, 2), 4.0), 5))  # everybody always says 4
    assert np.isnan(mean_weighted_kappa(np.ones((3, 1)), 5))


def score(case: str, dsc: float) -> Score:
    return Score(case, case[:2], "bladder", dsc, 1, 1, "unknown" if np.isnan(dsc) else "none", 1, 1, dsc, 1, 0, 0, 5)


def test_the_summary_by_hand():
    dsc = {"p1_1": 0.9, "p1_2": 0.8, "p2_1": 0.5, "p3_1": 0.7, "p4_1": np.nan, "p5_1": 0.6}
    given = {"p1_1": (5, 4), "p1_2": (4, 4), "p2_1": (1,), "p3_1": (3, 3), "p4_1": (2, 2)}
    ratings = [
        Rating(case, "bladder", rater, value)
        for case, values in given.items()
        for rater, value in zip("AB", values, strict=False)
    ]
    study = study_ratings(ratings, [score(case, value) for case, value in dsc.items()])
    (row,) = study.summary.to_dict("records")
    means = {case: np.mean(values) for case, values in given.items()}
    assert (row["contours"], row["unrated"], row["patients"], row["raters"], row["ratings"]) == (5, 1, 4, 2, 9)
    assert row["mean"] == pytest.approx(np.mean(list(means.values())))
    assert row["median"] == 3 and [row[f"score_{value}"] for value in range(1, 6)] == [1, 2, 2, 3, 1]
    assert (row["shared"], row["same"]) == (4, 0.75)
    assert row["kappa"] == pytest.approx(weighted_kappa([5, 4, 3, 2], [4, 4, 3, 2], 5))
    scored = [case for case in given if case != "p4_1"]
    assert row["scored"] == 4
    assert row["spearman"] == pytest.approx(
        stats.spearmanr([means[case] for case in scored], [dsc[case] for case in scored]).statistic
    )
    assert np.isnan(row["kappa_low"]) and np.isnan(row["spearman_low"])  # fewer than five patients
    assert study.ratings[study.ratings["case"] == "p4_1"]["dsc"].isna().all()


def test_the_interval_of_a_mean_rating_stays_on_the_scale():
    """By hand: means of 5, 5 and 4, or 1, 1 and 2: SD 0.577, t 4.303, half width 1.43; beyond 5 and below 1."""
    for values, expected in (((5, 5, 4), (4.667 - 1.434, 5)), ((1, 1, 2), (1, 1.333 + 1.434))):
        ratings = [Rating(f"p{number}_1", "bladder", "A", value) for number, value in enumerate(values, 1)]
        study = study_ratings(ratings, [score(rating.case, 0.8) for rating in ratings])
        assert tuple(study.summary.loc[0, ["low", "high"]]) == pytest.approx(expected, abs=1e-3)


def test_intervals_over_patients():
    random = np.random.default_rng(1)
    cases = [f"p{number}_{fraction}" for number in range(1, 9) for fraction in (1, 2)]
    quality = dict(zip(cases, random.uniform(0.4, 1, len(cases)), strict=True))
    ratings = [
        Rating(case, "bladder", rater, int(np.clip(round(5 * quality[case] + random.normal(0, 0.5)), 1, 5)))
        for case in cases
        for rater in "AB"
    ]
    (row,) = study_ratings(ratings, [score(case, value) for case, value in quality.items()]).summary.to_dict("records")
    assert 0 < row["kappa_low"] < row["kappa"] < row["kappa_high"] <= 1
    assert 0 < row["spearman_low"] < row["spearman"] < row["spearman_high"] <= 1
