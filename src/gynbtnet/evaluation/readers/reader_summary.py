"""Summary of a reader study: the model among the readers, with intervals over patients.

Each value is first averaged within a case: over the readers that an observer is compared with, or over all pairs of
readers. A difference is paired: model and readers are compared with the same contours. Means over cases have t
intervals by the patient jackknife (:mod:`gynbtnet.evaluation.statistics.patient_jackknife`), since the cases of a
patient are not independent.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from gynbtnet.evaluation.readers.pair_scores import CONSENSUS, MODEL, PAIR_METRICS, WITHOUT, PairScore
from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean

READERS = "readers"
"""All readers together, as observers or as references."""
OTHERS = "the other readers"
STAPLE_OF_OTHERS = "STAPLE of the other readers"
ONE_STAPLE = "STAPLE without one reader"
DIFFERENCE = "model − readers"
"""Observer of a row with differences."""

_CASE = ["patient", "case"]
_HIGHEST = np.array([np.inf if metric.endswith("_mm") else 1.0 for metric in PAIR_METRICS])


def summarise_pairs(scores: Sequence[PairScore], readers: Sequence[str]) -> pd.DataFrame:
    """Summarise scores of pairs over cases.

    Args:
        scores: scores of all cases.
        readers: names of the readers.

    Returns:
        A table with rows for each structure and these columns:

        - ``structure``, ``observer`` and ``reference``: what is compared with what. ``observer`` is "model − readers"
          for paired differences.
        - ``part``: "standing" (model and readers as groups), "readers" (each reader) or "pairs" (each pair).
        - ``cases`` and ``patients`` that were scored; ``not_scored``: number of scores of a case that are undefined.
        - ``<metric>_mean``, ``_low``, ``_high``: mean over cases and its 95 % interval over patients, clipped to the
          scale of the metric; NaN if undefined.
    """
    table = pd.DataFrame(scores)
    rows = [
        {"structure": structure, **row}
        for structure, group in table.groupby("structure", sort=False)
        for row in _rows(group, readers)
    ]
    return pd.DataFrame(rows)


def _rows(scores: pd.DataFrame, readers: Sequence[str]) -> Iterator[dict[str, object]]:
    observer, reference = scores["observer"], scores["reference"]
    of_readers, with_readers = observer.isin(readers), reference.isin(readers)
    left_out = reference.str.startswith(WITHOUT)
    model, humans = scores[(observer == MODEL) & with_readers], scores[of_readers & with_readers]
    yield _row("standing", MODEL, "each reader", model)
    yield _row("standing", READERS, "each other", humans)
    yield _difference("each reader", model, humans)
    model_left_out, humans_left_out = scores[(observer == MODEL) & left_out], scores[of_readers & left_out]
    if len(humans_left_out):
        yield _row("standing", MODEL, ONE_STAPLE, model_left_out)
        yield _row("standing", READERS, STAPLE_OF_OTHERS, humans_left_out)
        yield _difference(ONE_STAPLE, model_left_out, humans_left_out)
    yield _row("standing", MODEL, f"{CONSENSUS} of all readers", scores[reference == CONSENSUS])
    for reader in readers:
        yield _row("readers", reader, OTHERS, humans[humans["observer"] == reader])
        of_reader = humans_left_out[humans_left_out["observer"] == reader]
        if len(of_reader):
            yield _row("readers", reader, STAPLE_OF_OTHERS, of_reader)
    for (one, other), group in scores.groupby(["observer", "reference"], sort=False):
        yield _row("pairs", str(one), str(other), group)


def _row(part: str, observer: str, reference: str, scores: pd.DataFrame) -> dict[str, object]:
    return _described(part, observer, reference, _by_case(scores), int(scores["dsc"].isna().sum()))


def _difference(reference: str, model: pd.DataFrame, readers: pd.DataFrame) -> dict[str, object]:
    """Return the row of paired differences: model minus readers, both compared with the same contours of a case."""
    ours, theirs = (
        scores[scores["dsc"].notna()].groupby([*_CASE, "reference"])[list(PAIR_METRICS)].mean()
        for scores in (model, readers)
    )
    common = ours.index.intersection(theirs.index)
    undefined = len(ours.index.union(theirs.index)) - len(common)
    differences = (ours.loc[common] - theirs.loc[common]).groupby(_CASE).mean()
    return _described("standing", DIFFERENCE, reference, differences, undefined)


def _by_case(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each metric over the scored pairs of a case, by patient and case."""
    return scores[scores["dsc"].notna()].groupby(_CASE)[list(PAIR_METRICS)].mean()


def _described(part: str, observer: str, reference: str, values: pd.DataFrame, not_scored: int) -> dict[str, object]:
    patients = values.index.get_level_values("patient").astype(str).tolist()
    row: dict[str, object] = {"part": part, "observer": observer, "reference": reference}
    row |= {"cases": len(values), "patients": len(set(patients)), "not_scored": not_scored}
    estimate = patient_mean(values.to_numpy(np.float64), patients)
    low, high = estimate.interval()
    if observer != DIFFERENCE:  # a mean is within the scale of its metric
        low, high = np.maximum(low, 0), np.minimum(high, _HIGHEST)
    for number, metric in enumerate(PAIR_METRICS):
        row |= {
            f"{metric}_mean": float(estimate.value[number]),
            f"{metric}_low": float(low[number]),
            f"{metric}_high": float(high[number]),
        }
    return row
