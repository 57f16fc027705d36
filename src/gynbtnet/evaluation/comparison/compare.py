"""Evaluations of several models on one cohort, set side by side."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.comparison.comparison import Comparison
from gynbtnet.evaluation.comparison.folder import check_comparison_folder, write_comparison
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.statistics.model_tests import run_model_tests
from gynbtnet.runtime.errors import BadInput

__all__ = ["Comparison", "compare", "make_comparison"]

OURS, FROM_SCRATCH = "gynbtnet", "gynbtnet-from-scratch"
"""What ``gynbtnet benchmark`` calls our model, with and without the stages before the task."""
_ROUNDING_CM3 = 1e-4


def compare(
    cohort: Cohort,
    models: Mapping[str, Path],
    out: Path,
    *,
    ours: str | None = None,
    from_scratch: str | None = None,
    predictions: Mapping[str, Path] | None = None,
    settings: ComparisonSettings | None = None,
) -> Comparison:
    """Compare as :func:`make_comparison`, and write tables and pictures as the folder ``out``, whole.

    Raises:
        BadInput: as :func:`make_comparison`, and where ``out`` holds anything but an earlier comparison.
    """
    check_comparison_folder(out)
    comparison = make_comparison(
        cohort, models, ours=ours, from_scratch=from_scratch, predictions=predictions, settings=settings
    )
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
) -> Comparison:
    """The evaluations of several models of the same cases, tested against one another.

    Args:
        cohort: of which the evaluated cases are some or all.
        models: by name the folder that :func:`gynbtnet.evaluation.metrics.evaluation.evaluate` wrote.
        ours: the model that the others are compared with; None: ``gynbtnet`` where there is one, else the first.
        from_scratch: ours without pretraining; None: ``gynbtnet-from-scratch`` where there is one.
        predictions: by model the folder of its contours; one that is left out is looked for beside the evaluation.
        settings: metrics, marks, resamples and seed.

    Raises:
        BadInput: where there are fewer than two models, an evaluation is absent or damaged, they are not of the same
            cases, structures and truth or not scored alike, or a case is not of the cohort.
    """
    settings = settings or ComparisonSettings()
    ours, from_scratch = _roles(models, ours, from_scratch)
    evaluations = {name: Evaluation.load(folder) for name, folder in models.items()}
    _check(evaluations, models)
    scored = _scored(cohort, evaluations[ours])
    tests = run_model_tests(
        evaluations,
        ours,
        tuple(dict.fromkeys(one.structure for one in evaluations[ours].scores)),
        settings.metrics,
        n_resamples=settings.n_resamples,
        seed=settings.seed,
    )
    found = {name: place for name, folder in models.items() if (place := _predictions(Path(folder)))}
    return Comparison(
        cohort=scored,
        evaluations=evaluations,
        predictions=found | dict(predictions or {}),
        tests=tests,
        ours=ours,
        from_scratch=from_scratch,
        settings=settings,
    )


def _roles(models: Mapping[str, Path], ours: str | None, from_scratch: str | None) -> tuple[str, str | None]:
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


def _check(evaluations: Mapping[str, Evaluation], folders: Mapping[str, Path]) -> None:
    """See that all models were scored on the same cases against the same truth."""
    (first, of_first), *others = evaluations.items()
    expected = {(one.case, one.structure): one for one in of_first.scores}
    for name, evaluation in others:
        if evaluation.settings != of_first.settings:
            raise BadInput(
                f"{folders[first]} was scored with {_said(of_first.settings)}, {folders[name]} with "
                f"{_said(evaluation.settings)}; evaluate both models alike."
            )
        found = {(one.case, one.structure): one for one in evaluation.scores}
        apart = sorted(expected.keys() ^ found.keys())
        if apart:
            case, structure = apart[0]
            which = first if apart[0] in expected else name
            raise BadInput(
                f"{folders[first]} and {folders[name]} are not of the same cases and structures: {len(apart)} are in "
                f"one alone, such as {structure} of {case} in {folders[which]}; evaluate both models on one cohort."
            )
        differing = [key for key, one in expected.items() if not _same_truth(one, found[key])]
        if differing:
            case, structure = differing[0]
            raise BadInput(
                f"{folders[first]} and {folders[name]} have different truth for {structure} of {case} and "
                f"{len(differing) - 1} more; evaluate both models on one cohort."
            )


def _said(settings: ScoringSettings) -> str:
    return f"the policy {settings.missing_structure_policy} and a tolerance of {settings.tolerance_mm:g} mm"


def _same_truth(one: Score, other: Score) -> bool:
    unknown = (one.missing_in == "unknown", other.missing_in == "unknown")
    same_volume = all(unknown) or abs(one.truth_cm3 - other.truth_cm3) <= _ROUNDING_CM3
    return one.patient == other.patient and unknown[0] == unknown[1] and same_volume


def _scored(cohort: Cohort, evaluation: Evaluation) -> Cohort:
    """The cohort's cases that were scored."""
    patients = {one.case: one.patient for one in evaluation.scores}
    cases = tuple(case for case in cohort.cases if patients.get(case.id) == case.patient)
    if len(cases) < len(patients):
        raise BadInput(
            f"{len(patients) - len(cases)} of {len(patients)} evaluated cases are not in the cohort {cohort.folder}; "
            "name the cohort that the models were evaluated on."
        )
    return replace(cohort, cases=cases)


def _predictions(evaluation: Path) -> Path | None:
    """Where the contours lie that a folder holds the scores of, as our commands leave both."""
    evaluation = evaluation.absolute()
    beside = evaluation.parent
    places = (beside.parent / "predictions" / evaluation.name, beside / "predictions" / "test", beside / "predictions")
    return next((place for place in places if any(place.glob("*/labels.nii.gz"))), None)
