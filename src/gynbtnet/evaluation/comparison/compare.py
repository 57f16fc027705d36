"""Comparison of the evaluations of several models on one cohort."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.folder import check_comparison_folder, write_comparison
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.comparison.shown_predictions import select_shown_predictions
from gynbtnet.evaluation.metrics.evaluated_cohort import EvaluatedCohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.statistics.model_tests import run_model_tests
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

__all__ = ["Comparison", "compare", "make_comparison"]

OURS, FROM_SCRATCH = "gynbtnet", "gynbtnet-from-scratch"
"""Names that ``gynbtnet benchmark`` gives to our model with and without pretraining."""
_ROUNDING_CM3 = 1e-4
_STORED_CM3, _STORED_SHARE = 0.01, 1e-3  # volumes of a cohort may be rounded


def compare(
    cohort: Cohort,
    models: Mapping[str, Path],
    out: Path,
    *,
    ours: str | None = None,
    from_scratch: str | None = None,
    predictions: Mapping[str, Path] | None = None,
    settings: ComparisonSettings | None = None,
    unmarked: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare models with :func:`make_comparison`, and write tables and plots atomically to the folder ``out``.

    Args:
        cohort: see :func:`make_comparison`.
        models: see :func:`make_comparison`.
        out: the folder to write; an earlier comparison is replaced.
        ours: see :func:`make_comparison`.
        from_scratch: see :func:`make_comparison`.
        predictions: see :func:`make_comparison`.
        settings: see :func:`make_comparison`.
        unmarked: see :func:`make_comparison`.

    Returns:
        The comparison that was written.

    Raises:
        BadInput: If :func:`make_comparison` raises it, or ``out`` contains anything but an earlier comparison. Also if
            the given predictions of a model are not the scored ones.
    """
    check_comparison_folder(out)
    comparison = make_comparison(
        cohort,
        models,
        ours=ours,
        from_scratch=from_scratch,
        predictions=predictions,
        settings=settings,
        unmarked=unmarked,
    )
    shown = select_shown_predictions(comparison, predictions or {})
    comparison = replace(comparison, predictions=shown)
    write_comparison(comparison, out)
    return comparison


def make_comparison(
    cohort: Cohort,
    models: Mapping[str, Path],
    *,
    ours: str | None = None,
    from_scratch: str | None = None,
    predictions: Mapping[str, Path] | None = None,
    settings: ComparisonSettings | None = None,
    unmarked: Mapping[str, str] | None = None,
) -> Comparison:
    """Test the evaluations of several models on the same cases against one another.

    Args:
        cohort: a cohort that contains all evaluated cases.
        models: by model, the folder that :func:`gynbtnet.evaluation.metrics.evaluation.evaluate` wrote.
        ours: the model with which the others are compared; None: ``gynbtnet`` if it is among the models, otherwise the
            first.
        from_scratch: our model without pretraining; None: ``gynbtnet-from-scratch`` if it is among the models.
        predictions: by model, the folder of its predictions; None, or for other models: a folder next to the
            evaluation, if there is one.
        settings: metrics, significance test, number of resamples and seed; None: the defaults.
        unmarked: reason why a model carries no significance mark, by model. The tables show it next to the model's
            name, and no comparison with this model is marked.

    Raises:
        BadInput: If there are fewer than two models, an evaluation is absent or damaged, or there are predictions of
            another model. Also if one evaluation is given twice, or an evaluated case is not in the cohort. Also if the
            evaluations were made on another cohort, or differ in cases, structures, truth or scoring settings.
    """
    settings = settings or ComparisonSettings()
    ours, from_scratch = _roles(models, ours, from_scratch)
    unknown = sorted(set(predictions or {}).difference(models))
    if unknown:
        raise BadInput(
            f"Predictions are given of {unknown[0]}, which is not among the models {', '.join(models)}; name one of "
            "them."
        )
    _check_distinct(models)
    evaluations = {name: Evaluation.load(folder) for name, folder in models.items()}
    _check_comparable(evaluations, models)
    scored = _scored_cases(cohort, evaluations[ours])
    for name, evaluation in evaluations.items():
        _check_cohort(scored, evaluation, models[name])
    tests = run_model_tests(
        evaluations,
        ours,
        tuple(dict.fromkeys(score.structure for score in evaluations[ours].scores)),
        settings.metrics,
        n_resamples=settings.n_resamples,
        seed=settings.seed,
    )
    nearby = {name: _find_predictions(Path(folder)) for name, folder in models.items()}
    return Comparison(
        cohort=scored,
        evaluations=evaluations,
        predictions={name: folder for name, folder in nearby.items() if folder} | dict(predictions or {}),
        tests=tests,
        ours=ours,
        from_scratch=from_scratch,
        settings=settings,
        unmarked=dict(unmarked or {}),
    )


