"""Limits that a clinic sets before it sees results, read from a YAML file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from gynbtnet.evaluation.metrics.settings import DoseSettings, ScoringSettings
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings
from gynbtnet.runtime.settings_files import read_settings

MetricName = Literal["surface_dsc", "dsc", "hd95_mm", "added_path_length", "delta_d90_gy", "delta_d2cc_gy"]
Side = Literal["at least", "at most", "within"]
Stated = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text that has more than spaces."""


@dataclass(frozen=True)
class LimitedMetric:
    """A metric that a clinic can limit.

    Attributes:
        title: name for people.
        unit: unit after a value; empty for a share.
        side: acceptable side of a limit; "within" is from minus to plus the limit.
        decimals: printed decimals.
        lowest, highest: values that a mean can't exceed; None if there is no such value.
    """

    title: str
    unit: str
    side: Side
    decimals: int
    lowest: float | None = None
    highest: float | None = None

    def printed(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{value:z.{self.decimals}f}{f' {self.unit}' if self.unit else ''}"

    def printed_limit(self, limit: float) -> str:
        """Return a limit with its side, such as ``≥ 0.80``."""
        return f"{ {'at least': '≥ ', 'at most': '≤ ', 'within': '± '}[self.side] }{self.printed(limit)}"


METRICS: Mapping[MetricName, LimitedMetric] = {
    "surface_dsc": LimitedMetric("surface DSC", "", "at least", 2, 0, 1),
    "dsc": LimitedMetric("DSC", "", "at least", 2, 0, 1),
    "hd95_mm": LimitedMetric("HD95", "mm", "at most", 1, 0),
    "added_path_length": LimitedMetric("added path length, share", "", "at most", 2, 0),
    "delta_d90_gy": LimitedMetric("ΔD90", "Gy EQD2", "within", 1),
    "delta_d2cc_gy": LimitedMetric("ΔD2cc", "Gy EQD2", "within", 1),
}
"""Metrics in the order of the page."""
_SHARES = ("surface_dsc", "dsc", "added_path_length")


class Limit(Settings):
    """Limit of one metric of one structure."""

    limit: float = Field(gt=0, description="Value that the mean over the local cases has to keep to.")
    why: Stated = Field(description="Reason, one sentence.")
    source: Stated = Field(description="Publication, or measurement of the clinic.")
    tolerance_mm: float | None = Field(None, gt=0, le=100, description="Tolerance of a surface DSC in mm.")


class Limits(Settings):
    """All limits of a clinic, with the intended use that they are for."""

    intended_use: str = Field("", description="Patients, scanner, applicators and use of the contours, in words.")
    set_by: str = Field("", description="Person who set the limits.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of the intervals.")
    dose: DoseSettings = Field(DoseSettings(), description="α/β and fractions of the doses.")
    limits: Mapping[str, Mapping[MetricName, Limit]] = Field(min_length=1, description="Limits by structure.")

    @model_validator(mode="after")
    def _possible(self) -> "Limits":
        for structure, metrics in self.limits.items():
            if not metrics:
                raise ValueError(f"{structure} has no limit; give one, or delete its name")
            for metric, entry in metrics.items():
                if metric in _SHARES and entry.limit >= 1:
                    raise ValueError(f"{structure} {metric} is {entry.limit:g}; expected a share below 1")
                if (metric == "surface_dsc") != (entry.tolerance_mm is not None):
                    raise ValueError(f"{structure} {metric}: tolerance_mm belongs to a surface_dsc, and only to it")
        return self

    @classmethod
    def load(cls, path: Path) -> "Limits":
        """Read the file of a clinic.

        Raises:
            BadInput: If the file is absent, isn't YAML, or has an unknown key or an impossible value.
        """
        if not Path(path).is_file():
            raise BadInput(f"There is no file {path}; write one with `gynbtnet commission MODEL --init {path}`.")
        return read_settings(cls, path, "limits", "correct them, or write others with --init and a new name")

    @property
    def numbers(self) -> dict[str, float]:
        """Every limit and tolerance by "structure metric", and the confidence."""
        values: dict[str, float] = {"confidence": self.confidence}
        for structure, metrics in self.limits.items():
            for metric, entry in metrics.items():
                values[f"{structure} {metric}"] = entry.limit
                if entry.tolerance_mm is not None:
                    values[f"{structure} {metric} tolerance_mm"] = entry.tolerance_mm
        return values

    @property
    def sha256(self) -> str:
        """Digest of everything that decides a verdict; sentences, sources and the intended use don't count."""
        content = {"numbers": self.numbers, "dose": self.dose.model_dump(mode="json")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def scoring(self) -> ScoringSettings:
        """Settings of the scores: the tolerance of each structure."""
        tolerances = {
            structure: metrics["surface_dsc"].tolerance_mm or 0.0
            for structure, metrics in self.limits.items()
            if "surface_dsc" in metrics
        }
        return ScoringSettings(tolerances_mm=tolerances)
