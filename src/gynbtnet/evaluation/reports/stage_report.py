"""Summary of one training stage, read from its run folder."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation.reports.training_curves import curve_figures, plotted_columns, read_log
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.networks.transfer import TransferReport
from gynbtnet.pictures.picture import Picture, render_picture
from gynbtnet.runtime.json_files import read_json
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.flat_settings import read_flat_settings

FIRST_AND_LAST = {"loss": "training loss", "validation_loss": "validation loss", "dice_mean": "validation Dice, mean"}
"""Columns of a log whose first and last value are reported, and their names in the report."""

_PARTS = {
    "encoder": "the encoder",
    "all_but_heads": "the encoder and decoder without their heads",
    "all": "the network",
}
"""Part of a network that is transferred."""


@dataclass(frozen=True)
class StageReport:
    """One training stage.

    Attributes:
        name: the heading.
        facts: key facts of the run with their values (length, time, losses).
        settings: every setting with its value.
        curves: loss, validation metrics and learning rate over epochs.
        transfer: one sentence on the weights transferred from the previous stage; None if there was none.
        pictures: last picture that the run drew, the reconstruction of stage 1 for instance.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    curves: tuple[Picture, ...]
    transfer: str | None = None
    pictures: tuple[Picture, ...] = ()


def stage_report(run: Path, name: str, names: StructureNames | None = None) -> StageReport:
    """Read the summary of a stage from its run folder.

    Args:
        run: folder with ``recipe.yaml``, ``log.csv`` and, optionally, ``transfer.json`` and ``pictures/*.png``.
        name: heading of the stage.
        names: names of the structures; None: the built-in table.

    Raises:
        BadInput: If the folder has no recipe or no log, or a file in it is damaged.
    """
    settings = read_flat_settings(run / "recipe.yaml")
    log = read_log(run)
    columns = plotted_columns(log)
    pictures = sorted((run / "pictures").glob("epoch_*.png"))[-1:]
    return StageReport(
        name=name,
        facts=_facts(log),
        settings=tuple((key, "–" if value is None else str(value)) for key, value in settings.items()),
        curves=tuple(
            render_picture(
                figure,
                f"{title} over epochs",
                csv=log[["epoch", *columns[title]]].to_csv(index=False, lineterminator="\n"),
            )
            for title, figure in curve_figures(log, names).items()
        ),
        transfer=_transfer(run / "transfer.json"),
        pictures=tuple(
            Picture(
                path.read_bytes(), f"Patches of validation scans after epoch {int(path.stem.removeprefix('epoch_'))}"
            )
            for path in pictures
        ),
    )


def _facts(log: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    facts = [("epochs", f"{log['epoch'].max():.0f}")]
    if "step" in log.columns:
        facts.append(("optimiser steps", f"{log['step'].max():.0f}"))
    if "seconds" in log.columns:
        facts.append(("time", f"{log['seconds'].sum() / 60:.1f} min"))
    for name, label in FIRST_AND_LAST.items():
        values = log[name].dropna().tolist() if name in log.columns else []
        if values:
            facts.append((label, f"{values[0]:.3f} → {values[-1]:.3f}"))
    return tuple(facts)


def _transfer(path: Path) -> str | None:
    if not path.is_file():
        return None
    report = read_json(
        TransferReport, path, "train the stage again, or delete this file to write the report without it"
    )
    part = _PARTS[report.parts]
    copied = counted(len(report.loaded) + len(report.reshaped), "tensor")
    adapted = f", {len(report.reshaped)} of them adapted to the input channels" if report.reshaped else ""
    others = f" Not copied: {counted(len(report.skipped), 'tensor')} outside {part} or without a counterpart."
    channels = f" Input channels: {'; '.join(report.channels)}." if report.channels else ""
    return (
        f"Started from the weights of the previous stage: {100 * report.share:.1f} % of the parameters of {part} were "
        f"copied ({copied}{adapted}).{others if report.skipped else ''}{channels}"
    )
