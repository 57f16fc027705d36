"""What the report says of one training stage, read from the stage's run folder."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from gynbtnet.errors import BadInput
from gynbtnet.evaluation.curves import curves_figure, read_log
from gynbtnet.evaluation.picture import Picture, picture


@dataclass(frozen=True)
class StageReport:
    """One training stage.

    Attributes:
        name: the heading.
        facts: what the run did, in a few words each (length, time, last figures).
        settings: every setting with its value.
        curves: losses and validation figures over epochs.
        transfer: what came over from the stage before, in one sentence; None where the run started afresh.
        pictures: what the run drew last, the reconstruction of stage 1 for instance.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    curves: Picture
    transfer: str | None = None
    pictures: tuple[Picture, ...] = ()


def stage_report(run: Path, name: str) -> StageReport:
    """Read ``recipe.yaml``, ``log.csv`` and, where they are, ``transfer.json`` and ``pictures/*.png`` of a run folder.

    Raises:
        BadInput: where the folder has no recipe or no log.
    """
    recipe = run / "recipe.yaml"
    if not recipe.is_file():
        raise BadInput(f"There is no {recipe}; expected the settings of a training run, is {run} a run folder?")
    log = read_log(run)
    pictures = sorted((run / "pictures").glob("*.png"))[-1:]
    return StageReport(
        name=name,
        facts=_facts(log),
        settings=tuple(_flat(yaml.safe_load(recipe.read_text()))),
        curves=picture(curves_figure(log), f"{name}: losses and validation figures over epochs"),
        transfer=_transfer(run / "transfer.json"),
        pictures=tuple(Picture(path.read_bytes(), f"{name}: {path.stem.replace('_', ' ')}") for path in pictures),
    )


def _facts(log: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    facts = [("epochs", str(int(log["epoch"].nunique())))]
    if "step" in log.columns:
        facts.append(("optimiser steps", f"{int(log['step'].max())}"))
    for name in log.columns:
        if "loss" in name or name == "validation_dsc":
            values = log[name].dropna()
            if len(values):
                facts.append(
                    (f"{name.replace('_', ' ')}, first → last", f"{values.iloc[0]:.3f} → {values.iloc[-1]:.3f}")
                )
    return tuple(facts)


def _transfer(path: Path) -> str | None:
    if not path.is_file():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    counts = ", ".join(f"{len(report[what])} {what}" for what in ("loaded", "reshaped", "skipped"))
    parts = str(report["parts"]).replace("_", " ")
    share = f"{100 * report['share']:.1f} % of the parameters"
    return f"Started from the stage before ({parts}): {share} taken over ({counts} tensors)."


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names; lists stay as they are written."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "–" if value is None else str(value)
