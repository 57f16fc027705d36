"""Section of a report on several readers: the model among them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from gynbtnet.evaluation.metrics.score_table import DECIMALS, METRICS
from gynbtnet.evaluation.readers.pair_scores import PAIR_METRICS, PairScore
from gynbtnet.evaluation.readers.reader_study import SCORES_FILE, SUMMARY_FILE, ReaderStudy
from gynbtnet.evaluation.readers.reader_summary import DIFFERENCE
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html
from gynbtnet.runtime.phrases import counted, enumeration

_NOTE = (
    "Mean [95 % interval over patients] over cases. Within a case, a value is first averaged over the readers. The "
    "added path length is the length of the reference's contour that the observer lacks. Two readers are therefore "
    "compared in both directions. A difference compares model and readers with the same contours. Above 0 is better "
    "for DSC and surface DSC, below 0 for the added path length. If its interval includes 0, model and readers can't "
    "be distinguished with these patients. That doesn't show that they are equally good."
)
_STAPLE = (
    "STAPLE is the consensus of the readers (Warfield et al. 2004, doi 10.1109/TMI.2004.828354). A reader is only "
    "compared with the consensus of the other readers, since a consensus that contains a reader's own contours is "
    "nearer to them. For the difference, the model is compared with the same consensus. The consensus of all readers "
    "is based on one reader more, so that its value can't be compared with those of the readers."
)
_TWO_READERS = (
    " With two readers there is no consensus without one of them; STAPLE of two readers decides little if they differ."
)


def reader_section(study: ReaderStudy, names: StructureNames) -> Iterator[str]:
    """Yield the tables of a reader study as HTML.

    Args:
        study: the study.
        names: names of the structures.
    """
    summary = study.summary
    not_scored = [score for score in study.scores if score.status != "scored"]
    several = len(study.readers) > 2
    yield html.paragraph(
        f"{counted(len(study.readers), 'reader')}: {enumeration(study.readers)}. "
        + ("" if not_scored else "All readers contoured every structure of every case.")
    )
    yield _table(summary[summary["part"] == "standing"], names)
    yield html.paragraph(_NOTE, "note")
    yield html.paragraph(_STAPLE + ("" if several else _TWO_READERS), "note")
    yield html.details("Each reader", _table(summary[summary["part"] == "readers"], names))
    pairs = _table(summary[summary["part"] == "pairs"], names)
    yield html.details("Each pair", pairs)
    yield html.csv_link(summary.to_csv(index=False), SUMMARY_FILE)
    if not_scored:
        heads = ["case", "structure", "observer", "reference", "status"]
        rows = [_status_row(score, names) for score in not_scored]
        yield html.details(
            f"Pairs in which a structure is missing or unknown ({counted(len(rows), 'row')})",
            html.table(heads, rows, numbers=slice(5, None)),
        )
    yield html.csv_link(pd.DataFrame(study.scores).to_csv(index=False), SCORES_FILE)


def _status_row(score: PairScore, names: StructureNames) -> list[str]:
    structure = names.display_name(score.structure)
    return [score.case, structure, score.observer, score.reference, score.status]


def _table(summary: pd.DataFrame, names: StructureNames) -> str:
    heads = ["structure", "observer", "compared with", "cases", "patients", *(METRICS[name] for name in PAIR_METRICS)]
    rows = [
        [
            names.display_name(str(row["structure"])),
            *(str(row["observer"]), str(row["reference"]), str(row["cases"]), str(row["patients"])),
            *(mean_and_interval(row, metric, signed=row["observer"] == DIFFERENCE) for metric in PAIR_METRICS),
        ]
        for row in summary.to_dict("records")
    ]
    return html.table(heads, rows, numbers=slice(3, None))


def mean_and_interval(row: Mapping[Any, Any], metric: str, *, signed: bool = False) -> str:
    """Return ``0.84 [0.80, 0.88]`` of a row; the mean alone without interval, a dash if nothing was scored."""
    mean, low, high = (float(row[f"{metric}_{name}"]) for name in ("mean", "low", "high"))
    form = f"{'+' if signed else ''}z.{DECIMALS[metric]}f"
    if math.isnan(mean):
        return "–"
    return f"{mean:{form}}" if math.isnan(low) else f"{mean:{form}}\n[{low:{form}}, {high:{form}}]"
