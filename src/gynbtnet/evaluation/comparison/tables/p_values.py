"""Tables of the p-values of every test: of all models together, and of every pair."""

from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.tables.cells import (
    adjustment_phrase,
    number_text,
    p_text,
    records,
    row_labels,
    synthetic_note,
)
from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head, Row
from gynbtnet.evaluation.statistics.model_tests import TESTS

OVERALL_TESTS = ("anova", "friedman")
PAIRWISE_TESTS = ("patient_t", "patient_permutation", "permutation", "wilcoxon", "tukey")


def overall_tests_table(comparison: Comparison) -> GroupedTable:
    """Return ANOVA and Friedman test of all models, for every structure and metric."""
    tests = comparison.tests.tests
    above = (Head("structure"), Head("metric"), Head("cases"), Head(TESTS["anova"], 4), Head(TESTS["friedman"], 4))
    below = (Head(""), Head(""), Head(""), *map(Head, ("F", "p", "adjusted", "η²", "χ²", "p", "adjusted", "W")))
    groups = []
    for structure in comparison.structures:
        rows: list[Row] = []
        for metric in comparison.settings.metrics:
            selected = tests[(tests["structure"] == structure) & (tests["metric"] == metric)]
            by_test = {row["test"]: row for row in records(selected)}
            name = "" if rows else comparison.names.display_name(structure)
            cells = [Cell(name), Cell(METRICS[metric]), Cell(str(by_test["anova"]["cases"]))]
            for test in OVERALL_TESTS:
                result = by_test[test]
                cells += [
                    Cell(number_text(result["statistic"], 2)),
                    Cell(p_text(result["p"])),
                    Cell(p_text(result["p_adjusted"])),
                ]
                cells.append(Cell(number_text(result["effect"], 2)))
            rows.append(tuple(cells))
        groups.append(tuple(rows))
    models = len(comparison.evaluations)
    few = " Friedman's test needs three models." if models < 3 else ""
    caption = (
        f"{synthetic_note(comparison)}Tests of the hypothesis that all {models} models are equal. Adjusted: by "
        "Benjamini–Hochberg over all structures and metrics, for each test. ANOVA treats all values as independent; "
        f"Friedman's test pairs the cases; neither accounts for patients.{few} η²: share of the variance that is "
        "between models. W: agreement of the cases on the ranks of the models, 0 to 1. These two have no interval: "
        "neither can be below 0, so that an interval from resamples never contains 0."
    )
    return GroupedTable("tests_of_all", caption, (above, below), tuple(groups), texts=2)


def pairwise_tests_table(comparison: Comparison) -> GroupedTable:
    """Return p-values of every test of every pair of models, raw and adjusted."""
    tests = comparison.tests.tests
    pairs = tests[tests["test"].isin(PAIRWISE_TESTS)]
    above = (*(Head("") for _ in range(5)), *(Head(TESTS[test], 2) for test in PAIRWISE_TESTS))
    below = (
        *map(Head, ("structure", "metric", "model", "compared with", "cases")),
        *(Head(kind) for _ in PAIRWISE_TESTS for kind in ("p", "adjusted")),
    )
    groups = []
    for _, group in pairs.groupby(["structure", "metric"], sort=False):
        rows: list[Row] = []
        for _, pair in group.groupby(["model", "other"], sort=False):
            by_test = {row["test"]: row for row in records(pair)}
            cells = row_labels(comparison, by_test[PAIRWISE_TESTS[0]], first=not rows)
            cells.append(Cell(str(by_test[PAIRWISE_TESTS[0]]["cases"])))
            for test in PAIRWISE_TESTS:
                cells += [Cell(p_text(by_test[test]["p"])), Cell(p_text(by_test[test]["p_adjusted"]))]
            rows.append(tuple(cells))
        groups.append(tuple(rows))
    used = dict.fromkeys(f"{TESTS[test]}, {adjustment_phrase(comparison, test)}" for test in PAIRWISE_TESTS)
    caption = (
        f"{synthetic_note(comparison)}Two-sided p-values of every pair of models. {'; '.join(used)}. The raw p of "
        "Tukey's test is that of t with the SD pooled over all models."
    )
    return GroupedTable("tests_of_pairs", caption, (above, below), tuple(groups), texts=4)
