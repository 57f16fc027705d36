"""Worklist of predictions: first those that need eyes first."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.inference.prediction_files import REVIEWS_FOLDER
from gynbtnet.review.finished_reviews import finished_reviews, is_hidden
from gynbtnet.review.prediction_record import PredictionRecord, read_prediction_record
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class WorklistItem:
    """One prediction to review.

    Attributes:
        folder: folder of the prediction.
        name: its path below the folder of the worklist.
        flags: number of flags.
        structures_flagged: number of structures with a flag.
        lowest_dsc: lowest end of the intervals of the predicted DSC; None if no DSC is predicted.
        synthetic: no real patient was scanned.
        is_written: a review of it was written.
        problem: why it can't be opened; empty if it can.
    """

    folder: Path
    name: str
    flags: int = 0
    structures_flagged: int = 0
    lowest_dsc: float | None = None
    synthetic: bool = False
    is_written: bool = False
    problem: str = ""

    @property
    def order(self) -> tuple[bool, bool, int, int, float, str]:
        """Sort key: those that need eyes first are first."""
        lowest = math.inf if self.lowest_dsc is None else self.lowest_dsc
        return bool(self.problem), self.is_written, -self.structures_flagged, -self.flags, lowest, self.name


def find_predictions(path: Path) -> list[WorklistItem]:
    """Return the predictions in a folder, sorted by what needs eyes first.

    The order: predictions that weren't reviewed before reviewed ones; then more structures with flags, more flags, and
    a lower end of the predicted DSC. Damaged predictions are last.

    Args:
        path: folder of a prediction, or folder of such folders at any depth.

    Returns:
        At least one item.

    Raises:
        BadInput: If there is no prediction.
    """
    items = list_predictions(path)
    if not items:
        raise BadInput(
            f"{path} contains no prediction; expected a folder that `gynbtnet predict` wrote, or a folder of such "
            "folders."
        )
    return items


def list_predictions(path: Path, known: Collection[Path] = ()) -> list[WorklistItem]:
    """Return the predictions in a folder as :func:`find_predictions` does, or an empty list.

    Args:
        path: folder of a prediction, or folder of such folders at any depth.
        known: folders of predictions to leave out.
    """
    folders: Sequence[Path] = [path] if (path / MANIFEST).is_file() else []
    if not folders and path.is_dir():
        folders = sorted(manifest.parent for manifest in path.rglob(MANIFEST) if not is_hidden(manifest, path))
    return sorted((_item(folder, path) for folder in folders if folder not in known), key=lambda item: item.order)


def _item(folder: Path, root: Path) -> WorklistItem:
    name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    try:
        record = read_prediction_record(folder)
    except BadInput as error:
        return WorklistItem(folder, name, problem=str(error))
    return WorklistItem(
        folder,
        name,
        flags=len(record.flags),
        structures_flagged=len({flag.structure for flag in record.flags}),
        lowest_dsc=_lowest_dsc(record),
        synthetic=record.synthetic,
        is_written=bool(finished_reviews(folder / REVIEWS_FOLDER)),
    )


def _lowest_dsc(record: PredictionRecord) -> float | None:
    return min((predicted.low for predicted in record.predicted_dsc.values() if predicted), default=None)
