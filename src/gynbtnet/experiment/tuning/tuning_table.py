"""Tables of a tuning: all trials as CSV, the candidates as Markdown and on a terminal, and the recipe's heading."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gynbtnet.experiment.tuning.successive_halving import Rung, ScoredTrial, ranking
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.phrases import by_axis, counted

BIAS = (
    "The winner's score is too high on average, because the best of several noisy scores is partly luck. Judge the "
    "recipe by patients who were not used here."
)
_LEARNED = 0.05  # mean DSC below which a training has learned next to nothing
UNITS = {"cpu_seconds": "CPU s", "steps": "steps", "gpu_seconds": "GPU s"}
"""Units of a budget as printed."""
_SHORT = {
    "learning_rate": "rate",
    "warm_up_share": "warm-up",
    "mirror_axes": "mirror",
    "weight_decay": "decay",
    "patch_size": "patch",
    "batch_size": "batch",
    "gpu_memory_gb": "GB",
}
"""Heads of columns; other settings have their own name."""


@dataclass(frozen=True)
class TrialRecord:
    """Result of one trial, as stored in its folder.

    Attributes:
        rung: the rung.
        candidate: index of the candidate; 0 has the recipe's own settings.
        settings: its values by dotted key.
        score: mean DSC over structures and then over patients; None if the training diverged or nothing was scored.
        dsc: mean DSC by structure.
        steps: optimiser steps.
        cpu_seconds: CPU time of training; None if the training diverged.
        note: reason for an absent score.
    """

    rung: Rung
    candidate: int
    settings: Mapping[str, Any]
    score: float | None
    dsc: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    cpu_seconds: float | None = None
    note: str = ""

    def as_scored(self) -> ScoredTrial:
        """Return the trial for the ranking."""
        return ScoredTrial(self.rung, self.candidate, math.nan if self.score is None else self.score)


@dataclass(frozen=True)
class TuningResult:
    """All trials of a tuning, and their circumstances as the tables report them.

    Attributes:
        recipe: name of the recipe.
        stage: ``task``, ``supervised`` or ``nnunet``.
        unit: unit of the budget, a field of :class:`gynbtnet.training.budget.Budget`.
        budget: total budget.
        seed: seed of the search.
        training_patients: number of patients of the trainings.
        validation_patients: number of patients of the scores.
        trials: the trials in the order in which they were run.
    """

    recipe: str
    stage: str
    unit: str
    budget: float
    seed: int
    training_patients: int
    validation_patients: int
    trials: tuple[TrialRecord, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Candidates, the best first."""
        return ranking([trial.as_scored() for trial in self.trials])

    @property
    def winner(self) -> TrialRecord:
        """The best candidate's last trial."""
        return self.last_trial(self.order[0])

    def last_trial(self, candidate: int) -> TrialRecord:
        """Return the trial of a candidate in the last rung that it reached."""
        return [trial for trial in self.trials if trial.candidate == candidate][-1]

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs in their order."""
        return tuple({trial.rung.number: trial.rung for trial in self.trials}.values())


def column_names(result: TuningResult) -> dict[str, str]:
    """Return a short name of each setting in the search, by its dotted key."""
    names = [key.rpartition(".")[2] for key in result.trials[0].settings]
    return {
        key: _SHORT.get(name, name) if names.count(name) == 1 else key
        for key, name in zip(result.trials[0].settings, names, strict=True)
    }


def ranked_rows(result: TuningResult) -> tuple[list[str], list[list[str]]]:
    """Return the candidates for people, the best first: column heads, and rows of text."""
    columns = column_names(result)
    heads = ["no.", "rung", "steps", "CPU s", "DSC", *columns.values()]
    rows = []
    for candidate in result.order:
        trial = result.last_trial(candidate)
        values = [printed_value(trial.settings[key]) for key in columns]
        cost = [str(trial.steps), "–" if trial.cpu_seconds is None else f"{trial.cpu_seconds:.0f}"]
        rows.append([str(candidate), str(trial.rung.number + 1), *cost, _printed_score(trial), *values])
    return heads, rows


def printed_value(value: Any) -> str:
    """Return a setting's value for a table: axes as ``z y x``, edges as ``32×48×48``, nothing as a dash."""
    if value is None or value in ((), []):
        return "–"
    if isinstance(value, list | tuple):
        return " ".join(value) if all(isinstance(part, str) for part in value) else by_axis(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def explanation(result: TuningResult) -> list[str]:
    """Return what the table below it means, one sentence per entry."""
    own, winner = result.last_trial(0), result.winner
    unit = UNITS[result.unit]
    rungs = "; ".join(
        f"rung {rung.number + 1}: {counted(rung.candidates, 'candidate')} × {rung.budget:.4g} {unit}"
        for rung in result.rungs
    )
    if winner.candidate == 0:
        choice = "The recipe's own settings (no. 0) are the best."
    else:
        choice = (
            f"No. {winner.candidate} is the best, with {_printed_score(winner)} in rung {winner.rung.number + 1}; the "
            f"recipe's own settings (no. 0) have {_printed_score(own)} in rung {own.rung.number + 1}."
        )
    search = (
        f"Successive halving for the {result.stage} settings of {result.recipe}: {result.budget:.6g} {unit} of "
        f"training in all ({rungs})."
    )
    patients = (
        f"Trained on {counted(result.training_patients, 'patient')}; DSC is the mean over structures and then over "
        f"{counted(result.validation_patients, 'validation patient')}. No scan of a test patient was used."
    )
    return [search, patients, choice, BIAS, *_undecided(result)]


def _undecided(result: TuningResult) -> list[str]:
    """Return a warning if fewer candidates than a rung keeps learned anything in it, so that chance decided."""
    for rung, kept in zip(result.rungs, [*(rung.candidates for rung in result.rungs[1:]), 1], strict=True):
        scores = [trial.score or 0 for trial in result.trials if trial.rung.number == rung.number]
        learned = sum(score >= _LEARNED for score in scores)
        if learned < kept:
            warning = (
                f"Only {learned} of {counted(len(scores), 'candidate')} in rung {rung.number + 1} reached a DSC of "
                f"{_LEARNED:g}, so chance decided which {counted(kept, 'candidate')} it kept; give a larger --budget "
                "or fewer --candidates."
            )
            return [warning]
    return []


def recipe_heading(result: TuningResult) -> str:
    """Return how the settings of a tuned recipe were found, as text for its first lines."""
    winner = result.winner
    settings = ", ".join(f"{key} = {printed_value(value)}" for key, value in winner.settings.items())
    origin = (
        f"Written by gynbtnet tune with seed {result.seed}: no. {winner.candidate} of {len(result.order)} candidates."
    )
    return "\n".join([origin, f"Its settings: {settings}.", *explanation(result)])


def save_tables(result: TuningResult, out: Path) -> None:
    """Write ``trials.csv`` and ``table.md`` to a folder, each atomically.

    Args:
        result: the tuning.
        out: the folder.
    """
    with atomic_write(out / "trials.csv") as partial:
        pd.DataFrame([_csv_row(trial, result.unit) for trial in result.trials]).to_csv(partial, index=False)
    heads, rows = ranked_rows(result)
    lines = [" | ".join(cells) for cells in (heads, ["---:"] * len(heads), *rows)]
    notes = [f"No. {trial.candidate}: {trial.note}" for trial in result.trials if trial.note]
    paragraphs = [
        f"# Settings for {result.recipe}",
        *explanation(result),
        "".join(f"| {line} |\n" for line in lines).rstrip(),
        "Rung, steps, CPU seconds and DSC are those of a candidate's last trial; `trials.csv` has all trials.",
        *notes,
    ]
    with atomic_write(out / "table.md") as partial:
        partial.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


def _csv_row(trial: TrialRecord, unit: str) -> dict[str, Any]:
    values = {key: printed_value(v) if isinstance(v, list | tuple) else v for key, v in trial.settings.items()}
    return {
        "rung": trial.rung.number + 1,
        "candidate": trial.candidate,
        f"budget_{unit}": trial.rung.budget,
        "mean_dsc": trial.score,
        **{f"dsc_{structure}": value for structure, value in trial.dsc.items()},
        "steps": trial.steps,
        "cpu_seconds": trial.cpu_seconds,
        **values,
        "note": trial.note,
    }


def _printed_score(trial: TrialRecord) -> str:
    return "–" if trial.score is None else f"{trial.score:.3f}"
