"""Predictions of the local cases, and their scores and doses."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.dose.dose_evaluation import evaluate_dose
from gynbtnet.evaluation.dose.files import describe_problems
from gynbtnet.evaluation.metrics.evaluation import evaluate
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.settings import DoseSettings, ScoringSettings
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.batch_prediction import predict_scans
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scans.cohort_scans import cohort_scans
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.phrases import by_axis

EVALUATION, DOSE = "evaluation", "dose"
"""Folders of scores and doses in a kit."""


@dataclass(frozen=True)
class LocalPredictions:
    """Predictions of the local cases.

    Attributes:
        cohort: cases with contours of the model.
        folder: folder with one folder per case.
        refused: reason by id of each case without contours.
    """

    cohort: Cohort
    folder: Path
    refused: Mapping[str, str]


def predict_local(
    model: Segmenter, model_path: Path, cohort: Cohort, out: Path, settings: PredictionSettings, jobs: int
) -> LocalPredictions:
    """Predict every local case; predictions in ``out`` that are up to date are kept.

    Args:
        model: model to commission.
        model_path: its path.
        cohort: local cases.
        out: folder of the predictions.
        settings: prediction settings.
        jobs: number of processes.

    Returns:
        The predictions, and the reasons of those that were refused.

    Raises:
        BadInput: If no case could be predicted.
    """
    scans, failed = cohort_scans(cohort, model.channels)
    requests = {
        str(files.name): PredictionRequest(
            files, out / str(files.name), settings.to_evaluate(is_dicom=files.series is not None), force=True
        )
        for files in scans
    }
    refused = dict(failed)
    try:
        predict_scans(model, model_path, requests, jobs=jobs)
    except ScansFailed as error:
        refused |= dict(error.failed)
    except BadInput as error:  # of the only scan
        refused |= dict.fromkeys(requests, str(error))
    predicted = tuple(case for case in cohort.cases if case.id not in refused)
    if not predicted:
        raise BadInput(
            f"None of the {len(cohort.cases)} local cases could be contoured, the first because: "
            f"{next(iter(refused.values()))}"
        )
    return LocalPredictions(replace(cohort, cases=predicted), out, refused)


def score_local(local: LocalPredictions, kit: Path, settings: ScoringSettings, jobs: int) -> tuple[Score, ...]:
    """Score the predictions, with tables in ``evaluation``."""
    return evaluate(local.cohort, local.folder, kit / EVALUATION, settings, jobs=jobs).scores


def dose_local(
    local: LocalPredictions,
    kit: Path,
    doses: Path | None,
    settings: DoseSettings,
    names: StructureNames,
    jobs: int,
) -> tuple[tuple[CourseDose, ...], str]:
    """Compute the total doses of the patients, with tables and pages in ``dose``.

    Args:
        local: predictions.
        kit: folder of the kit.
        doses: folder with doses; None: those next to the scans.
        settings: α/β and fractions.
        names: table that identifies targets.
        jobs: number of processes.

    Returns:
        The totals, and the reason if there are none.

    Raises:
        BadInput: If ``doses`` is given and can't be used.
    """
    try:
        evaluation = evaluate_dose(
            local.cohort,
            kit / DOSE,
            predictions=local.folder,
            doses=doses,
            settings=settings,
            names=names,
            jobs=jobs,
        )
        if evaluation.failed:  # limits are not judged on the other patients alone
            raise BadInput(describe_problems([reason for _, reason in evaluation.failed], len(local.cohort.cases)))
    except BadInput as error:
        if doses is not None:
            raise
        return (), str(error)
    return evaluation.courses, ""


def digest_of(cohort: Cohort) -> str:
    """Return a digest of ids, scans and contours of all cases."""
    digest = hashlib.sha256()
    for case in cohort.cases:
        digest.update(f"{case.id} {sha256_of(*case.files)}\n".encode())
    return digest.hexdigest()


def count_applicators(cohort: Cohort) -> dict[str, int]:
    """Return the number of cases by applicator."""
    return dict(sorted(Counter(case.applicator or "not known" for case in cohort.cases).items()))


def count_spacings(cohort: Cohort) -> dict[str, int]:
    """Return the number of cases by spacing (z, y, x), in mm."""
    return dict(sorted(Counter(by_axis(case.geometry.spacing, 3) for case in cohort.cases).items()))