def _roles(models: Mapping[str, Path], ours: str | None, from_scratch: str | None) -> tuple[str, str | None]:
    """Return the names of our model and of our model without pretraining."""
    if len(models) < 2:
        raise BadInput(f"{len(models)} model is given ({', '.join(models)}); expected two or more to compare.")
    for name in (ours, from_scratch):
        if name is not None and name not in models:
            raise BadInput(f"There is no model {name} among {', '.join(models)}; name one of them.")
    own = ours or (OURS if OURS in models else next(iter(models)))
    scratch = from_scratch or (FROM_SCRATCH if FROM_SCRATCH in models and own != FROM_SCRATCH else None)
    if scratch == own:
        raise BadInput(f"{own} can't be compared with itself; name another model as the one without pretraining.")
    return own, scratch


def _check_distinct(models: Mapping[str, Path]) -> None:
    """Check that no evaluation is given twice; a model compared with itself would be shown as equal."""
    names: dict[Path, str] = {}
    for name, folder in models.items():
        first = names.setdefault(Path(folder).resolve(), name)
        if first != name:
            raise BadInput(f"{first} and {name} are one evaluation, {folder}; give each model its own.")


def _check_comparable(evaluations: Mapping[str, Evaluation], folders: Mapping[str, Path]) -> None:
    """Check that all models were scored on the same cases against the same truth."""
    (first, evaluation_of_first), *others = evaluations.items()
    expected = {(score.case, score.structure): score for score in evaluation_of_first.scores}
    for name, evaluation in others:
        if evaluation.settings != evaluation_of_first.settings:
            raise BadInput(
                f"{folders[first]} was scored with {evaluation_of_first.settings}, {folders[name]} with "
                f"{evaluation.settings}; evaluate both models with the same settings."
            )
        scores = {(score.case, score.structure): score for score in evaluation.scores}
        unmatched = sorted(expected.keys() ^ scores.keys())
        if unmatched:
            case, structure = unmatched[0]
            owner = first if unmatched[0] in expected else name
            raise BadInput(
                f"{folders[first]} and {folders[name]} don't have the same cases and structures. Only in one of them: "
                f"{len(unmatched)}, such as {structure} of {case} in {folders[owner]}. Evaluate both models on one "
                "cohort."
            )
        pairs = [(score, scores[key]) for key, score in expected.items()]
        _check_same_patients(pairs, folders[first], folders[name])
        _check_same_structures(pairs, folders[first], folders[name])
        differing = [score for score, other in pairs if abs(score.truth_cm3 - other.truth_cm3) > _ROUNDING_CM3]
        if differing:
            raise BadInput(
                f"{folders[first]} and {folders[name]} have different truth for {_first_of(differing)}; evaluate both "
                "models on one cohort."
            )


