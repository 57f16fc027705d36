"""How far automatic and manual contours agree on a dose: Bland–Altman of D2cc and D90."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation.dose.pairs import dose_pairs
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.reports.bland_altman import agreement_table, bland_altman_figure, with_differences
from gynbtnet.pictures.picture import Picture, picture

AGREED = ("D2cc", "D90")


@dataclass(frozen=True)
class DoseAgreement:
    """Of one figure.

    Attributes:
        figure: its name.
        limits: bias and limits of agreement in Gy, a row a structure, see
            :func:`gynbtnet.evaluation.reports.bland_altman.agreement_table`.
        pairs: what was drawn, see :func:`gynbtnet.evaluation.reports.bland_altman.with_differences`.
        picture: differences against means, a panel a structure.
        panels: the same, a picture a structure.
    """

    figure: str
    limits: pd.DataFrame
    pairs: pd.DataFrame
    picture: Picture
    panels: tuple[Picture, ...]

    @property
    def name(self) -> str:
        """Of its files, without an ending."""
        return f"bland_altman_{self.figure.lower()}"

    def save(self, folder: Path) -> None:
        """Write the picture, what it was drawn from, and the limits."""
        (folder / f"{self.name}.png").write_bytes(self.picture.png)
        self.pairs.to_csv(folder / f"{self.name}.csv", index=False)
        self.limits.to_csv(folder / f"{self.name}_limits.csv", index=False)


def dose_agreements(scores: Sequence[DoseScore], *, synthetic: bool) -> tuple[DoseAgreement, ...]:
    """Of each figure that both contours have in some case."""
    return tuple(_agreement(pairs, figure, synthetic) for figure in AGREED if len(pairs := dose_pairs(scores, figure)))


def _agreement(pairs: pd.DataFrame, figure: str, synthetic: bool) -> DoseAgreement:
    def drawn(of: pd.DataFrame, where: str) -> Picture:
        drawing = bland_altman_figure(of, figure, "Gy", "synthetic data" if synthetic else "")
        return picture(drawing, f"Automatic minus manual {figure}{where} against their mean")

    panels = (drawn(of, f" of {structure}") for structure, of in pairs.groupby("structure", sort=False))
    return DoseAgreement(figure, agreement_table(pairs), with_differences(pairs), drawn(pairs, ""), tuple(panels))


def limit_cells(limits: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Bias and limits as people read them, heads and rows; numbers from the second column."""
    heads = ["structure", "cases", "patients", "SD (Gy)"]
    for name in ("bias", "lower limit", "upper limit"):
        heads += [f"{name} (Gy)", "95 % interval"]
    rows = []
    for row in limits.to_dict("records"):
        cells = [str(row["structure"]), str(row["cases"]), str(row["patients"]), _gray(row["sd"])]
        for name in ("bias", "lower", "upper"):
            cells += [_gray(row[name]), _interval(row[f"{name}_low"], row[f"{name}_high"])]
        rows.append(cells)
    return heads, rows


def _gray(dose: float) -> str:
    return "–" if pd.isna(dose) else f"{dose:z.2f}"


def _interval(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"{_gray(low)} to {_gray(high)}"
