"""What a comparison of models was made of and what it found, as a page of Markdown."""

import csv
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
from gynbtnet.runtime.system_report import system_report
from gynbtnet.training.run_folder import RunFolder

TRANSDUCTIVE = (
    "Stage 1 saw the scans of these patients, without their contours: the figures of models with a pretraining are "
    "transductive. The patients held out were in no stage.\n"
)
_OF_THE_MACHINE = ("gynbtnet", "Python", "system", "cores", "devices", "torch")


def write_results(
    recipe: Recipe, variants: Mapping[str, Recipe], places: Mapping[str, ComparedModel], path: Path
) -> Path:
    """Compare the models, on the patients held out and on those of the folds, and write the page; returns its path.

    Args:
        recipe: what the models were compared on.
        variants: by name the models' own recipes.
        places: by name where each keeps what.
        path: the page; beside it ``comparisons/test`` and ``comparisons/folds``, as ``gynbtnet compare`` leaves them,
            each with its ``report.html``. A single model has no comparison, and its own table stands on the page.
    """
    with atomic_write(path) as partial:
        partial.write_text("\n".join(_lines(recipe, variants, places, path.parent)) + "\n", encoding="utf-8")
    return path


def _lines(
    recipe: Recipe, variants: Mapping[str, Recipe], places: Mapping[str, ComparedModel], folder: Path
) -> Iterator[str]:
    first = next(iter(places.values()))
    cohort, split = Cohort.load(first.cohort("task")), Split.load(first.split)
    if cohort.synthetic:
        yield f"**{SYNTHETIC}**\n"
    yield f"{RESEARCH_USE}\n"
    if recipe.description:
        yield f"{recipe.description}\n"
    yield from _table(("", ""), _made_of(recipe, cohort, split, folder))
    yield "\n## What was trained\n"
    heads = ("model", "pretraining", "supervised", "task, each fold", "hours")
    yield from _table(heads, [(name, *_trained(variants[name], place)) for name, place in places.items()])
    yield "\nOptimiser steps, and hours of all of them with their validation; nnU-Net doesn't say its own.\n"
    names = StructureNames.load(recipe.aliases)
    tested = len(cohort.of_patients(split.test).cases)
    yield f"## Patients held out: {len(split.test)} patients, {tested} cases, contoured by all folds together\n"
    scored = {name: place.evaluation for name, place in places.items()}
    contours = {name: place.test_predictions for name, place in places.items()}
    yield from _tables(cohort, scored, contours, folder / "comparisons" / "test", names)
    patients, cases = len(cohort.patients) - len(split.test), len(cohort.cases) - tested
    yield f"## The others: {patients} patients, {cases} cases, each by the fold that has not seen its patient\n"
    yield from notes_on_folds(variants)
    scored = {name: folds_of(place).evaluation for name, place in places.items()}
    contours = {name: folds_of(place).predictions for name, place in places.items()}
    yield from _tables(cohort, scored, contours, folder / "comparisons" / "folds", names)
    if recipe.citations:
        yield "## Citations of the data\n"
        yield from (f"- {citation}" for citation in recipe.citations)


def notes_on_folds(variants: Mapping[str, Recipe]) -> Iterator[str]:
    """What has to be known of scores out of fold: whether any model's stage 1 saw these patients' scans."""
    if any(variant.pretraining for variant in variants.values()):
        yield TRANSDUCTIVE


def _tables(
    cohort: Cohort, scored: Mapping[str, Path], contours: Mapping[str, Path], out: Path, names: StructureNames
) -> Iterator[str]:
    """The tables of a comparison, which is written to ``out`` with its page; of a single model its summary."""
    if len(scored) == 1:
        yield (next(iter(scored.values())) / "summary.md").read_text(encoding="utf-8")
        return
    report_comparison(compare(cohort, scored, out, predictions=contours), out, names)
    for table in ("table_1", "table_2", "effects"):
        if (out / f"{table}.md").is_file():
            yield (out / f"{table}.md").read_text(encoding="utf-8")


def _made_of(recipe: Recipe, cohort: Cohort, split: Split, folder: Path) -> Iterator[tuple[str, str]]:
    yield "experiment", recipe.name
    yield "ended", date.today().isoformat()
    yield "cohort", f"{len(cohort.patients)} patients, {len(cohort.cases)} cases"
    yield "held out", f"{len(split.test)} patients; the others in {len(split.folds)} folds"
    yield from ((what, found) for what, found in system_report(folder) if what in _OF_THE_MACHINE)


def _trained(variant: Recipe, place: ComparedModel) -> tuple[str, ...]:
    """Steps of each stage, and hours of all of them together."""
    if variant.nnunet:
        return "–", "–", str(variant.nnunet.epochs * variant.nnunet.steps_per_epoch), "–"
    stages = [[place.run("pretraining")], [place.run("supervised")], sorted(place.run("task").glob("fold_*"))]
    logs = [[_log(run) for run in runs if RunFolder(run).log.is_file()] for runs in stages]
    steps = [log[0][-1]["step"] if log else "–" for log in logs]
    seconds = sum(float(epoch["seconds"]) for stage in logs for log in stage for epoch in log)
    return *steps, f"{seconds / 3600:.2f}"


def _log(run: Path) -> list[dict[str, str]]:
    with RunFolder(run).log.open(newline="") as file:
        return list(csv.DictReader(file))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
