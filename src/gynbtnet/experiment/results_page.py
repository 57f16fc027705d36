"""Results page of a comparison of models, as Markdown: data, training, tables."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.comparison.compare import compare
from gynbtnet.evaluation.comparison.folder import check_comparison_folder
from gynbtnet.evaluation.comparison.report import report_comparison
from gynbtnet.evaluation.comparison.validation_curve import (
    FLAT_GAIN,
    describe_gain,
    final_gain,
    read_validation_curve,
    why_unmarked,
)
from gynbtnet.evaluation.dose.isodoses import isodoses_of_cases
from gynbtnet.experiment.folders import STAGES, ComparedModel
from gynbtnet.experiment.model_comparison import folds_of
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages.page_frame import RESEARCH_USE, SYNTHETIC
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.cost.run_cost import training_cost
from gynbtnet.training.run_folder import RunFolder, last_environment

TRANSDUCTIVE = (
    "Stage 1 was trained on the scans of these patients, without their contours: the results of models with "
    "pretraining are transductive. The patients held out were in no stage.\n"
)
NOT_FLAT = (
    f"From {FLAT_GAIN:g} on, the model was still improving: no comparison with it is marked as significant. A flat end "
    "is no proof of convergence, since the learning rate falls towards zero in every run."
)
_ENVIRONMENT = {
    "gynbtnet": "gynbtnet",
    "torch": "torch",
    "python": "Python",
    "platform": "system",
    "device": "device",
}
"""Entries of a run's environment that the page shows, with their labels."""


def write_results(
    recipe: Recipe, variants: Mapping[str, Recipe], models: Mapping[str, ComparedModel], path: Path
) -> Path:
    """Compare the models on the patients held out and on those of the folds, and write the page.

    Args:
        recipe: recipe with which the models were compared.
        variants: recipe of each model, by name.
        models: paths of each model, by name.
        path: path of the page. Next to it are ``comparisons/test`` and ``comparisons/folds``, as ``gynbtnet compare``
            writes them, each with its ``report.html``. A single model has no comparison; the page shows its table.

    Returns:
        The path of the page.
    """
    with atomic_write(path) as partial:
        partial.write_text("\n".join(_lines(recipe, variants, models, path.parent)) + "\n", encoding="utf-8")
    return path


def _lines(
    recipe: Recipe, variants: Mapping[str, Recipe], models: Mapping[str, ComparedModel], folder: Path
) -> Iterator[str]:
    first = next(iter(models.values()))
    cohort, split = Cohort.load(first.cohort("task")), Split.load(first.split)
    if cohort.synthetic:
        yield f"**{SYNTHETIC}**\n"
    yield f"{RESEARCH_USE}\n"
    if recipe.description:
        yield f"{recipe.description}\n"
    yield from _table(("", ""), _setup(recipe, cohort, split, models.values()))
    yield "\n## Training\n"
    heads = ("model", "pretraining", "supervised", "task, per fold", "parameters", "CPU s", "hours", "gain at the end")
    gains = final_gains(models)
    rows = [(name, *_trained(variants[name], model), describe_gain(gains[name])) for name, model in models.items()]
    yield from _table(heads, rows)
    yield (
        "\nOptimiser steps of each stage. CPU s is the CPU time of training in all stages and folds, with the reading "
        "of patches and without validation. Hours are the wall time of training. A dash is a value that wasn't "
        "recorded. Gain at the end is the gain of the validation Dice over the last tenth of the task's steps, the "
        f"mean over the folds. {NOT_FLAT}\n"
    )
    unmarked = unmarked_models(gains)
    names, out = StructureNames.load(recipe.aliases), folder / "comparisons"
    yield "## Patients held out\n"
    yield f"{_size(cohort.of_patients(split.test))}, predicted by the ensemble of all folds.\n"
    evaluations = {name: model.evaluation for name, model in models.items()}
    predictions = {name: model.test_predictions for name, model in models.items()}
    yield from _tables(cohort, evaluations, predictions, out / "test", names, unmarked)
    yield "## Other patients\n"
    others = cohort.of_patients(set(cohort.patients).difference(split.test))
    yield f"{_size(others)}, each predicted by the fold that was not trained on its patient.\n"
    yield from notes_on_folds(variants)
    evaluations = {name: folds_of(model).evaluation for name, model in models.items()}
    predictions = {name: folds_of(model).predictions for name, model in models.items()}
    yield from _tables(cohort, evaluations, predictions, out / "folds", names, unmarked)
    if recipe.citations:
        yield "## Citations of the data\n"
        yield from (f"- {citation}" for citation in recipe.citations)


