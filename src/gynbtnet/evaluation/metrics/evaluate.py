"""A folder of predictions against a cohort's contours: scores of every case, and their tables on disk."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.metrics import Score, score
from gynbtnet.evaluation.metrics.score_table import markdown_table, score_table, scoring_sentence, summarise
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.structure_masks import OverlappingSegmentation, StructureMasks
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.json_files import read_json
from gynbtnet.runtime.parallel import limit_jobs_to_memory, map_scans

Result = TypeVar("Result")
_BASE_GB = 0.3
_BYTES_A_VOXEL = 26  # where one structure fills the scan: two label maps, masks, surfaces and one map of distances
FILES = ("scores.csv", "summary.csv", "summary.json", "summary.md")
PAGE_FILES = ("report.html", "strata.csv", "consistency.csv", "flags.csv")
"""What :func:`gynbtnet.evaluation.reports.evaluation_report.report_evaluation` adds."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of cases, in the cohort's order, and how they were made."""

    scores: tuple[Score, ...]
    settings: ScoringSettings = field(default_factory=ScoringSettings)

    @property
    def summary(self) -> pd.DataFrame:
        """See :func:`gynbtnet.evaluation.metrics.score_table.summarise`."""
        return summarise(self.scores, self.settings)

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
                rows = list(csv.DictReader(file))
            made = {tuple(row.pop(name) for name in ScoringSettings.model_fields) for row in rows}
            scores = tuple(_SCORE.validate_python(_with_nan(row)) for row in rows)
            settings = [
                ScoringSettings.model_validate(dict(zip(ScoringSettings.model_fields, values, strict=True)))
                for values in made
            ]
        except (ValidationError, KeyError, UnicodeDecodeError, csv.Error) as error:
            raise BadInput(
                f"{path} is damaged, edited or of an older version; run `gynbtnet evaluate` again."
            ) from error
        if len(settings) != 1:
            raise BadInput(
                f"{path} holds no scores, or some of several policies or tolerances; run `gynbtnet evaluate` again."
            )
        return cls(scores, settings[0])


def evaluate(
    cohort: Cohort,
    predictions: Path,
    out: Path,
    settings: ScoringSettings | None = None,
    *,
    jobs: int = 1,
    memory_gb: float | None = None,
) -> Evaluation:
    """Score ``<predictions>/<case id>/labels.nii.gz`` of every case of ``cohort`` against its labels.

    Writes the folder ``out`` whole: ``scores.csv`` (a row per case and structure), ``summary.csv``, ``summary.json``
    and ``summary.md`` (mean ± SD per structure). A structure that a case's source doesn't contour isn't scored there.

    Args:
        cohort: the truth.
        predictions: a folder as :func:`gynbtnet.predict` or ``gynbtnet predict`` leaves it.
        out: folder of the tables.
        settings: policy and tolerance.
        jobs: cases at once, each in a process of its own.
        memory_gb: what they may take together, see :func:`gynbtnet.runtime.parallel.limit_jobs_to_memory`.

    Raises:
        BadInput: where there is no case, a case has no labels, or a prediction is absent, lies on another grid or comes
            from a model of other structures; where ``out`` holds anything but an earlier evaluation.
    """
    settings = settings or ScoringSettings()
    ensure_replaceable(out, FILES + PAGE_FILES, "scores.csv")
    if not cohort.cases:
        raise BadInput(f"The selection of the cohort {cohort.folder} has no cases; expected some to evaluate.")
    work = partial(_scores_of, cohort.structures, predictions, settings)
    scored = all_or_none(work, cohort.cases, title="Evaluate", jobs=jobs, memory_gb=memory_gb)
    evaluation = Evaluation(tuple(score for of_case in scored for score in of_case), settings)
    _write(evaluation, out)
    return evaluation


