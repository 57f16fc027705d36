"""Setup of learning curves, written before the first run and needed with the tables to draw the figures."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from gynbtnet.experiment.curves.earlier_stages import planned_steps
from gynbtnet.experiment.curves.folders import CurvesFolder
from gynbtnet.experiment.curves.run_list import CurveRun, all_runs
from gynbtnet.experiment.scans import Ingested
from gynbtnet.recipes.curves_recipe import CurvesDesign, CurvesRecipe
from gynbtnet.recipes.loading import load_run_recipe, save_recipe
from gynbtnet.recipes.pace import Pace
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json

_REMEDY = "expected the folder of learning curves that `gynbtnet benchmark` wrote"


@dataclass(frozen=True)
class CurvesSetup:
    """Everything about learning curves that was decided before the first run.

    Attributes:
        name: name of the experiment.
        description: one paragraph for the page.
        design: points and comparison.
        models: names of the models, in their order.
        structures: structures that are scored.
        runs: all runs.
        learning: number of patients to learn from.
        choosing: number of patients who choose settings.
        held_out: number of patients held out.
        cases_held_out: number of their scans.
        stages: earlier stages of each model.
        synthetic: whether the scans are of a phantom.
        citations: citations of the data.
        candidates: names of the settings of each model among which one is chosen; empty in files from before they were
            recorded.
        earlier_seconds: CPU seconds of the earlier stages of each model on the machine of the pace; empty without one.
    """

    name: str
    description: str
    design: CurvesDesign
    models: tuple[str, ...]
    structures: tuple[str, ...]
    runs: tuple[CurveRun, ...]
    learning: int
    choosing: int
    held_out: int
    cases_held_out: int
    stages: dict[str, tuple[str, ...]]
    synthetic: bool
    citations: tuple[str, ...]
    candidates: dict[str, tuple[str, ...]] = field(default_factory=dict)
    earlier_seconds: dict[str, float] = field(default_factory=dict)


def write_setup(recipe: CurvesRecipe, ingested: Ingested, folder: CurvesFolder) -> CurvesSetup:
    """Write the setup and the recipe of each candidate, or check that the folder has the same.

    Args:
        recipe: models and design.
        ingested: the scans and their split.
        folder: folder of the curves.

    Raises:
        BadInput: If the folder has curves of another design or with other settings of a model.
    """
    split, base = ingested.split, recipe.recipe
    setup = CurvesSetup(
        name=base.name,
        description=base.description,
        design=recipe.design,
        models=tuple(recipe.models),
        structures=base.structures,
        runs=all_runs(recipe),
        learning=len(split.training_patients(base.split.fold)),
        choosing=len(split.validation_patients(base.split.fold)),
        held_out=len(split.test),
        cases_held_out=len(ingested.test.cases),
        stages={name: tuple(model.stages) for name, model in recipe.models.items()},
        synthetic=ingested.cohort.synthetic,
        citations=base.citations,
        candidates={name: tuple(model.candidates) for name, model in recipe.models.items()},
        earlier_seconds=_earlier_seconds(recipe, recipe.design.pace) if recipe.design.pace else {},
    )
    if folder.setup.is_file():
        _check_same(setup, read_setup(folder), folder)
    write_json(setup, folder.setup)
    for name, model in recipe.models.items():
        for candidate, variant in model.candidates.items():
            path = folder.recipe(name, candidate)
            if path.is_file() and not has_settings(path, variant):
                raise BadInput(
                    f"The curves in {folder.folder} were begun with other settings of {name}, candidate {candidate}, "
                    f"which are in {path}; give another --out, or these settings."
                )
            save_recipe(variant, path)
    return setup


def _earlier_seconds(recipe: CurvesRecipe, pace: Pace) -> dict[str, float]:
    """Return the CPU seconds of each model's earlier stages on the machine of the pace."""
    seconds = {}
    for name, model in recipe.models.items():
        steps = planned_steps(next(iter(model.candidates.values())), model.stages, pace)
        seconds[name] = sum(number / pace.stages[stage] for stage, number in steps.items())
    return seconds


def has_settings(path: Path, recipe: Recipe) -> bool:
    """Return whether a candidate's recipe on disk has the same settings as ``recipe``; its description may differ."""
    stored, expected = (one.model_dump(exclude={"description"}) for one in (load_run_recipe(path), recipe))
    return stored == expected


def read_setup(folder: CurvesFolder) -> CurvesSetup:
    """Return the setup of the curves in a folder; raise BadInput if there are none."""
    return read_json(CurvesSetup, folder.setup, _REMEDY)


def _check_same(setup: CurvesSetup, before: CurvesSetup, folder: CurvesFolder) -> None:
    n_resamples = setup.design.n_resamples  # the precision of an interval, not what is compared
    before = replace(before, design=before.design.model_copy(update={"n_resamples": n_resamples}))
    for name in ("design", "structures", "learning", "choosing", "held_out"):
        if getattr(setup, name) != getattr(before, name):
            raise BadInput(
                f"The curves in {folder.folder} were begun with another {name.replace('_', ' ')}; what is compared is "
                "written down before the first run. Give another --out, or the settings it was begun with."
            )
    for model, candidates in before.candidates.items():
        if set(setup.candidates.get(model, candidates)) != set(candidates):
            raise BadInput(
                f"The curves in {folder.folder} were begun with the candidates {', '.join(candidates)} of {model}; the "
                "choice among them is written down before the first run. Give another --out, or these candidates."
            )
