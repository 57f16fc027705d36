"""Runs of learning curves, in the order in which a part of them is most useful."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from gynbtnet.recipes.curves_recipe import CurvesDesign, CurvesRecipe, ResolvedCurveModel, budget_name


@dataclass(frozen=True)
class CurveRun:
    """One training of a model's task stage.

    Attributes:
        kind: "search": a candidate, scored on the validation patients; "point": the chosen candidate, scored on the
            patients held out.
        model: name of the model.
        budget: amount of computation, in the unit of the design.
        seed: seed of the training and of the earlier stages.
        patients: number of contoured patients; None: all.
        candidate: name of the candidate of a search; None for a point.
    """

    kind: Literal["search", "point"]
    model: str
    budget: float
    seed: int = 0
    patients: int | None = None
    candidate: str | None = None

    @property
    def draw(self) -> int | None:
        """Number of the draw of patients; None for all patients."""
        return None if self.patients is None else self.seed

    @property
    def name(self) -> str:
        """Path of the run in the folder of the runs."""
        if self.kind == "search":
            return f"search/{self.model}/{self.candidate}"
        patients = "all" if self.patients is None else str(self.patients)
        return f"points/{self.model}/patients-{patients}_budget-{budget_name(self.budget)}_seed-{self.seed}"


def all_runs(recipe: CurvesRecipe) -> tuple[CurveRun, ...]:
    """Return the runs of all models, each once.

    First, each model's settings are chosen and its first point is made. Then come the other seeds of the smallest
    budget, fewer patients, the next budget, the other budgets, and the long one.

    Args:
        recipe: design and models.
    """
    design, models = recipe.design, list(recipe.models.values())
    first, *others = design.budgets
    second, larger = others[:1], others[1:]
    parts = chain(
        chain.from_iterable(_search(model, first) for model in models),
        _points(models, [first], range(1, design.seeds)),
        _few_patients(models, design),
        _points(models, second, range(design.seeds)),
        _points(models, larger, range(design.seeds)),
        _points([model for model in models if model.long], [design.long_budget] if design.long_budget else [], [0]),
    )
    return tuple(dict.fromkeys(parts))


def _search(model: ResolvedCurveModel, budget: float) -> Iterator[CurveRun]:
    if len(model.candidates) > 1:
        yield from (CurveRun("search", model.name, budget, candidate=candidate) for candidate in model.candidates)
    yield CurveRun("point", model.name, budget)


def _points(models: list[ResolvedCurveModel], budgets: list[float], seeds: range | list[int]) -> Iterator[CurveRun]:
    for budget in budgets:
        for seed in seeds:
            yield from (CurveRun("point", model.name, budget, seed) for model in models)


def _few_patients(models: list[ResolvedCurveModel], design: CurvesDesign) -> Iterator[CurveRun]:
    budget = design.patients_budget or design.budgets[-1]
    selected = [model for model in models if model.few_patients]
    for patients in design.patients:
        for draw in range(design.draws):
            yield from (CurveRun("point", model.name, budget, draw, patients) for model in selected)
