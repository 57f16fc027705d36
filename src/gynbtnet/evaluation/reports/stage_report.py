"""What the report says of one training stage, read from the stage's run folder."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gynbtnet.evaluation.reports.training_curves import curve_figures, plotted_columns, read_log
from gynbtnet.networks.transfer import TransferReport
from gynbtnet.pictures.picture import Picture, render_picture
from gynbtnet.runtime.json_files import read_json
from gynbtnet.training.flat_settings import read_flat_settings

FIRST_AND_LAST = {"loss": "training loss", "validation_loss": "validation loss", "dice_mean": "validation Dice, mean"}
"""Figures of a log of which the report says the first and the last value, with what it calls them."""


@dataclass(frozen=True)
class StageReport:
    """One training stage.

    Attributes:
        name: the heading.
        facts: what the run did, in a few words each (length, time, last figures).
        settings: every setting with its value.
        curves: losses, validation figures and learning rate over epochs.
        transfer: what came over from the stage before, in one sentence; None where the run started afresh.
        pictures: what the run drew last, the reconstruction of stage 1 for instance.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    curves: tuple[Picture, ...]
    transfer: str | None = None
    pictures: tuple[Picture, ...] = ()


def stage_report(run: Path, name: str) -> StageReport:
    """Read ``recipe.yaml``, ``log.csv`` and, where they are, ``transfer.json`` and ``pictures/*.png`` of a run folder.

    Raises:
        BadInput: where the folder has no recipe or no log, or a file in it is damaged.
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
            for title, figure in curve_figures(log).items()
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
    for name, words in FIRST_AND_LAST.items():
        values = log[name].dropna().tolist() if name in log.columns else []
        if values:
            facts.append((words, f"{values[0]:.3f} → {values[-1]:.3f}"))
    return tuple(facts)


def _transfer(path: Path) -> str | None:
    if not path.is_file():
        return None
    report = read_json(TransferReport, path, "train the stage again, or delete this file to report without it")
    counts = f"{len(report.loaded)} loaded, {len(report.reshaped)} reshaped, {len(report.skipped)} skipped"
    parts = report.parts.replace("_", " ")
    share = f"{100 * report.share:.1f} % of the parameters"
    channels = f" Input channels: {'; '.join(report.channels)}." if report.channels else ""
    return f"Started from the stage before ({parts}): {share} taken over ({counts} tensors).{channels}"