def all_or_none(
    work: Callable[[Case], Result], cases: Sequence[Case], *, title: str, jobs: int, memory_gb: float | None = None
) -> list[Result]:
    """What ``work`` makes of every case, as :func:`gynbtnet.runtime.parallel.map_scans` does it.

    Raises:
        BadInput: where one fails, since a table of the others would look like one of all.
    """
    largest = max(math.prod(case.geometry.shape) for case in cases)
    if jobs > 1:
        jobs = limit_jobs_to_memory(jobs, _BASE_GB + largest * _BYTES_A_VOXEL / 1e9, memory_gb)
    try:
        return map_scans(work, cases, name=lambda case: case.id, title=title, jobs=jobs)
    except ScansFailed as problem:
        (_, reason), *more = problem.failed
        further = f" {len(more)} more of {len(cases)} cases can't be evaluated either." if more else ""
        raise BadInput(f"{reason}{further}") from problem


def matching_prediction(case: Case, predictions: Path, truth: Segmentation) -> Segmentation:
    """The predicted contours of a case, on the grid of its truth.

    Raises:
        BadInput: as :func:`read_prediction`, or where they lie on another grid.
    """
    prediction = read_prediction(case, predictions, truth.structures)
    grid = truth.labels.geometry
    if not grid.is_same(prediction.labels.geometry):
        raise BadInput(
            f"{find_prediction(case, predictions)} lies on another grid than its truth, "
            f"{grid.difference(prediction.labels.geometry)}; expected a "
            "prediction on the scan's own grid: predict this scan again."
        )
    return prediction


def _scores_of(structures: tuple[str, ...], predictions: Path, settings: ScoringSettings, case: Case) -> list[Score]:
    truth = read_truth(case, structures)
    prediction = matching_prediction(case, predictions, truth)
    return score(truth, prediction, case=case.id, patient=case.patient, unknown=case.missing, settings=settings)


def read_truth(case: Case, structures: Sequence[str]) -> Segmentation:
    """The case's own contours: of structures that overlap others, the masks as they were drawn.

    Raises:
        BadInput: where the case has none, or a file is damaged.
    """
    if case.labels is None:
        raise BadInput(f"The scan {case.image} has no labels; expected contours to evaluate against.")
    segmentation = _segmentation(case.labels, tuple(structures))
    if case.masks is None:
        return segmentation
    own = StructureMasks.read(case.masks, case.masked)
    if not segmentation.labels.geometry.is_same(own.bits.geometry):
        raise BadInput(f"{case.masks} lies on another grid than {case.labels}; run `gynbtnet ingest` again.")
    return OverlappingSegmentation(segmentation.labels, segmentation.structures, own)


def read_prediction(case: Case, predictions: Path, structures: Sequence[str]) -> Segmentation:
    """The predicted contours of a case, labels named by ``structures`` unless ``prediction.json`` beside names them.

    Raises:
        BadInput: where a file is absent or damaged, or the model that wrote it doesn't know one of ``structures``.
    """
    path = find_prediction(case, predictions)
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


def find_prediction(case: Case, predictions: Path) -> Path:
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
    labels = as_whole_labels(read_volume(path), path)
    try:
        return Segmentation(labels, structures)
    except ValueError as error:
        raise BadInput(
            f"{path}: {error}; expected labels 1 to {len(structures)} in the order of the cohort."
        ) from error


def _write(evaluation: Evaluation, out: Path) -> None:
    summary = evaluation.summary
    with atomic_write(out) as folder:
        folder.mkdir()
        scores_csv, summary_csv, summary_json, summary_md = (folder / name for name in FILES)
        score_table(evaluation.scores).assign(**evaluation.settings.model_dump()).to_csv(scores_csv, index=False)
        summary.to_csv(summary_csv, index=False)
        summary_json.write_text(summary.to_json(orient="records", indent=2, double_precision=6) + "\n")
        summary_md.write_text(f"{markdown_table(summary)}\n{scoring_sentence(evaluation.settings)}\n")
