"""Section of a report on ratings of the predicted contours."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from gynbtnet.evaluation.readers.rating_sheet import HIGHEST
from gynbtnet.evaluation.readers.rating_study import RATINGS_FILE, RatingStudy
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html
from gynbtnet.runtime.phrases import counted

_NOTE = (
    "Mean: over contours, of their mean rating, with its interval over patients. κ: quadratic-weighted kappa "
    "of raters of the same contours, averaged over their pairs. It is 1 for full agreement and 0 for chance. There is "
    "none if all gave the same score, since chance then agrees fully too. Same: share of equal pairs of ratings. ρ: "
    "Spearman's correlation of a contour's mean rating with its DSC. Intervals of κ and ρ resample patients; there are "
    "none for fewer than five patients. Raters who know that a contour is automatic may judge it differently."
)


def rating_section(study: RatingStudy, names: StructureNames) -> Iterator[str]:
    """Yield the tables of ratings as HTML.

    Args:
        study: the ratings.
        names: names of the structures.
    """
    scores = [str(value) for value in range(1, HIGHEST + 1)]
    heads = [
        *("structure", "contours", "not rated", "raters", "mean", "median", *scores, "same", "κ", "ρ with DSC"),
    ]
    rows = [
        [
            names.display_name(str(row["structure"])),
            *(str(row[name]) for name in ("contours", "unrated", "raters")),
            _with_interval(row, "mean", ("low", "high")),
            f"{row['median']:g}",
            *(str(row[f"score_{score}"]) for score in scores),
            "–" if math.isnan(row["same"]) else f"{100 * row['same']:.0f} %",
            _with_interval(row, "kappa", ("kappa_low", "kappa_high")),
            _with_interval(row, "spearman", ("spearman_low", "spearman_high")),
        ]
        for row in study.summary.to_dict("records")
    ]
    yield html.paragraph(
        f"{counted(len(study.ratings), 'rating')} from 1 (worst) to {HIGHEST} (best) by "
        f"{counted(study.ratings['rater'].nunique(), 'rater')}."
    )
    yield html.table(heads, rows)
    yield html.csv_link(study.summary.to_csv(index=False), "rating_summary.csv")
    yield html.paragraph(_NOTE, "note")
    heads = ["case", "structure", "rater", "score", "DSC", "surface DSC"]
    cells = [
        [
            *(str(row["case"]), names.display_name(str(row["structure"])), str(row["rater"]), str(row["score"])),
            *("–" if math.isnan(row[name]) else f"{row[name]:.3f}" for name in ("dsc", "surface_dsc")),
        ]
        for row in study.ratings.to_dict("records")
    ]
    table = html.table(heads, cells, numbers=slice(3, None))
    yield html.details(f"Every rating ({counted(len(cells), 'row')})", table)
    yield html.csv_link(study.ratings.to_csv(index=False), RATINGS_FILE)


def _with_interval(row: Mapping[Any, Any], name: str, ends: tuple[str, str]) -> str:
    value, low, high = (float(row[key]) for key in (name, *ends))
    if math.isnan(value):
        return "–"
    return f"{value:.2f}" if math.isnan(low) else f"{value:.2f}\n[{low:.2f}, {high:.2f}]"
