"""Recipes of learning curves: models with candidate settings, budgets, numbers of patients, and the margin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gynbtnet.phantom.settings import PhantomSettings
from gynbtnet.recipes.loading import (
    RECIPE_FOLDER,
    check_folder_names,
    read_yaml,
    recipe_values,
    settings_of,
    with_aliases,
    with_changes,
)
from gynbtnet.recipes.pace import EarlierStage, Pace, paced
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.recipes.variant import apply_patches, check_comparable, merge_settings
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings
from gynbtnet.training.budget import Budget

_CURVES_FOLDER = RECIPE_FOLDER / "curves"


class CurvesDesign(Settings):
    """Points of the curves, and what is compared; written down before the first run."""

    unit: Literal["cpu_seconds", "steps", "gpu_seconds"] = Field(
        "cpu_seconds", description="Unit of the budgets, as in the settings of training."
    )
    pace: Pace | None = Field(
        None,
        description="Machine whose CPU seconds the budgets are; runs are then counted in steps. null: the machine that "
        "trains.",
    )
    budgets: tuple[float, ...] = Field(
        min_length=1, description="Budgets of the task's training, ascending; settings are chosen at the first."
    )
    long_budget: float | None = Field(None, description="One more budget, with one seed, for models with long: true.")
    seeds: int = Field(3, ge=1, description="Number of seeds of each point.")
    patients: tuple[int, ...] = Field((), description="Numbers of contoured patients below all, ascending.")
    patients_budget: float | None = Field(
        None,
        gt=0,
        description="Budget of the runs with fewer patients; null: the largest of budgets.",
    )
    draws: int = Field(
        3, ge=1, description="Draws of these patients, the same for all models; draw i is trained with seed i."
    )
    reference: str = Field(description="Model that the others are compared with.")
    margin: float = Field(0.02, gt=0, description="DSC by which a model may be worse and still counts as not worse.")
    n_resamples: int = Field(
        100_000, ge=100, description="Resamples of patients and seeds for an interval; may be changed later."
    )

    @model_validator(mode="after")
    def _has_points_in_order(self) -> Self:
        if list(self.budgets) != sorted(set(self.budgets)) or self.budgets[0] <= 0:
            raise ValueError("expected budgets above 0 in ascending order")
        if list(self.patients) != sorted(set(self.patients)) or min(self.patients, default=2) < 2:
            raise ValueError("expected numbers of patients, at least 2, in ascending order")
        if self.long_budget is not None and self.long_budget <= self.budgets[-1]:
            raise ValueError("expected a long_budget above the others")
        if self.pace is not None and self.unit != "cpu_seconds":
            raise ValueError(f"expected no pace if budgets are in {self.unit}; set curves.pace to null")
        self._check_amounts()
        return self

    def _check_amounts(self) -> None:
        """Check that every budget can be one, and that no two budgets give a folder the same name."""
        others = (self.long_budget, self.patients_budget)
        amounts = {*self.budgets, *(amount for amount in others if amount is not None)}
        if self.unit == "steps" and any(amount != int(amount) for amount in amounts):
            raise ValueError("expected budgets in whole steps")
        if len({budget_name(amount) for amount in amounts}) < len(amounts):
            raise ValueError("expected budgets that differ in their first six digits, because folders get these")

    def budget(self, amount: float, model: str) -> Budget:
        """Return an amount as the budget of a model's training."""
        budget = Budget.model_validate({self.unit: int(amount) if self.unit == "steps" else amount})
        return paced(budget, self.pace.task[model] if self.pace else None)


def budget_name(amount: float) -> str:
    """Return a budget as it is part of the name of a run."""
    return f"{amount:g}"


class CurveModel(Settings):
    """A model of the curves, as stored in the file."""

    baseline: Literal["gynbtnet", "gynbtnet-from-scratch", "swin-unetr", "nnunet"] | None = Field(
        None, description="Shipped baseline whose changes are applied first."
    )
    settings: dict[str, Any] = Field({}, description="Changes to the recipe.")
    stages: tuple[EarlierStage, ...] = Field((), description="Stages that are trained before the task.")
    candidates: dict[str, dict[str, Any]] = Field(
        min_length=1, description="Changes to try on validation patients, by name; one is chosen."
    )
    few_patients: bool = Field(True, description="Train with fewer patients, too.")
    long: bool = Field(False, description="Train with the long budget, too.")


@dataclass(frozen=True)
class ResolvedCurveModel:
    """A model of the curves with the complete recipe of each candidate.

    Attributes:
        name: name of the model.
        stages: stages that are trained before the task, in their order.
        candidates: recipe of each candidate by name.
        few_patients: whether it is trained with fewer patients.
        long: whether it is trained with the long budget.
    """

    name: str
    stages: tuple[EarlierStage, ...]
    candidates: Mapping[str, Recipe]
    few_patients: bool
    long: bool


