"""``scores.csv`` of an evaluation, read and checked."""

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.runtime.errors import BadInput

_SETTING_COLUMNS = ("missing_structure_policy", "tolerance_mm", "surface")
_FORMER_COLUMNS = {"policy": "missing_structure_policy", "missed": "missing_in"}  # by their former name
_SCORE = TypeAdapter(Score)
_SHARES = tuple(name for name in METRICS if name in ("dsc", "surface_dsc") or name.endswith("_share"))
_SIGNED = ("volume_difference_cm3",)
_ROUNDING = 1e-6  # a computed share may differ from 0 or 1 by this


def read_scores(path: Path) -> tuple[tuple[Score, ...], ScoringSettings]:
    """Read the scores that :func:`gynbtnet.evaluation.metrics.evaluation.evaluate` wrote.

    Args:
        path: ``scores.csv``; files with former column names are read too.

    Returns:
        The scores, and the settings that they were computed with.

    Raises:
        BadInput: If the file is missing or damaged, or has a structure of a case twice. Also if it lacks a name or a
            metric of a scored structure, or has an impossible number.
    """
    if not path.is_file():
        raise BadInput(f"There is no {path}; expected an evaluation folder written by `gynbtnet evaluate`.")
    try:
        with path.open(newline="") as file:
            rows = [_with_current_columns(row) for row in csv.DictReader(file)]
        settings = _settings_of(rows)
        scores = tuple(
            _SCORE.validate_python(_with_nan({k: v for k, v in row.items() if k not in _SETTING_COLUMNS}))
            for row in rows
        )
    except (ValidationError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} is damaged, edited or of an older version; run `gynbtnet evaluate` again.") from error
    if settings is None:
        raise BadInput(
            f"{path} has no scores, or scores of several missing-structure policies or tolerances; run "
            "`gynbtnet evaluate` again."
        )
    problem = _first_problem(scores, settings)
    if problem:
        raise BadInput(f"{path} has {problem}; run `gynbtnet evaluate` again.")
    return scores, settings


def _first_problem(scores: Sequence[Score], settings: ScoringSettings) -> str | None:
    """Return what would silently change means: a structure twice, a gap, or an impossible number; None if nothing."""
    rows = Counter((score.case, score.structure) for score in scores)
    twice = [key for key, count in rows.items() if count > 1]
    if twice:
        case, structure = twice[0]
        return f"two rows of {structure} of {case}"
    scored = {"none"} if settings.missing_structure_policy == "drop" else {"none", "prediction", "truth"}
    return next(filter(None, (_problem_of(score, scored=score.missing_in in scored) for score in scores)), None)


def _problem_of(score: Score, *, scored: bool) -> str | None:
    """Return what is wrong with one row; None if nothing is."""
    blank = [name for name in ("case", "patient", "structure") if not getattr(score, name).strip()]
    if blank:
        return f"a row without {blank[0]}"
    of_whom = f"for {score.structure} of {score.case}"
    volumes = {"prediction_cm3": score.prediction_cm3}
    if score.missing_in != "unknown":
        volumes["truth_cm3"] = score.truth_cm3
    metrics = {name: float(getattr(score, name)) for name in METRICS} if scored else {}
    for name, value in (volumes | metrics).items():
        if not math.isfinite(value):
            return f"no {name} {of_whom}" + (", although the structure is scored" if name in metrics else "")
        if value < -_ROUNDING and name not in _SIGNED:
            return f"a {name} of {value:g} {of_whom}, expected {'0 to 1' if name in _SHARES else 'at least 0'}"
        if value > 1 + _ROUNDING and name in _SHARES:
            return f"a {name} of {value:g} {of_whom}, expected 0 to 1"
    return None


def _settings_of(rows: Sequence[Mapping[str, str]]) -> ScoringSettings | None:
    """Return the settings of the rows of ``scores.csv``; None if there are no rows, or rows of several settings."""
    tolerances = {row["structure"]: row["tolerance_mm"] for row in rows}
    common = {(row["missing_structure_policy"], row.get("surface", "voxels")) for row in rows}
    if len(common) != 1 or any(row["tolerance_mm"] != tolerances[row["structure"]] for row in rows):
        return None
    policy, surface = common.pop()
    values: dict[str, object] = {"missing_structure_policy": policy, "surface": surface}
    if len(set(tolerances.values())) == 1:
        values["tolerance_mm"] = next(iter(tolerances.values()))
    else:
        values["tolerances_mm"] = tolerances
    return ScoringSettings.model_validate(values)


def _with_current_columns(row: Mapping[str, str]) -> dict[str, str]:
    """Return a row of ``scores.csv`` with the current names of its columns."""
    return {_FORMER_COLUMNS.get(name, name): value for name, value in row.items()}


def _with_nan(row: Mapping[str, str]) -> dict[str, str]:
    """Return a row of ``scores.csv`` with its empty cells as NaN."""
    return {name: "nan" if value == "" else value for name, value in row.items()}
