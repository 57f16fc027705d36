"""Report of predictions on the console: volumes, predicted DSC, flags and what to review."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from gynbtnet.cli.application import console, print_table
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.engine.adaptation_record import AdaptationRecord
from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.plain_data import PlainDataError, load_json

MOST_TABLES = 5
"""Largest number of scans with a table each; of more scans, each gets one line."""
_FLAG_WORDS = {
    "missing": "not found",
    "fragmented": "in pieces",
    "edge": "at the edge",
    "volume": "unusual volume",
    "position": "unusual position",
    "disagreement": "passes disagree",
}


def print_predictions(folders: Sequence[Path]) -> None:
    """Print one row per structure of each scan, and a line with what to review before use.

    Args:
        folders: folders of predictions; those without a manifest failed, and are skipped.

    Raises:
        BadInput: If a manifest can't be read.
    """
    manifests = {folder: _read(folder) for folder in folders if (folder / MANIFEST).is_file()}
    for folder, manifest in manifests.items():
        if len(manifests) > MOST_TABLES:
            console.print(f"{folder}: {review_sentence(manifest)}")
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for head in ("structure", "cm³", "predicted DSC", "review", "flags"):
            table.add_column(head, justify="right" if head == "cm³" else "left", overflow="fold")
        for structure in manifest["structures"]:
            table.add_row(*_row(structure, manifest))
        print_table(table)
        console.print(review_sentence(manifest))


def print_adaptation(
    record: AdaptationRecord, structures: Sequence[str], least_gain: float, steps: int | None = None
) -> None:
    """Print for each structure whether its contours come from the adapted copy or from the model, and why.

    Args:
        record: the adaptation.
        structures: structures of the model.
        least_gain: least gain of the DSC of an adapted structure.
        steps: steps that were asked for; None: as many as the time allowed.
    """
    if not record.check and len(record.fractions) > 1:
        console.print(
            f"Nothing is adapted: a training step took {record.seconds:.0f} s, more than half of --earlier-seconds. "
            "All contours come from the model as it is. A GPU or a smaller model would be fast enough."
        )
        return
    if not record.check:
        console.print(
            "Nothing is adapted: a copy that is trained on one earlier fraction can't be checked on another one. All "
            "contours come from the model as it is. Give two earlier fractions."
        )
        return
    names = StructureNames.load()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for head in ("structure", "DSC of the model", "of the copy", "contours from"):
        table.add_column(head, justify="right" if "of the" in head else "left")
    for structure in structures:
        checked = record.check.get(structure)
        model, copy = (f"{checked.unadapted:.3f}", f"{checked.adapted:.3f}") if checked else ("–", "–")
        if structure in record.structures:
            source = "the adapted copy"
        elif checked is None:
            source = "the model: no accepted contour to compare with"
        else:
            source = f"the model: not better by {least_gain:g}"
        table.add_row(names.display_name(structure), model, copy, source)
    console.print("A copy of the model was trained on the earlier fractions but the last one, and compared there:")
    print_table(table)
    console.print(_adapted_sentence(record))
    trial = record.trial_steps or 0
    wanted, done = steps or trial, min(trial, record.steps) if record.structures else trial
    if done < wanted:
        console.print(f"Only {done} of {counted(wanted, 'step')} fitted into --earlier-seconds.")


def _adapted_sentence(record: AdaptationRecord) -> str:
    fractions = counted(len(record.fractions), "earlier fraction")
    if not record.structures:
        return f"No structure is adapted to the {fractions}. Training took {record.seconds:.0f} s."
    return (
        f"{counted(len(record.structures), 'structure')} adapted to {fractions} in {counted(record.steps, 'step')}; "
        f"training took {record.seconds:.0f} s. The model itself stays as it is."
    )


def _read(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = load_json(folder / MANIFEST)
        for structure in manifest["structures"]:
            _row(structure, manifest)
    except (OSError, PlainDataError, KeyError, TypeError) as error:
        raise BadInput(f"{folder / MANIFEST} can't be read; predict the scan again with --force.") from error
    return manifest


def review_sentence(manifest: dict[str, Any]) -> str:
    """Return the last line of a prediction: how many structures are flagged, and what to do.

    Args:
        manifest: content of ``prediction.json``.
    """
    structures = manifest["structures"]
    flagged = {flag["structure"] for flag in manifest["flags"]} | set(manifest["missing"])
    flagged |= {structure for structure, needed in manifest["review"].items() if needed}
    if not flagged:
        return f"None of {counted(len(structures), 'structure')} flagged: every contour still needs a look before use"
    return f"{len(flagged)} of {counted(len(structures), 'structure')} flagged: review before use"


def _row(structure: str, manifest: dict[str, Any]) -> tuple[str, str, str, str, str]:
    flags = dict.fromkeys(flag["kind"] for flag in manifest["flags"] if flag["structure"] == structure)
    dsc = manifest["predicted_dsc"].get(structure)
    review = manifest["review"][structure]
    missing = structure in manifest["missing"]
    return (
        StructureNames.load().display_name(structure),
        "not found" if missing else f"{manifest['volumes_cm3'][structure]:.1f}",
        f"{dsc['dsc']:.2f} ({dsc['low']:.2f}–{dsc['high']:.2f})" if dsc else "not calibrated",
        "first" if review or flags or missing else "yes",
        ", ".join(_FLAG_WORDS.get(kind, kind) for kind in flags),
    )
