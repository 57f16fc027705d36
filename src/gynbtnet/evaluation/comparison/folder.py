"""Output folder of a comparison: tables for readers, papers and programs, and plots with their data."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from gynbtnet.evaluation.comparison.box_plot import box_data, box_figure
from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.tables.effects import effects_table, effects_with_counts
from gynbtnet.evaluation.comparison.tables.model_summary import summarise_models
from gynbtnet.evaluation.comparison.tables.model_tables import model_table, pretraining_table
from gynbtnet.evaluation.comparison.tables.non_inferiority_table import non_inferiority_table
from gynbtnet.evaluation.comparison.tables.p_values import (
    OVERALL_TESTS,
    PAIRWISE_TESTS,
    overall_tests_table,
    pairwise_tests_table,
)
from gynbtnet.evaluation.metrics.score_table import METRICS, scoring_note
from gynbtnet.evaluation.reports.bland_altman import (
    agreement_table,
    bland_altman_figure,
    volume_pairs,
    with_differences,
)
from gynbtnet.evaluation.reports.grouped_table import GroupedTable, latex, markdown
from gynbtnet.evaluation.statistics.paired_values import BETTER_SIGN
from gynbtnet.pages.page_frame import VIEWER_FOLDER
from gynbtnet.pictures.picture import render_picture
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable

MANIFEST, SUMMARY = "comparison.json", "comparison.md"
_TABLES = ("table_1", "table_2", "tests_of_all", "tests_of_pairs", "effects", "non_inferiority")
_KINDS = (".csv", ".json", ".md", ".tex")
_VOLUMES = "bland_altman_volume"
PAGE = "report.html"
"""File that :func:`gynbtnet.evaluation.comparison.report.report_comparison` adds."""
FILES = (
    *(MANIFEST, SUMMARY, PAGE),
    *(table + kind for table in _TABLES for kind in _KINDS),
    *(f"box_{metric}{kind}" for metric in BETTER_SIGN for kind in (".csv", ".png")),
    *(f"{_VOLUMES}.csv", f"{_VOLUMES}_limits.csv", f"{_VOLUMES}.png"),
)


def check_comparison_folder(out: Path) -> None:
    """Check that ``out`` doesn't exist or is an earlier comparison; otherwise raise BadInput."""
    ensure_replaceable(out, FILES, MANIFEST, folders={VIEWER_FOLDER: ".html"})


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write the folder of a comparison atomically.

    The overview is ``comparison.md``. Each table is stored as CSV and JSON with all values in full precision, and as
    Markdown and LaTeX for print. Next to each plot are its data as CSV.

    Args:
        comparison: the comparison.
        out: the folder.
    """
    with atomic_write(out) as folder:
        folder.mkdir()
        printed = [_write_table(table, data, folder) for table, data in _tables(comparison)]
        for name, figure, data, description in _figures(comparison):
            (folder / f"{name}.png").write_bytes(render_picture(figure, description).png)
            data.to_csv(folder / f"{name}.csv", index=False)
        agreement_table(volume_pairs(comparison.evaluations)).to_csv(folder / f"{_VOLUMES}_limits.csv", index=False)
        (folder / SUMMARY).write_text(_summary(comparison, printed), encoding="utf-8")
        (folder / MANIFEST).write_text(json.dumps(_manifest(comparison), indent=1) + "\n", encoding="utf-8")


def _tables(comparison: Comparison) -> Iterator[tuple[GroupedTable, pd.DataFrame]]:
    """Yield each table for print, and its data in full."""
    first, second = model_table(comparison), pretraining_table(comparison)
    if first:
        yield first, summarise_models(comparison, (*comparison.rivals, comparison.ours))
    if second and comparison.from_scratch:
        yield second, summarise_models(comparison, (comparison.from_scratch, comparison.ours))
    tests = comparison.tests.tests
    yield overall_tests_table(comparison), tests[tests["test"].isin(OVERALL_TESTS)].drop(columns=["model", "other"])
    yield pairwise_tests_table(comparison), tests[tests["test"].isin(PAIRWISE_TESTS)].drop(columns="effect")
    yield effects_table(comparison), effects_with_counts(comparison)
    margin = non_inferiority_table(comparison)
    if margin:
        yield margin


def _write_table(table: GroupedTable, data: pd.DataFrame, folder: Path) -> GroupedTable:
    path = folder / table.name
    data.to_csv(path.with_suffix(".csv"), index=False)
    path.with_suffix(".json").write_text(data.to_json(orient="records", indent=1, double_precision=12) + "\n")
    path.with_suffix(".md").write_text(markdown(table), encoding="utf-8")
    path.with_suffix(".tex").write_text(latex(table), encoding="utf-8")
    return table


def _figures(comparison: Comparison) -> Iterator[tuple[str, Figure, pd.DataFrame, str]]:
    note = "synthetic data" if comparison.cohort.synthetic else ""
    for metric in comparison.settings.metrics:
        data = box_data(comparison.evaluations, metric)
        figure = box_figure(data, metric, note, comparison.names)
        yield f"box_{metric}", figure, data, f"{METRICS[metric]} of each model, by structure"
    pairs = volume_pairs(comparison.evaluations)
    figure = bland_altman_figure(pairs, "volume", "cm³", note, comparison.names)
    yield _VOLUMES, figure, with_differences(pairs), "Predicted minus reference volume against their mean"


def _summary(comparison: Comparison, printed: list[GroupedTable]) -> str:
    lines = [f"# {', '.join(comparison.evaluations)} on {comparison.cohort.name}", ""]
    if comparison.cohort.synthetic:
        lines += ["**Synthetic data. No patient was scanned.**", ""]
    lines += ["For research use only.", "", *(f"- {note}" for note in comparison.notes), ""]
    titles = {
        "table_1": "Models",
        "table_2": "Pretraining",
        "tests_of_all": "Tests of all models together",
        "tests_of_pairs": "Tests of pairs of models",
        "effects": "Effect sizes",
        "non_inferiority": "Non-inferiority",
    }
    for table in printed:
        lines += [f"## {titles[table.name]}", "", markdown(table)]
    lines += ["## Metrics", "", scoring_note(comparison.evaluations[comparison.ours].settings), ""]
    return "\n".join(lines)


def _manifest(comparison: Comparison) -> dict[str, object]:
    return {
        "cohort": comparison.cohort.name,
        "synthetic": comparison.cohort.synthetic,
        "cases": len(comparison.cohort.cases),
        "patients": len(comparison.cohort.patients),
        "models": list(comparison.evaluations),
        "ours": comparison.ours,
        "from_scratch": comparison.from_scratch,
        "structures": list(comparison.structures),
        "settings": comparison.settings.model_dump(mode="json"),
        "scoring": comparison.evaluations[comparison.ours].settings.model_dump(mode="json"),
        "notes": list(comparison.notes),
    }
