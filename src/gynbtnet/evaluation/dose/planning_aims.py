"""Planning aims and limits for the total dose of a course, read from a YAML table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gynbtnet.evaluation.dose.metrics import parse_metric_name
from gynbtnet.runtime.settings import Settings
from gynbtnet.runtime.settings_files import read_settings

Verdict = Literal["aim met", "aim missed", "limit met", "limit missed", "not judged", ""]
"""Judgement of a total dose. For a metric with an aim and a limit, "limit met" means that the aim is missed. Empty if
the table has neither for the metric."""

EMBRACE_II = Path(__file__).with_name("aims_embrace2.yaml")
"""File of EMBRACE II's planning aims and limits."""


class Bounds(Settings):
    """Range of the EQD2 in Gy of a metric, bounds excluded."""

    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _has_bound(self) -> "Bounds":
        if self.above is None and self.below is None:
            raise ValueError("neither above nor below")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"no dose is above {self.above:g} and below {self.below:g}")
        return self

    def contains(self, dose_gy: float) -> bool:
        """Return whether a dose is within the bounds."""
        return (self.above is None or dose_gy > self.above) and (self.below is None or dose_gy < self.below)

    def __str__(self) -> str:
        bounds = ((">", self.above), ("<", self.below))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


class Aim(Settings):
    """Aim and limit of one metric."""

    aim: Bounds | None = None
    limit: Bounds | None = None

    def verdict(self, dose_gy: float) -> Verdict:
        """Judge a total EQD2 in Gy; NaN is not judged."""
        if dose_gy != dose_gy:
            return "not judged"
        if self.limit is not None and not self.limit.contains(dose_gy):
            return "limit missed"
        if self.aim is None:
            return "limit met" if self.limit is not None else ""
        if self.aim.contains(dose_gy):
            return "aim met"
        return "aim missed" if self.limit is None else "limit met"

    def verdict_from(self, bound_gy: float) -> Verdict:
        """Judge a total EQD2 of which only a lower bound in Gy is known: the verdict that every such total has."""
        bounds = [part for part in (self.aim, self.limit) if part is not None]
        higher = [value for part in bounds for value in (part.above, part.below) if value and value >= bound_gy]
        beyond = (max(higher) + 1) if higher else bound_gy
        possible = {self.verdict(total) for total in (bound_gy, *higher, *(value + 1e-9 for value in higher), beyond)}
        return possible.pop() if len(possible) == 1 else "not judged"


class AlphaBeta(Settings):
    """α/β in Gy for which a table is valid."""

    target: float = Field(gt=0)
    organ: float = Field(gt=0)


class PlanningAims(Settings):
    """Table of aims and limits; see ``aims_embrace2.yaml``.

    Attributes:
        name: name of the table.
        source: publication of the values.
        alpha_beta_gy: α/β of targets and organs in Gy.
        structures: aims of each structure, by dose metric.
    """

    name: str
    source: str
    alpha_beta_gy: AlphaBeta
    structures: Mapping[
        str, Mapping[Annotated[str, AfterValidator(lambda name: parse_metric_name(name) and name)], Aim]
    ]

    @classmethod
    def load(cls, path: Path = EMBRACE_II) -> "PlanningAims":
        """Read a table.

        Args:
            path: YAML file; default: EMBRACE II's aims and limits.

        Raises:
            BadInput: If the file is missing or is not such a table.
        """
        remedy = f"expected the form of {EMBRACE_II.name}, which is included in this package"
        return read_settings(cls, path, "table of aims", remedy)

    def aim_for(self, structure: str, metric: str) -> Aim:
        """Return the aim and limit of a metric; both are None if the table does not list it."""
        return self.structures.get(structure, {}).get(metric, Aim())