def _check_same_patients(pairs: Sequence[tuple[Score, Score]], folder: Path, other_folder: Path) -> None:
    differing = [score for score, other in pairs if score.patient != other.patient]
    if differing:
        raise BadInput(
            f"{folder} and {other_folder} name different patients for {differing[0].case}; evaluate both models on one "
            "cohort."
        )


def _check_same_structures(pairs: Sequence[tuple[Score, Score]], folder: Path, other_folder: Path) -> None:
    """Check that what one evaluation doesn't score, since its prediction or its source lacks it, none scores."""
    for kind in ("unpredicted", "unknown"):
        for number, (lacking, complete) in enumerate(((folder, other_folder), (other_folder, folder))):
            rows = [
                pair[number]
                for pair in pairs
                if pair[number].missing_in == kind and pair[1 - number].missing_in not in ("unknown", "unpredicted")
            ]
            if rows and kind == "unpredicted":
                raise BadInput(
                    f"The predictions of {lacking} don't have {_first_of(rows)}, those of {complete} do. A structure "
                    "that a file lacks is not scored, but an empty ROI or mask counts as missed: add it and evaluate "
                    "again."
                )
            if rows:
                raise BadInput(
                    f"{lacking} doesn't score {_first_of(rows)}, {complete} does: the reference of the former lacks it "
                    "or, in evaluations of older versions, the prediction. Evaluate both models again on one cohort."
                )


def _first_of(scores: Sequence[Score]) -> str:
    """Return the structure and case of the first score, and the number of further ones."""
    more = f" and {len(scores) - 1} more" if len(scores) > 1 else ""
    return f"{scores[0].structure} of {scores[0].case}{more}"


def _scored_cases(cohort: Cohort, evaluation: Evaluation) -> Cohort:
    """Return the cohort with only the cases that were scored."""
    patients = {score.case: score.patient for score in evaluation.scores}
    cases = tuple(case for case in cohort.cases if patients.get(case.id) == case.patient)
    if len(cases) < len(patients):
        raise BadInput(
            f"Not in the cohort {cohort.folder}: {len(patients) - len(cases)} of "
            f"{counted(len(patients), 'evaluated case')}. Name the cohort that the models were evaluated on."
        )
    return replace(cohort, cases=cases)


def _check_cohort(scored: Cohort, evaluation: Evaluation, folder: Path) -> None:
    """Check that an evaluation was made on these cases; one of an older version only recorded the truth's volumes."""
    recorded, given = evaluation.cohort, EvaluatedCohort.of(scored)
    if recorded and (recorded.digest, recorded.synthetic) != (given.digest, given.synthetic):
        raise BadInput(
            f"{folder} was scored on the cohort {recorded.name}{' (synthetic)' if recorded.synthetic else ''}, and "
            f"{scored.folder} is another cohort or has changed. Name the cohort that the models were evaluated on, or "
            "evaluate them again."
        )
    volumes = (
        {} if recorded else {(case.id, name): cm3 for case in scored.cases for name, cm3 in case.volumes_cm3.items()}
    )
    for score in evaluation.scores:
        volume = volumes.get((score.case, score.structure), score.truth_cm3)
        if abs(volume - score.truth_cm3) > max(_STORED_CM3, _STORED_SHARE * volume):  # False for NaN
            raise BadInput(
                f"{folder} was scored with {score.truth_cm3:.2f} cm³ for {score.structure} of {score.case}, but "
                f"{scored.folder} has {volume:.2f} cm³. Name the cohort that the models were evaluated on. After "
                "--truth, evaluate the models again, since older versions did not record it."
            )


def _find_predictions(evaluation: Path) -> Path | None:
    """Return the folder of the predictions that were evaluated, if it is where our commands write it."""
    evaluation = evaluation.absolute()
    parent = evaluation.parent
    folders = (parent.parent / "predictions" / evaluation.name, parent / "predictions" / "test", parent / "predictions")
    return next((folder for folder in folders if any((*folder.glob("*/labels.nii.gz"), *folder.glob("*/masks")))), None)
