"""Metrics of a run, one row per epoch, as CSV and for TensorBoard."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from matplotlib.image import imread
from torch.utils.tensorboard import SummaryWriter

from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput


class RunLog:
    """``log.csv`` and ``tensorboard/`` in a run folder, continued after ``epochs_done``.

    Later rows come from an earlier start that was interrupted after its last checkpoint. They are removed, since these
    epochs run again. Each row is on disk when :meth:`append` returns.

    Args:
        folder: run folder.
        columns: names of the metrics after ``epoch``, in the order of the file.
        epochs_done: number of epochs at the checkpoint from which the run resumes.
        training: columns that TensorBoard shows in the group ``training``; the others are in ``validation``.
    """

    def __init__(self, folder: Path, columns: Sequence[str], epochs_done: int, *, training: Sequence[str] = ()) -> None:
        self._training = frozenset(training)
        self._path = folder / "log.csv"
        self._columns = ["epoch", *columns]
        rows = _rows(self._path, self._columns, epochs_done) if self._path.exists() else []
        with atomic_write(self._path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        self._board = SummaryWriter(folder / "tensorboard", purge_step=epochs_done + 1)
        settings = folder / "recipe.yaml"
        if settings.is_file() and epochs_done == 0:
            text = settings.read_text(encoding="utf-8")
            self._board.add_text("settings", "".join(f"    {line}\n" for line in text.splitlines()))

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()

    def append(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the row of ``epoch``, counted from 1; a metric that this epoch doesn't have stays empty."""
        row = io.StringIO()
        csv.DictWriter(row, self._columns).writerow({"epoch": epoch, **{k: f"{v:.6g}" for k, v in metrics.items()}})
        with self._path.open("a", newline="") as file:
            file.write(row.getvalue())
        for name, value in metrics.items():
            group = "training" if name in self._training else "validation"
            self._board.add_scalar(f"{group}/{name}", value, epoch)
        self._board.flush()

    def add_picture(self, epoch: int, path: Path) -> None:
        """Show a PNG file in TensorBoard."""
        self._board.add_image("validation/patches", imread(path)[..., :3], epoch, dataformats="HWC")
        self._board.flush()


def _rows(path: Path, columns: Sequence[str], epochs_done: int) -> list[dict[str, str]]:
    """Return the rows up to an epoch; refuse a file that :class:`RunLog` didn't write."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= epochs_done]
        if all(row.keys() <= set(columns) for row in rows):
            return rows
        problem = "other columns"
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        problem = type(error).__name__
    raise BadInput(f"{path} is damaged or was edited ({problem}); delete it to continue without its earlier epochs.")
