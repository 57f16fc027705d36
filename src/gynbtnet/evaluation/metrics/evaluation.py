"""Evaluation of a folder of predictions against a cohort's contours: scores of every case, and their tables on disk."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.case_contours import read_contours
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluated_cohort import COHORT_FILE, EvaluatedCohort
from gynbtnet.evaluation.metrics.evaluated_weights import EVALUATED_WEIGHTS, EvaluatedWeights
from gynbtnet.evaluation.metrics.metrics import Score, score_case
from gynbtnet.evaluation.metrics.score_table import (
    markdown_table,
    score_table,
    scoring_note,
    summarise_scores,
)
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.metrics.stored_scores import read_scores
from gynbtnet.imaging.files.mask_folder import read_mask_folder
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.pages.page_frame import VIEWER_FOLDER
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.json_files import read_json, write_json
from gynbtnet.runtime.parallel import limit_jobs_to_memory, map_scans

Result = TypeVar("Result")
_BASE_GB = 0.3
_BYTES_PER_VOXEL = 26  # if one structure fills the scan: two label maps, masks, surfaces and one distance map
EVALUATION_FILES = ("scores.csv", "summary.csv", "summary.json", "summary.md", COHORT_FILE)
REPORT_FILES = (
    *("report.html", "subgroups.csv", "consistency.csv", "flags.csv", "triage.csv"),
    *("reader_scores.csv", "reader_summary.csv", "ratings.csv", "rating_summary.csv"),
    "strata.csv",  # former name of subgroups.csv
)
"""Files that :func:`gynbtnet.evaluation.reports.evaluation_report.report_evaluation` adds."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set of cases.

    Attributes:
        scores: scores in the order of the cohort.
        settings: settings that the scores were computed with.
        cohort: record of the evaluated cases; None if an older version evaluated them.
    """

    scores: tuple[Score, ...]
    settings: ScoringSettings = field(default_factory=ScoringSettings)
    cohort: EvaluatedCohort | None = None

    @property
    def summary(self) -> pd.DataFrame:
        """Summary as :func:`gynbtnet.evaluation.metrics.score_table.summarise_scores` returns it."""
        return summarise_scores(self.scores, self.settings)

    @classmethod
    def load(cls, folder: Path) -> "Evaluation":
        """Read the folder that :func:`evaluate` wrote.

        Args:
            folder: folder with ``scores.csv``; files with former column names are read too.

        Raises:
            BadInput: If ``scores.csv`` is missing or damaged, see
                :func:`gynbtnet.evaluation.metrics.stored_scores.read_scores`.
        """
        return cls(*read_scores(Path(folder) / "scores.csv"), EvaluatedCohort.load(folder))


def evaluate(
    cohort: Cohort,
    predictions: Path,
    out: Path,
    settings: ScoringSettings | None = None,
    *,
    unpredicted: Mapping[str, Collection[str]] | None = None,
    recorded: Cohort | None = None,
    jobs: int = 1,
    memory_gb: float | None = None,
) -> Evaluation:
    """Score ``<predictions>/<case id>/labels.nii.gz`` of every case of ``cohort`` against its contours.

    Writes the folder ``out`` atomically: ``scores.csv`` (one row per case and structure), ``summary.csv``,
    ``summary.json`` and ``summary.md`` (mean ± SD per structure). ``evaluation.json`` has the cohort's name, whether it
    is synthetic, and a digest of its cases, by which ``gynbtnet compare`` recognises it. ``weights.json`` is written if
    all predictions record their weights. A structure that a case's source does not contour is not scored in that case.

    Args:
        cohort: cases with reference contours.
        predictions: folder as :func:`gynbtnet.predict` or ``gynbtnet predict`` writes it.
        out: folder of the tables.
        settings: policy for missing structures, kind of surface, and tolerances of the surface DSC.
        unpredicted: structures that the files of a prediction don't have, by case id; they are not scored.
        recorded: the same cases with the contours of their cohort, if ``cohort`` has those of another reader.
        jobs: number of cases evaluated at once, each in a separate process.
        memory_gb: memory limit of all processes together, see
            :func:`gynbtnet.runtime.parallel.limit_jobs_to_memory`.

    Returns:
        The scores.

    Raises:
        BadInput: If the cohort has no cases, or a case has no contours.
            If a prediction is missing, is on another grid or is from a model of other structures.
            If ``out`` contains anything other than an earlier evaluation.

    Example:
        >>> for case in cohort.cases:
        ...     write_volume(read_volume(case.labels), folder / "predictions" / case.id / "labels.nii.gz")
        >>> evaluation = evaluate(cohort, folder / "predictions", folder / "evaluation")
        >>> {score.dsc for score in evaluation.scores}
        {1.0}
    """
    settings = settings or ScoringSettings()
    check_evaluation_folder(out)
    if not cohort.cases:
        raise BadInput(f"The selection of the cohort {cohort.folder} has no cases; expected at least one to evaluate.")
    work = partial(_score_prediction, cohort.structures, predictions, unpredicted or {}, settings)
    scores_per_case = map_cases(work, cohort.cases, title="Evaluate", jobs=jobs, memory_gb=memory_gb)
    evaluated = EvaluatedCohort.of(recorded or cohort)
    evaluation = Evaluation(tuple(score for scores in scores_per_case for score in scores), settings, evaluated)
    manifests = (prediction_folder(case, predictions) / "prediction.json" for case in cohort.cases)
    _write(evaluation, EvaluatedWeights.of_predictions(manifests), out)
    return evaluation


def check_evaluation_folder(out: Path) -> None:
    """Check that ``out`` doesn't exist or is an earlier evaluation; otherwise raise BadInput."""
    files = (*EVALUATION_FILES, EVALUATED_WEIGHTS, *REPORT_FILES)
    ensure_replaceable(out, files, "scores.csv", folders={VIEWER_FOLDER: ".html"})


