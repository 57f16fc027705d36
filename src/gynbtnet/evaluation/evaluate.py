"""A folder of predictions against a cohort's contours: scores of every case, and their tables on disk."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.json_files import read_json
from gynbtnet.errors import BadInput
from gynbtnet.evaluation.metrics import Score, score
from gynbtnet.evaluation.score_table import POLICY, markdown_table, score_table, summarise
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.imaging.volume_files import read_volume
from gynbtnet.progress import track
from gynbtnet.whole_files import check_replaceable, written_whole

FILES = ("scores.csv", "summary.csv", "summary.json", "summary.md")


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of cases, in the cohort's order."""

    scores: tuple[Score, ...]

    @property
    def summary(self) -> pd.DataFrame:
        """See :func:`gynbtnet.evaluation.score_table.summarise`."""
        return summarise(self.scores)

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """Read what :func:`evaluate` wrote.

        Raises:
            BadInput: where the folder holds no ``scores.csv``, or a damaged one.
        """
        path = Path(folder) / "scores.csv"
        if not path.is_file():
            raise BadInput(f"There is no {path}; expected an evaluation folder, as `gynbtnet evaluate` writes it.")
        try:
            with path.open(newline="") as file:
                scores = tuple(_SCORE.validate_python(_with_nan(row)) for row in csv.DictReader(file))
        except (ValidationError, UnicodeDecodeError, csv.Error) as error:
            raise BadInput(f"{path} is damaged or was edited; run `gynbtnet evaluate` again.") from error
        if not scores:
            raise BadInput(f"{path} holds no scores; run `gynbtnet evaluate` again.")
        return cls(scores)


def evaluate(cohort: Cohort, predictions: Path, out: Path) -> Evaluation:
    """Score ``<predictions>/<case id>/labels.nii.gz`` of every case of ``cohort`` against its labels.

    Writes the folder ``out`` whole: ``scores.csv`` (a row per case and structure), ``summary.csv``, ``summary.json``
    and ``summary.md`` (mean ± SD per structure). A structure that a case's source doesn't contour isn't scored there.

    Raises:
        BadInput: where there is no case, a case has no labels, or a prediction is absent, lies on another grid or comes
            from a model of other structures; where ``out`` holds anything but an earlier evaluation.
    """
    check_replaceable(out, FILES, "scores.csv")
    if not cohort.cases:
        raise BadInput(f"The selection of the cohort {cohort.folder} has no cases; expected some to evaluate.")
    scores: list[Score] = []
    for case in track(cohort.cases, "Evaluate"):
        truth = truth_of(case, cohort.structures)
        prediction = prediction_of(case, predictions, cohort.structures)
        grid = truth.labels.geometry
        if not grid.is_same(prediction.labels.geometry):
            raise BadInput(
                f"{prediction_path(case, predictions)} lies on another grid than its truth, "
                f"{grid.difference(prediction.labels.geometry)}; expected a "
                "prediction on the scan's own grid: predict this scan again."
            )
        scores += score(truth, prediction, case=case.id, patient=case.patient, unknown=case.missing)
    evaluation = Evaluation(tuple(scores))
    _write(evaluation, out)
    return evaluation


def truth_of(case: Case, structures: Sequence[str]) -> Segmentation:
    """The case's own contours.

    Raises:
        BadInput: where the case has none.
    """
    if case.labels is None:
        raise BadInput(f"The scan {case.image} has no labels; expected contours to evaluate against.")
    return _segmentation(case.labels, tuple(structures))


def prediction_of(case: Case, predictions: Path, structures: Sequence[str]) -> Segmentation:
    """The predicted contours of a case, labels named by ``structures`` unless ``prediction.json`` beside names them.

    Raises:
        BadInput: where a file is absent or damaged, or the model that wrote it doesn't know one of ``structures``.
    """
    path = prediction_path(case, predictions)
    if not path.is_file():
        raise BadInput(f"There is no prediction {path}; expected one for each case, run `gynbtnet predict` first.")
    manifest = path.parent / "prediction.json"
    known = tuple(structures)
    if manifest.is_file():
        known = read_json(_Named, manifest, "predict this scan again with `gynbtnet predict`").structures
    unknown = [name for name in structures if name not in known]
    if unknown:
        raise BadInput(
            f"{manifest} is from a model of {', '.join(known)}; expected {', '.join(unknown)} too, as the cohort has "
            "it: predict with a model trained on these structures."
        )
    return _segmentation(path, known)


def prediction_path(case: Case, predictions: Path) -> Path:
    """Where a case's predicted label map lies."""
    return Path(predictions) / case.id / "labels.nii.gz"


@dataclass(frozen=True)
class _Named:
    """What evaluation needs of a ``prediction.json``."""

    structures: tuple[str, ...]


_SCORE = TypeAdapter(Score)


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    """A row of ``scores.csv``; an empty cell is NaN."""
    return {name: "nan" if value == "" else value for name, value in row.items()}


def _segmentation(path: Path, structures: tuple[str, ...]) -> Segmentation:
    labels = read_volume(path)
    try:
        return Segmentation(labels, structures)
    except ValueError as error:
        raise BadInput(
            f"{path}: {error}; expected labels 1 to {len(structures)} in the order of the cohort."
        ) from error


def _write(evaluation: Evaluation, out: Path) -> None:
    summary = evaluation.summary
    with written_whole(out) as folder:
        folder.mkdir()
        scores_csv, summary_csv, summary_json, summary_md = (folder / name for name in FILES)
        score_table(evaluation.scores).to_csv(scores_csv, index=False)
        summary.to_csv(summary_csv, index=False)
        summary_json.write_text(summary.to_json(orient="records", indent=2, double_precision=6) + "\n")
        summary_md.write_text(f"{markdown_table(summary)}\n{POLICY}\n")
