"""Commissioning of a model on local cases, as one folder, the kit, with a page that prints to PDF."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from gynbtnet.commissioning.import_form import FORM, ImportForm, compare_form, write_form
from gynbtnet.commissioning.import_phantom import write_import_phantom
from gynbtnet.commissioning.limit_history import now, with_limits
from gynbtnet.commissioning.limits import Limits
from gynbtnet.commissioning.local_predictions import (
    EVALUATION,
    LocalPredictions,
    count_applicators,
    count_spacings,
    digest_of,
    dose_local,
    predict_local,
    score_local,
)
from gynbtnet.commissioning.measured_values import judge_limits
from gynbtnet.commissioning.page import commissioning_page
from gynbtnet.commissioning.planted_failures import run_planted_failures
from gynbtnet.commissioning.record import (
    PAGE,
    RECORD,
    SCHEMA,
    CommissionedModel,
    CommissioningRecord,
    ImportCheck,
    LocalCases,
    Look,
    Results,
)
from gynbtnet.commissioning.training_overlap import TrainingCheck, check_not_trained_on
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.reference_contours import refuse_automatic
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.review import rules_sha256
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

PREDICTIONS, PLANTED, IMPORT_CHECK = "predictions", "planted", "import_check"
"""Folders of a kit."""


def commission_model(
    model_path: Path,
    cohort: Cohort,
    limits: Limits,
    kit: Path,
    *,
    settings: PredictionSettings | None = None,
    doses: Path | None = None,
    limits_changed: str = "",
    names: StructureNames | None = None,
    jobs: int = 1,
) -> CommissioningRecord:
    """Commission a model: predict the local cases, judge the limits, run planted failures, compare the import.

    Writes ``commission.html``, ``commission.json`` and the folders ``predictions``, ``evaluation``, ``dose`` (if there
    are doses), ``planted`` and ``import_check``. The limits are recorded before anything is predicted. After a kill the
    same call continues; what is up to date is kept.

    Args:
        model_path: run folder, folder of a cross-validation, zip file of either, or a folder that nnU-Net trained.
        cohort: local cases with contours of a person; none of them may be of the training.
        limits: limits of the clinic.
        kit: folder to write, new or of an earlier call for the same model and settings.
        settings: prediction settings; None: the defaults.
        doses: folder with doses; None: those next to the scans.
        limits_changed: reason why limits were changed after results.
        names: names of structures; None: the built-in table.
        jobs: number of processes for predictions and scores.

    Returns:
        The record, as in ``commission.json``.

    Raises:
        BadInput: If local patients are of the training, or limits changed after results without a reason. Also if the
            kit is of another model, or the cohort, the limits or the doses can't be used.
    """
    names, settings = names or StructureNames.load(), settings or PredictionSettings()
    kit = Path(kit)
    refuse_automatic(cohort, "as reference")
    _check_cohort(cohort, limits)
    if doses is not None and not Path(doses).is_dir():
        raise BadInput(f"There is no folder {doses}; expected one with the doses of the local cases.")
    model = load_model(model_path, settings)
    _check_model(model, limits)
    commissioned = _describe(model, settings)
    earlier = _open_kit(kit, commissioned)
    history = with_limits(
        earlier.history if earlier else (),
        limits,
        # the tables can be read before the page is written, and results were seen even if they are deleted
        results_exist=(kit / EVALUATION).is_dir() or bool(earlier and earlier.looks),
        reason=limits_changed,
    )
    training = check_not_trained_on(cohort, model_path)
    looks = earlier.looks if earlier else ()
    record = CommissioningRecord(
        SCHEMA, commissioned, limits.intended_use.strip(), history, looks, earlier.results if earlier else None
    )
    record.save(kit)  # before any result
    form = _prepare_import(kit / IMPORT_CHECK)
    local = predict_local(model, model_path, cohort, kit / PREDICTIONS, settings, jobs)
    scores = score_local(local, kit, limits.scoring, jobs)
    courses, no_dose = dose_local(local, kit, doses, limits.dose, names, jobs)
    judged = judge_limits(limits, scores, courses, no_dose)
    shown = _shown_case(scores, local)
    planted = run_planted_failures(
        model, local.cohort.case(shown), local.folder / shown, kit / PLANTED, settings, names
    )
    results = Results(_describe_cases(cohort, local, scores, training), judged, planted, form)
    verdicts: Counter[str] = Counter(result.judgement.verdict for result in judged)
    look = Look(now(), limits.sha256, results.local.cases, results.local.patients, dict(verdicts))
    record = replace(record, results=results, looks=_with_look(record.looks, look))
    page = commissioning_page(record, limits, names, kit / PLANTED)
    with atomic_write(kit / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    record.save(kit)
    return record


def _check_cohort(cohort: Cohort, limits: Limits) -> None:
    if not cohort.cases:
        raise BadInput(f"The selection of the cohort {cohort.folder} has no cases; expected local cases.")
    unknown = [structure for structure in limits.limits if structure not in cohort.structures]
    if unknown:
        raise BadInput(
            f"There are limits for {unknown[0]}, which is not among the structures {', '.join(cohort.structures)} of "
            f"the cohort {cohort.folder}; delete them, or ingest the cohort with this structure."
        )
    unknown = [structure for structure in limits.dose.alpha_beta_gy if structure not in cohort.structures]
    if unknown:
        raise BadInput(
            f"alpha_beta_gy of the limits' dose names {unknown[0]}, which is not among the structures "
            f"{', '.join(cohort.structures)} of the cohort; correct the name."
        )


def _check_model(model: Segmenter, limits: Limits) -> None:
    unknown = [structure for structure in limits.limits if structure not in model.structures]
    if unknown:
        raise BadInput(
            f"There are limits for {unknown[0]}, which the model doesn't segment, only {', '.join(model.structures)}; "
            "delete them."
        )


def _describe(model: Segmenter, settings: PredictionSettings) -> CommissionedModel:
    return CommissionedModel(
        name=model.folder.resolve().name,
        sha256=model.sha256,
        files=dict(model.digests),
        rules=rules_sha256(model),
        structures=model.structures,
        trained_on=model.trained_on.sentence if model.trained_on else "",
        settings=hashlib.sha256(settings.model_dump_json(exclude={"device"}).encode()).hexdigest(),
        versions={name: version(name) for name in ("gynbtnet", "torch", "SimpleITK", "pydicom", *model.libraries)},
        device=str(model.device),
    )


def _open_kit(kit: Path, model: CommissionedModel) -> CommissioningRecord | None:
    """Return the record of an earlier call for the same model, or None for a new folder."""
    if kit.exists() and not kit.is_dir():
        raise BadInput(f"{kit} is a file; expected a folder to write to, give another one.")
    earlier = CommissioningRecord.load(kit)
    if earlier is None:
        if kit.is_dir() and any(kit.glob("[!.]*")):
            raise BadInput(f"{kit} contains files, but no {RECORD} of a kit; give a new or an empty folder.")
        return None
    for part, before, present in (
        ("model", earlier.model.sha256, model.sha256),
        ("set of rules of the model", earlier.model.rules, model.rules),
        ("set of prediction settings", earlier.model.settings, model.settings),
    ):
        if before != present:
            raise BadInput(
                f"The kit {kit} is of another {part} ({before[:8]} instead of {present[:8]}), which has its "
                "own commissioning; give a new folder."
            )
    return earlier


def _prepare_import(folder: Path) -> ImportCheck:
    """Write phantom and form unless they are there, and compare the form."""
    write_import_phantom(folder)
    write_form(folder / FORM)
    form = ImportForm.load(folder / FORM)
    return ImportCheck(form.planning_system, form.read_by, form.read_on, form.remarks, compare_form(form))


def _shown_case(scores: Sequence[Score], local: LocalPredictions) -> str:
    """Return the case that planted failures are made from: the one with the highest mean DSC, so that it works."""
    by_case: dict[str, list[float]] = {case.id: [] for case in local.cohort.cases}
    for score in scores:
        if score.is_scored:
            by_case[score.case].append(score.dsc)
    return max(by_case, key=lambda case: sum(by_case[case]) / max(1, len(by_case[case])))


def _describe_cases(
    cohort: Cohort, local: LocalPredictions, scores: Sequence[Score], training: TrainingCheck
) -> LocalCases:
    missed = Counter(score.structure for score in scores if score.missing_in == "prediction")
    false = Counter(score.structure for score in scores if score.missing_in == "truth")
    return LocalCases(
        cohort=cohort.name,
        sha256=digest_of(cohort),
        cases=len(cohort.cases),
        patients=len(cohort.patients),
        applicators=count_applicators(cohort),
        spacings=count_spacings(cohort),
        synthetic=cohort.synthetic,
        training=training.sentence,
        training_checked=training.complete,
        refused=dict(local.refused),
        missed=dict(missed),
        false=dict(false),
    )


def _with_look(looks: Sequence[Look], look: Look) -> tuple[Look, ...]:
    """Return the looks with a further one, unless it shows what the last one did."""
    if looks and replace(looks[-1], time=look.time) == look:
        return tuple(looks)
    return (*looks, look)
