"""Section of a report on the scores: a summary per structure, all metrics, and every case."""

import math
from collections.abc import Iterator, Sequence

from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import (
    ALL_STRUCTURES,
    DECIMALS,
    METRICS,
    SHOWN_METRICS,
    printed_summary,
    scoring_note,
)
from gynbtnet.evaluation.reports.example_cases import MISSED
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.evaluation.reports.sections.model_tables import csv_name, full_table, of_model, with_identifiers
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html


def results_section(results: Sequence[ModelResults], names: StructureNames) -> Iterator[str]:
    """Yield the summary of a single model, then all metrics and all scores of each model.

    Args:
        results: results of each model.
        names: names of the structures.
    """
    if len(results) == 1:
        yield _summary_table(results[0], SHOWN_METRICS, "")
    yield html.paragraph(scoring_note(results[0].evaluation.settings), "note")
    for model in results:
        table = _summary_table(model, tuple(METRICS), csv_name("summary", model))
        yield html.details(f"All metrics{of_model(model)}", table)
    heads = ["case", "structure", "status", *METRICS.values(), "reference (cm³)", "prediction (cm³)"]
    for model in results:
        yield full_table(
            f"Every case and structure{of_model(model)}",
            heads,
            [_score_row(score) for score in model.evaluation.scores],
            names,
            structure=1,
            numbers=slice(3, None),
            file=csv_name("scores", model),
        )


def _summary_table(model: ModelResults, metrics: Sequence[str], download: str) -> str:
    """Return counts and metrics of each structure, with median and quartiles on a second line."""
    summary = model.evaluation.summary
    heads, rows = printed_summary(summary)
    empty = {name for name in ("absent", "unknown") if not summary[name].any()}
    first = len(heads) - len(METRICS)
    hidden = {i for i, head in enumerate(heads[:first]) if head in empty}
    hidden |= {first + i for i, metric in enumerate(METRICS) if metric not in metrics}
    shown = [[cell.replace("; ", "\n") for i, cell in enumerate(row) if i not in hidden] for row in (heads, *rows)]
    data = with_identifiers(rows, summary)
    if not download:
        return html.table(shown[0], shown[1:], emphasised=ALL_STRUCTURES)
    kept = [[cell for i, cell in enumerate(row) if i not in hidden] for row in data]
    return html.table(shown[0], shown[1:], emphasised=ALL_STRUCTURES, download=download, data=kept)


def _score_row(score: Score) -> list[str]:
    values = [f"{getattr(score, metric):.{DECIMALS[metric]}f}" if score.is_scored else "–" for metric in METRICS]
    volumes = ["–" if math.isnan(volume) else f"{volume:.1f}" for volume in (score.truth_cm3, score.prediction_cm3)]
    return [score.case, score.structure, MISSED[score.missing_in], *values, *volumes]
