"""Results page of a comparison of models, as Markdown: data, training, tables."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.comparison.compare import compare
from gynbtnet.evaluation.comparison.report import report_comparison
from gynbtnet.evaluation.reports.html_page import RESEARCH_USE, SYNTHETIC
from gynbtnet.experiment.folders import ComparedModel
from gynbtnet.experiment.model_comparison import folds_of
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.system_report import system_report
from gynbtnet.training.run_folder import RunFolder

TRANSDUCTIVE = (
    "Stage 1 was trained on the scans of these patients, without their contours: the results of models with "
    "pretraining are transductive. The patients held out were in no stage.\n"
)
_REPORTED_SYSTEM = ("gynbtnet", "Python", "system", "cores", "devices", "torch")


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
    yield from _table(("", ""), _setup(recipe, cohort, split, folder))
    yield "\n## Training\n"
    heads = ("model", "pretraining", "supervised", "task, per fold", "hours", "CPU hours")
    yield from _table(heads, [(name, *_trained(variants[name], model)) for name, model in models.items()])
    yield "\nOptimiser steps of each stage; hours and CPU hours of all stages and folds, without validation.\n"
    names, out = StructureNames.load(recipe.aliases), folder / "comparisons"
    yield "## Patients held out\n"
    yield f"{_size(cohort.of_patients(split.test))}, predicted by the ensemble of all folds.\n"
    evaluations = {name: model.evaluation for name, model in models.items()}
    predictions = {name: model.test_predictions for name, model in models.items()}
    yield from _tables(cohort, evaluations, predictions, out / "test", names)
    yield "## Other patients\n"
    others = cohort.of_patients(set(cohort.patients).difference(split.test))
    yield f"{_size(others)}, each predicted by the fold that was not trained on its patient.\n"
    yield from notes_on_folds(variants)
    evaluations = {name: folds_of(model).evaluation for name, model in models.items()}
    predictions = {name: folds_of(model).predictions for name, model in models.items()}
    yield from _tables(cohort, evaluations, predictions, out / "folds", names)
    if recipe.citations:
        yield "## Citations of the data\n"
        yield from (f"- {citation}" for citation in recipe.citations)


def _size(cohort: Cohort) -> str:
    return f"{counted(len(cohort.patients), 'patient')}, {counted(len(cohort.cases), 'case')}"


def notes_on_folds(variants: Mapping[str, Recipe]) -> Iterator[str]:
    """Yield the note on out-of-fold scores, if stage 1 of any model was trained on these patients' scans."""
    if any(variant.pretraining for variant in variants.values()):
        yield TRANSDUCTIVE


def _tables(
    cohort: Cohort, evaluations: Mapping[str, Path], predictions: Mapping[str, Path], out: Path, names: StructureNames
) -> Iterator[str]:
    """Write a comparison and its page to ``out`` and yield its tables; for a single model, yield its summary."""
    if len(evaluations) == 1:
        yield (next(iter(evaluations.values())) / "summary.md").read_text(encoding="utf-8")
        return
    report_comparison(compare(cohort, evaluations, out, predictions=predictions), out, names)
    for table in ("table_1", "table_2", "effects"):
        if (out / f"{table}.md").is_file():
            yield (out / f"{table}.md").read_text(encoding="utf-8")


def _setup(recipe: Recipe, cohort: Cohort, split: Split, folder: Path) -> Iterator[tuple[str, str]]:
    yield "experiment", recipe.name
    yield "finished", date.today().isoformat()
    yield "cohort", _size(cohort)
    yield "held out", f"{counted(len(split.test), 'patient')}; the others in {counted(len(split.folds), 'fold')}"
    yield from ((name, value) for name, value in system_report(folder) if name in _REPORTED_SYSTEM)


def _trained(variant: Recipe, model: ComparedModel) -> tuple[str, ...]:
    """Return the steps of each stage, and hours and CPU hours of all stages and folds together."""
    stages = [[model.run("pretraining")], [model.run("supervised")], sorted(model.run("task").glob("fold_*"))]
    logs = [[_log(run) for run in runs if RunFolder(run).log.is_file()] for runs in stages]
    if variant.nnunet and not any(logs):  # trained by a version that didn't log nnU-Net's epochs
        return "–", "–", str(variant.nnunet.epochs * variant.nnunet.steps_per_epoch), "–", "–"
    steps = [log[0][-1]["step"] if log else "–" for log in logs]
    seconds = sum(float(epoch["seconds"]) for stage in logs for log in stage for epoch in log)
    cpu = [float(log[-1].get("cpu_seconds") or math.nan) for stage in logs for log in stage]  # NaN: not measured
    return *steps, *("–" if math.isnan(total) else f"{total / 3600:.2f}" for total in (seconds, sum(cpu)))


def _log(run: Path) -> list[dict[str, str]]:
    with RunFolder(run).log.open(newline="") as file:
        return list(csv.DictReader(file))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
