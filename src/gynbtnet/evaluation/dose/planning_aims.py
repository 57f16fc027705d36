"""What the total dose of a course is held against: a table of planning aims and limits, read from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from gynbtnet.evaluation.dose.metrics import parse_metric_name
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml
from gynbtnet.runtime.settings import Settings

Verdict = Literal["aim met", "aim missed", "limit met", "limit missed", "not judged", ""]
"""Of a figure with an aim and a limit: "limit met" says that the aim is missed. Empty where the table asks nothing."""

EMBRACE_II = Path(__file__).with_name("aims_embrace2.yaml")


class Bounds(Settings):
    """Between which EQD2 in Gy a figure should lie, bounds excluded."""

    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _bound(self) -> "Bounds":
        if self.above is None and self.below is None:
            raise ValueError("neither above nor below")
        return self

    def hold(self, dose_gy: float) -> bool:
        """Whether a dose lies between them."""
        return (self.above is None or dose_gy > self.above) and (self.below is None or dose_gy < self.below)

    def __str__(self) -> str:
        bounds = ((">", self.above), ("<", self.below))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


class Aim(Settings):
    """What is aimed at, and what may not be missed."""

    aim: Bounds | None = None
    limit: Bounds | None = None

    def verdict(self, dose_gy: float) -> Verdict:
        """On a total EQD2 in Gy; NaN isn't judged."""
        if dose_gy != dose_gy:
            return "not judged"
        if self.limit is not None and not self.limit.hold(dose_gy):
            return "limit missed"
        if self.aim is None:
            return "limit met" if self.limit is not None else ""
        if self.aim.hold(dose_gy):
            return "aim met"
        return "aim missed" if self.limit is None else "limit met"


class AlphaBeta(Settings):
    """For which α/β in Gy a table holds."""

    target: float = Field(gt=0)
    organ: float = Field(gt=0)


class PlanningAims(Settings):
    """A table of aims; see ``aims_embrace2.yaml``."""

    name: str
    source: str
    alpha_beta_gy: AlphaBeta
    structures: Mapping[
        str, Mapping[Annotated[str, AfterValidator(lambda name: parse_metric_name(name) and name)], Aim]
    ]

    @classmethod
    def load(cls, path: Path = EMBRACE_II) -> "PlanningAims":
        """Read a table.

        Raises:
            BadInput: where the file is absent or no such table.
        """
        try:
            return cls.model_validate(load_yaml(Path(path)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file as a whole"
            raise BadInput(
                f"The table of aims {path} can't be used ({where}: {first['msg']}); expected the form of "
                f"{EMBRACE_II.name}, which comes with this package."
            ) from error
        except (OSError, UnicodeDecodeError, PlainDataError) as error:
            raise BadInput(
                f"The table of aims {path} can't be read as YAML; give an existing file with --aims."
            ) from error

    def of(self, structure: str, figure: str) -> Aim:
        """What is asked of one figure; nothing where the table doesn't name it."""
        return self.structures.get(structure, {}).get(figure, Aim())
