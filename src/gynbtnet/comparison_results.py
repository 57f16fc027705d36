"""What a comparison of models was made of and what it found, as a page of Markdown."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

from gynbtnet.comparison import folds_of
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.doctor import examine
from gynbtnet.evaluation.evaluate import Evaluation
from gynbtnet.experiment import ComparedModel
from gynbtnet.evaluation.report import RESEARCH_USE, SYNTHETIC
from gynbtnet.evaluation.score_table import POLICY, markdown_table
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.whole_files import written_whole

_OF_THE_MACHINE = ("gynbtnet", "Python", "system", "cores", "devices", "torch")


def write_results(
    recipe: Recipe, variants: Mapping[str, Recipe], places: Mapping[str, ComparedModel], path: Path
) -> Path:
    """Write the page whole and return its path.

    Args:
        recipe: what the models were compared on.
        variants: by name the models' own recipes.
        places: by name where each keeps what.
        path: the file.
    """
    with written_whole(path) as partial:
        partial.write_text("\n".join(_lines(recipe, variants, places)) + "\n", encoding="utf-8")
    return path


def _lines(recipe: Recipe, variants: Mapping[str, Recipe], places: Mapping[str, ComparedModel]) -> Iterator[str]:
    first = next(iter(places.values()))
    cohort, split = Cohort.load(first.cohort("task")), Split.load(first.split)
    if cohort.synthetic:
        yield f"**{SYNTHETIC}**\n"
    yield f"{RESEARCH_USE}\n"
    yield f"{recipe.description}\n" if recipe.description else ""
    yield from _table(("", ""), _made_of(recipe, cohort, split, first.folder))
    yield "\n## What was trained\n"
    heads = ("model", "pretraining", "supervised", "task, each fold", "hours")
    yield from _table(heads, [(name, *_trained(variants[name], place)) for name, place in places.items()])
    yield "\nOptimiser steps, and hours of all of them with their validation; nnU-Net doesn't say its own.\n"
    tested = len(cohort.of_patients(split.test).cases)
    yield f"## Patients held out: {len(split.test)} patients, {tested} cases, contoured by all folds together\n"
    for name, place in places.items():
        yield f"### {name}\n"
        yield markdown_table(Evaluation.load(place.evaluation).summary)
    patients, cases = len(cohort.patients) - len(split.test), len(cohort.cases) - tested
    yield f"## Patients of the folds: {patients} patients, {cases} cases, each contoured by the fold that didn't see it\n"
    for name, place in places.items():
        yield f"### {name}\n"
        yield markdown_table(Evaluation.load(folds_of(place).evaluation).summary)
    yield POLICY
    if recipe.citations:
        yield "\n## Citations of the data\n"
        yield from (f"- {citation}" for citation in recipe.citations)


def _made_of(recipe: Recipe, cohort: Cohort, split: Split, folder: Path) -> Iterator[tuple[str, str]]:
    yield "experiment", recipe.name
    yield "ended", date.today().isoformat()
    yield "cohort", f"{len(cohort.patients)} patients, {len(cohort.cases)} cases"
    yield "held out", f"{len(split.test)} patients; the others in {len(split.folds)} folds"
    yield from ((what, found) for what, found in examine(folder) if what in _OF_THE_MACHINE)


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