@dataclass(frozen=True)
class CurvesRecipe:
    """All settings of learning curves.

    Attributes:
        recipe: common recipe of the models: structures, split, stages, prediction.
        design: points and comparison.
        models: the models by name, in the order of training.
        phantom: settings of the phantom that replaces patients; None if scans must be given.
    """

    recipe: Recipe
    design: CurvesDesign
    models: Mapping[str, ResolvedCurveModel]
    phantom: PhantomSettings | None


class _Written(Settings):
    """Recipe of curves as stored in its file."""

    name: str
    description: str = ""
    phantom: PhantomSettings | None = None
    curves: CurvesDesign
    recipe: tuple[str | dict[str, Any], ...] = Field(min_length=1)
    models: dict[str, CurveModel] = Field(min_length=1)


def shipped_curves() -> list[str]:
    """Return the names of the recipes of curves that are part of the package.

    Returns:
        Names in alphabetical order, as :func:`load_curves` takes them.
    """
    return sorted(path.stem for path in _CURVES_FOLDER.glob("*.yaml"))


def is_curves(name: str | Path) -> bool:
    """Return whether a shipped name or a YAML file is a recipe of curves: it has ``curves``.

    Args:
        name: name of a shipped recipe, or a YAML file.
    """
    if str(name) in shipped_curves():
        return True
    return Path(name).is_file() and "curves" in read_yaml(Path(name))


def load_curves(name: str | Path, changes: Sequence[str] = ()) -> CurvesRecipe:
    """Read a recipe of curves by its shipped name or its path, and resolve its models.

    In the file, ``recipe`` lists recipes (by name or path) and changes, each merged into the previous ones (JSON merge
    patch, RFC 7396). ``models`` lists the models by name.

    Args:
        name: name from :func:`shipped_curves`, or a YAML file.
        changes: changes of single settings of all models, e.g. ``"task.training.workers=2"``, of the phantom, e.g.
            ``"phantom.patients=12"``, or of the design, e.g. ``"curves.seeds=1"``.

    Returns:
        The design, the common recipe, and each model with the recipes of its candidates.

    Raises:
        BadInput: If a key is unknown, a value has the wrong type or range, or the YAML is invalid.
    """
    path = _CURVES_FOLDER / f"{name}.yaml" if str(name) in shipped_curves() else Path(name)
    own = [change for change in changes if change.startswith(("phantom.", "curves.", "phantom=", "curves="))]
    written = settings_of(_Written, read_yaml(path), own, path)
    values: dict[str, Any] = reduce(
        merge_settings,
        [recipe_values(part, path) if isinstance(part, str) else part for part in written.recipe],
    )
    headings = {"name": written.name, "description": written.description}
    recipe = with_changes(values | headings, [change for change in changes if change not in own], path)
    recipe = with_aliases(recipe, path)
    if written.curves.reference not in written.models:
        raise BadInput(
            f"curves.reference in {path} is {written.curves.reference}; expected one of {', '.join(written.models)}."
        )
    resolved = {model: _resolve(model, written.models[model], recipe, path) for model in written.models}
    if written.curves.pace is not None:
        _check_pace(written.curves.pace, resolved, path)
    return CurvesRecipe(recipe, written.curves, resolved, written.phantom)


def _check_pace(pace: Pace, models: Mapping[str, ResolvedCurveModel], path: Path) -> None:
    """Check that the pace has exactly the models, and each of their earlier stages."""
    if other := set(pace.task) ^ set(models):
        problem = "isn't a model of these curves" if min(other) in pace.task else "is missing there"
        raise BadInput(f"curves.pace.task in {path} needs the steps of each model, but {min(other)} {problem}.")
    stages = {stage for model in models.values() for stage in model.stages}
    if absent := stages.difference(pace.stages):
        raise BadInput(f"curves.pace.stages in {path} lacks {min(absent)}, which is trained before a task; add it.")
    for name, stage in ((name, stage) for name, model in models.items() for stage in model.stages):
        budget = getattr(next(iter(models[name].candidates.values())), stage).training.budget
        if budget is None or budget.unit == "gpu_seconds":
            raise BadInput(
                f"{stage} of {name} in {path} has no budget in CPU seconds or steps, which curves.pace needs; set one, "
                "or curves.pace to null."
            )


def _resolve(name: str, model: CurveModel, recipe: Recipe, path: Path) -> ResolvedCurveModel:
    check_folder_names((name, *model.candidates), path)
    baseline = [read_yaml(RECIPE_FOLDER / "baselines" / f"{model.baseline}.yaml")] if model.baseline else []
    base = apply_patches(recipe, name, [*baseline, model.settings], (), path)
    for stage in model.stages:
        if getattr(base, stage) is None:
            raise BadInput(f"The model {name} in {path} has the stage {stage}, which its recipe omits.")
    base = base.model_copy(update={stage: None for stage in ("pretraining", "supervised") if stage not in model.stages})
    candidates = {key: apply_patches(base, name, [patch], (), path) for key, patch in model.candidates.items()}
    for candidate in candidates.values():
        check_comparable(recipe, candidate)
    stages = tuple(stage for stage in ("pretraining", "supervised") if stage in model.stages)
    return ResolvedCurveModel(name, stages, candidates, model.few_patients, model.long)