def map_cases(
    work: Callable[[Case], Result], cases: Sequence[Case], *, title: str, jobs: int, memory_gb: float | None = None
) -> list[Result]:
    """Apply ``work`` to every case, as :func:`gynbtnet.runtime.parallel.map_scans` does, or fail if one case fails.

    A table without the failed cases could be mistaken for a table of all cases.

    Args:
        work: function of one case.
        cases: at least one case.
        title: title of the progress bar.
        jobs: number of cases at once.
        memory_gb: memory limit of all processes together.

    Returns:
        One result per case, in the same order.

    Raises:
        BadInput: If a case fails.
    """
    largest = max(math.prod(case.geometry.shape) for case in cases)
    if jobs > 1:
        jobs = limit_jobs_to_memory(jobs, _BASE_GB + largest * _BYTES_PER_VOXEL / 1e9, memory_gb)
    try:
        return map_scans(work, cases, name=lambda case: case.id, title=title, jobs=jobs)
    except ScansFailed as problem:
        (_, reason), *more = problem.failed
        further = f" {len(more)} more of {len(cases)} cases cannot be evaluated either." if more else ""
        raise BadInput(f"{reason}{further}") from problem


def read_matching_prediction(case: Case, predictions: Path, truth: Segmentation) -> Segmentation:
    """Read the predicted contours of a case, on the grid of its truth.

    Raises:
        BadInput: As :func:`read_prediction`, or if the prediction is on another grid.
    """
    prediction = read_prediction(case, predictions, truth.structures)
    grid = truth.labels.geometry
    if not grid.is_same(prediction.labels.geometry):
        raise BadInput(
            f"{prediction_folder(case, predictions)} and its truth have different grids, "
            f"{grid.difference(prediction.labels.geometry)}; expected a prediction on the scan's own grid: predict "
            "this scan again."
        )
    return prediction


def _score_prediction(
    structures: tuple[str, ...],
    predictions: Path,
    unpredicted: Mapping[str, Collection[str]],
    settings: ScoringSettings,
    case: Case,
) -> list[Score]:
    truth = read_truth(case, structures)
    prediction = read_matching_prediction(case, predictions, truth)
    return score_case(
        truth,
        prediction,
        case=case.id,
        patient=case.patient,
        unknown=case.missing,
        unpredicted=unpredicted.get(case.id, ()),
        settings=settings,
    )