def _size(cohort: Cohort) -> str:
    return f"{counted(len(cohort.patients), 'patient')}, {counted(len(cohort.cases), 'case')}"


def notes_on_folds(variants: Mapping[str, Recipe]) -> Iterator[str]:
    """Yield the note on out-of-fold scores, if stage 1 of any model was trained on these patients' scans."""
    if any(variant.pretraining for variant in variants.values()):
        yield TRANSDUCTIVE


def final_gains(models: Mapping[str, ComparedModel]) -> dict[str, float | None]:
    """Return how much the validation Dice of each model gained at the end of its task, see :func:`final_gain`."""
    folds = {name: sorted(model.run("task").glob("fold_*")) for name, model in models.items()}
    return {name: final_gain([read_validation_curve(fold) for fold in runs]) for name, runs in folds.items()}


def unmarked_models(gains: Mapping[str, float | None]) -> dict[str, str]:
    """Return the reason why a model carries no significance mark, by model; models that may carry one are left out."""
    return {name: reason for name, gain in gains.items() if (reason := why_unmarked(gain))}


def _tables(
    cohort: Cohort,
    evaluations: Mapping[str, Path],
    predictions: Mapping[str, Path],
    out: Path,
    names: StructureNames,
    unmarked: Mapping[str, str],
) -> Iterator[str]:
    """Write a comparison and its page to ``out`` and yield its tables; for a single model, yield its summary."""
    if len(evaluations) == 1:
        yield (next(iter(evaluations.values())) / "summary.md").read_text(encoding="utf-8")
        return
    check_comparison_folder(out)
    with atomic_write(out) as partial:  # tables and page together
        comparison = compare(cohort, evaluations, partial, predictions=predictions, unmarked=unmarked)
        report_comparison(comparison, partial, names, isodoses_of_cases(comparison.cohort.cases))
    for table in ("table_1", "table_2", "effects"):
        if (out / f"{table}.md").is_file():
            yield (out / f"{table}.md").read_text(encoding="utf-8")


def _setup(recipe: Recipe, cohort: Cohort, split: Split, models: Iterable[ComparedModel]) -> Iterator[tuple[str, str]]:
    yield "experiment", recipe.name
    yield "page written", date.today().isoformat()
    yield "cohort", _size(cohort)
    yield "held out", f"{counted(len(split.test), 'patient')}; the others in {counted(len(split.folds), 'fold')}"
    runs = [run for model in models for stage in STAGES for run in model.training_runs(stage)]
    starts = [last_environment(RunFolder(run)) for run in runs]
    for name, label in _ENVIRONMENT.items():
        values = dict.fromkeys(str(start.get(name, "not recorded")) for start in starts)
        yield f"trained with: {label}", ", ".join(values) or "not recorded"


def _trained(variant: Recipe, model: ComparedModel) -> tuple[str, ...]:
    """Return steps of each stage, parameters of the last one, and CPU seconds and hours of all stages together."""
    stages = [[model.run("pretraining")], [model.run("supervised")], sorted(model.run("task").glob("fold_*"))]
    logged = [[run for run in runs if RunFolder(run).log.is_file()] for runs in stages]
    costs = [[training_cost(run) for run in runs] for runs in logged]
    steps = [str(stage[0].steps) if stage else "–" for stage in costs]
    if variant.nnunet and not costs[-1]:  # of a version that logged nothing
        return "–", "–", str(variant.nnunet.epochs * variant.nnunet.steps_per_epoch), "–", "–", "–"
    parameters = next((cost.parameters for cost in reversed(costs[-1])), None)
    seconds = [cost.cpu_seconds for stage in costs for cost in stage]
    cpu_seconds = (
        "–" if None in seconds or not seconds else f"{sum(value for value in seconds if value is not None):.0f}"
    )
    hours = sum(_seconds(run) for runs in logged for run in runs) / 3600
    return *steps, "–" if parameters is None else f"{parameters:,}", cpu_seconds, f"{hours:.2f}"


def _seconds(run: Path) -> float:
    """Return the wall time of training, added up over the epochs."""
    with RunFolder(run).log.open(newline="") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
