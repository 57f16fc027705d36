"""First screen of a report: the result in one line, then in a sentence per structure."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from gynbtnet.evaluation.calibration.flag_accuracy import FlagAccuracy
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import ALL_STRUCTURES
from gynbtnet.evaluation.reports.model_results import ModelResults
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.targets import TARGET_TYPES
from gynbtnet.pages import html_elements as html
from gynbtnet.runtime.phrases import counted, enumeration


@dataclass(frozen=True)
class FirstScreen:
    """The result in words.

    Attributes:
        headline: the whole result.
        sentences: one sentence per structure.
    """

    headline: str
    sentences: tuple[str, ...]

    def html(self) -> tuple[str, str]:
        """Return the headline and the list of sentences as HTML."""
        return html.paragraph(self.headline, "headline"), html.bullets(self.sentences)


def first_screen(results: Sequence[ModelResults], names: StructureNames) -> FirstScreen:
    """Return the result of one or several models in words.

    Args:
        results: results of each model on the same cases.
        names: names of the structures.
    """
    if len(results) > 1:
        return _several_models(results, names)
    (model,) = results
    rows = _rows(model)
    counts = _size(model)
    scored = {structure: float(row["dsc_mean"]) for structure, row in rows.items() if pd.notna(row["dsc_mean"])}
    if not scored:
        return FirstScreen(f"Nothing could be scored in {counts}.", tuple(_sentences(model, names)))
    worst = min(scored, key=lambda structure: scored[structure])
    target = next((structure for structure in scored if names.interpreted_type(structure) in TARGET_TYPES), "")
    parts = [f"{names.display_name(target)} {scored[target]:.2f}"] if target and target != worst else []
    parts.append(f"{names.display_name(worst)} worst with {scored[worst]:.2f}")
    parts.append(_missed(rows, names))
    if model.flags is not None:
        parts.append(f"{_flagged(model.flags)} of {counted(len(model.flags.contours), 'contour')} flagged")
    headline = ", ".join(parts)
    return FirstScreen(
        f"{headline[0].upper()}{headline[1:]} (mean DSC over {counts}).", tuple(_sentences(model, names))
    )


def _several_models(results: Sequence[ModelResults], names: StructureNames) -> FirstScreen:
    overall = [(model.name, model.evaluation.summary.iloc[-1]["dsc_mean"]) for model in results]
    headline = ", ".join(f"{name} {_dsc(value)}" for name, value in overall)
    sentences = []
    for structure in _rows(results[0]):
        rows = [(model.name, _rows(model)[structure]) for model in results]
        values = ", ".join(f"{name} {_dsc(row['dsc_mean'])}{_missed_of(row)}" for name, row in rows)
        sentences.append(f"{names.display_name(structure)}: {values}.")
    return FirstScreen(f"{headline} (mean DSC over structures, {_size(results[0])}).", tuple(sentences))


def _sentences(model: ModelResults, names: StructureNames) -> list[str]:
    sentences = []
    for structure, row in _rows(model).items():
        scores = [score for score in model.evaluation.scores if score.structure == structure and score.is_scored]
        if not scores:
            sentences.append(f"{names.display_name(structure)}: not scored in any case.")
            continue
        lowest = min(scores, key=lambda score: score.dsc)
        text = f"{names.display_name(structure)}: DSC {_dsc(row['dsc_mean'])}{_sd(row['dsc_sd'])}"
        text += f", HD95 {row['hd95_mm_mean']:.1f} mm in {counted(int(row['cases']), 'case')}"
        text += f"; lowest {lowest.dsc:.2f}{_kind(lowest)} ({lowest.case}); {_counts(row)}"
        if model.flags is not None:
            text += f"; {_flagged(model.flags, structure)} flagged"
        sentences.append(f"{text}.")
    return sentences


def _rows(model: ModelResults) -> dict[str, pd.Series]:
    """Return the row of each structure, without the mean over structures."""
    summary = model.evaluation.summary
    return {str(row["structure"]): row for _, row in summary.iterrows() if row["structure"] != ALL_STRUCTURES}


def _size(model: ModelResults) -> str:
    scores = model.evaluation.scores
    cases, patients = len({score.case for score in scores}), len({score.patient for score in scores})
    return f"{counted(cases, 'case')} of {counted(patients, 'patient')}"


def _missed(rows: dict[str, pd.Series], names: StructureNames) -> str:
    missed = [
        f"{names.display_name(structure)} in {counted(int(row['missed']), 'case')}"
        for structure, row in rows.items()
        if row["missed"]
    ]
    return f"missed: {enumeration(missed)}" if missed else "nothing missed"


def _missed_of(row: pd.Series) -> str:
    return f" (missed in {int(row['missed'])})" if row["missed"] else ""


def _counts(row: pd.Series) -> str:
    missed, false = int(row["missed"]), int(row["false"])
    return f"missed in {missed or 'none'}{f', false in {false}' if false else ''}"


def _kind(score: Score) -> str:
    return {"prediction": ", missed", "truth": ", false"}.get(score.missing_in, "")


def _flagged(flags: FlagAccuracy, structure: str | None = None) -> int:
    table = flags.contours
    return int(table.loc[table["structure"] == structure, "flagged"].sum() if structure else table["flagged"].sum())


def _dsc(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _sd(value: float) -> str:
    return "" if pd.isna(value) else f" ± {value:.2f}"