def read_truth(case: Case, structures: Sequence[str]) -> Segmentation:
    """Read the reference contours of a case; structures that overlap others keep their full masks.

    Args:
        case: the case.
        structures: names of the labels 1, 2, ….

    Returns:
        The structures on the grid of the scan.

    Raises:
        BadInput: If the case has no contours, or a file is damaged.
    """
    return read_contours(case, structures)


def read_prediction(case: Case, predictions: Path, structures: Sequence[str]) -> Segmentation:
    """Read the predicted contours of a case.

    Args:
        case: the case.
        predictions: folder with ``<case id>/labels.nii.gz``; if structures overlap, with ``<case id>/masks``.
        structures: names of the labels, unless a ``prediction.json`` in the same folder names them.

    Returns:
        The predicted structures, with the labels of the file.

    Raises:
        BadInput: If a file is missing or damaged, or the model that wrote it does not have one of ``structures``.
    """
    return read_prediction_folder(prediction_folder(case, predictions), structures)


def read_prediction_folder(folder: Path, structures: Sequence[str]) -> Segmentation:
    """Read the contours in the folder of one prediction.

    Args:
        folder: folder with ``labels.nii.gz``, or with ``masks`` if structures overlap.
        structures: see :func:`read_prediction`.

    Returns:
        The predicted structures, with the labels of the file.

    Raises:
        BadInput: See :func:`read_prediction`.
    """
    labels, masks = folder / "labels.nii.gz", folder / "masks"
    if not (labels.is_file() or masks.is_dir()):
        raise BadInput(f"There is no prediction {labels}; expected one for each case: run `gynbtnet predict` first.")
    manifest = folder / "prediction.json"
    known = tuple(structures)
    if manifest.is_file():
        known = read_json(_Manifest, manifest, "predict this scan again with `gynbtnet predict`").structures
    unknown = [name for name in structures if name not in known]
    if unknown:
        raise BadInput(
            f"{manifest} is from a model of {', '.join(known)}; the cohort also has {', '.join(unknown)}: predict with "
            "a model trained on these structures."
        )
    return _read_segmentation(labels, known) if labels.is_file() else read_mask_folder(masks, known)


def prediction_folder(case: Case, predictions: Path) -> Path:
    """Return the folder with the prediction of a case."""
    return Path(predictions) / case.id


@dataclass(frozen=True)
class _Manifest:
    """The part of a ``prediction.json`` that evaluation needs."""

    structures: tuple[str, ...]


def _read_segmentation(path: Path, structures: tuple[str, ...]) -> Segmentation:
    labels = as_whole_labels(read_volume(path), path)
    try:
        return Segmentation(labels, structures)
    except ValueError as error:
        raise BadInput(
            f"{path}: {error}; expected labels 1 to {len(structures)} in the order of the cohort."
        ) from error


def _write(evaluation: Evaluation, weights: EvaluatedWeights | None, out: Path) -> None:
    summary = evaluation.summary
    with atomic_write(out) as folder:
        folder.mkdir()
        scores_csv, summary_csv, summary_json, summary_md, cohort_json = (folder / name for name in EVALUATION_FILES)
        scores = score_table(evaluation.scores)
        settings = pd.DataFrame([evaluation.settings.columns_of(structure) for structure in scores["structure"]])
        pd.concat([scores, settings], axis=1).to_csv(scores_csv, index=False)
        summary.to_csv(summary_csv, index=False)
        if weights is not None:
            write_json(weights, folder / EVALUATED_WEIGHTS)
        summary_json.write_text(summary.to_json(orient="records", indent=2, double_precision=6) + "\n")
        summary_md.write_text(f"{markdown_table(summary)}\n{scoring_note(evaluation.settings)}\n", encoding="utf-8")
        write_json(evaluation.cohort, cohort_json)
