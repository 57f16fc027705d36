"""Agreement of doses by predicted and reference contours: Bland–Altman analysis of D2cc and D90."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation.dose.pairs import dose_pairs
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.reports.bland_altman import agreement_table, bland_altman_figure, with_differences
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.picture import Picture, render_picture

AGREEMENT_METRICS = ("D2cc", "D90")


@dataclass(frozen=True)
class DoseAgreement:
    """Agreement of one dose-volume metric.

    Attributes:
        metric: name of the metric.
        limits: bias and limits of agreement in Gy, one row per structure, see
            :func:`gynbtnet.evaluation.reports.bland_altman.agreement_table`.
        pairs: data of the plot, see :func:`gynbtnet.evaluation.reports.bland_altman.with_differences`.
        picture: plot of differences against means, one panel per structure.
    """

    metric: str
    limits: pd.DataFrame
    pairs: pd.DataFrame
    picture: Picture

    @property
    def name(self) -> str:
        """Name of the files, without extension."""
        return f"bland_altman_{self.metric.lower()}"

    def save(self, folder: Path) -> None:
        """Write the plot, its data, and the limits."""
        (folder / f"{self.name}.png").write_bytes(self.picture.png)
        self.pairs.to_csv(folder / f"{self.name}.csv", index=False)
        self.limits.to_csv(folder / f"{self.name}_limits.csv", index=False)


def dose_agreements(scores: Sequence[DoseScore], *, synthetic: bool) -> tuple[DoseAgreement, ...]:
    """Return the agreement of each metric that both contours have in at least one case.

    Args:
        scores: scores of all cases.
        synthetic: whether the data are synthetic; the plots then state it.
    """
    return tuple(
        _agreement(pairs, metric, synthetic) for metric in AGREEMENT_METRICS if len(pairs := dose_pairs(scores, metric))
    )


def _agreement(pairs: pd.DataFrame, metric: str, synthetic: bool) -> DoseAgreement:
    figure = bland_altman_figure(pairs, metric, "Gy", "synthetic data" if synthetic else "")
    picture = render_picture(figure, f"Prediction minus reference, {metric}, against their mean")
    return DoseAgreement(metric, agreement_table(pairs), with_differences(pairs), picture)


def limit_cells(limits: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of bias and limits for people; numbers from the second column."""
    names = StructureNames.load()
    heads = ["structure", "cases", "patients", "SD (Gy)"]
    for name in ("bias", "lower limit", "upper limit"):
        heads += [f"{name} (Gy)", "95 % interval"]
    rows = []
    for row in limits.to_dict("records"):
        cells = [names.display_name(str(row["structure"])), str(row["cases"]), str(row["patients"])]
        cells.append(_format_gy(row["sd"]))
        for name in ("bias", "lower", "upper"):
            cells += [_format_gy(row[name]), _format_interval(row[f"{name}_low"], row[f"{name}_high"])]
        rows.append(cells)
    return heads, rows


def _format_gy(dose: float) -> str:
    return "–" if pd.isna(dose) else f"{dose:z.2f}"


def _format_interval(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"{_format_gy(low)} to {_format_gy(high)}"
