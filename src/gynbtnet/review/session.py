"""A review in progress: masks, undo and redo, accepted structures and time, all replayed from the journal.

The masks are in display orientation (z to the head, y to posterior, x to the left), as
the page and the journal see them. :class:`ReviewSession` holds them as views of arrays on the scan's own grid.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from gynbtnet.imaging.orientation import Reorientation
from gynbtnet.review.drawn_slices import interpolate_between
from gynbtnet.review.journal import Journal
from gynbtnet.review.patches import Patch, patches_between
from gynbtnet.runtime.array_types import IntArray, Mask, Spacing
from gynbtnet.runtime.errors import BadInput

Tool = Literal["brush", "eraser", "polygon", "fill", "copy", "interpolate"]
LONGEST_PAUSE_S = 30.0
"""A longer pause between two actions is not counted as active time."""
ENOUGH_VIEWED = 0.5
"""Share of a structure's slices that should have been viewed before it is accepted."""


class Refused(Exception):  # noqa: N818 - a plain name
    """Raised if an action doesn't fit the state of the review; the page shows the sentence."""


@dataclass(frozen=True)
class Edit:
    """One action of the reviewer on one structure.

    Attributes:
        structure: identifier of the structure.
        tool: tool that was used.
        patches: changed voxels by plane.
    """

    structure: str
    tool: Tool
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class Identity:
    """Prediction that a journal belongs to; it is replayed on no other one.

    Attributes:
        prediction: SHA-256 of the predicted contours.
        shape: voxels of the scan along (z, y, x) in display orientation.
        structures: identifiers of the structures.
    """

    prediction: str
    shape: tuple[int, int, int]
    structures: tuple[str, ...]


_EDIT = TypeAdapter(Edit)


class ReviewSession:
    """State of the review of one prediction.

    Args:
        automatic: predicted masks by structure, on the scan's own grid (z, y, x).
        spacing: distance between voxel centres on the scan's own grid (z, y, x) in mm.
        to_display: reorientation of the scan's grid to display orientation.
        journal_file: path of the journal; records in it are replayed.
        identity: the prediction that is reviewed.
        clock: returns the time in seconds since the epoch.

    Raises:
        BadInput: If the journal is damaged or belongs to another prediction.
    """

    def __init__(
        self,
        automatic: Mapping[str, Mask],
        spacing: Spacing,
        to_display: Reorientation,
        journal_file: Path,
        identity: Identity,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.automatic = dict(automatic)
        self.masks = {structure: mask.copy() for structure, mask in automatic.items()}
        self._to_display = to_display
        z, y, x = to_display.order
        self.display_spacing: Spacing = (spacing[z], spacing[y], spacing[x])
        self.slice_axis = to_display.order.index(0)
        self._clock = clock
        self.done: list[Edit] = []
        self.undone: list[Edit] = []
        self.accepted: set[str] = set()
        self.viewed: set[int] = set()
        self.seconds = dict.fromkeys(self.masks, 0.0)
        self.revision = 0
        self._voxels = {structure: int(mask.sum()) for structure, mask in self.masks.items()}
        self._different = dict.fromkeys(self.masks, 0)
        self._per_slice = {structure: self._count_per_slice(structure) for structure in self.masks}
        self._predicted_slices = {structure: counts > 0 for structure, counts in self._per_slice.items()}
        self._last: float | None = None
        self._selected = next(iter(self.masks), "")
        self._journal = Journal(journal_file)
        try:
            self._replay(identity)
            self._record({"kind": "open"})
        except BaseException:
            self._journal.close()
            raise

    @property
    def structures(self) -> tuple[str, ...]:
        """Identifiers of the structures, in label order."""
        return tuple(self.masks)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x) in display orientation."""
        z, y, x = self.displayed(self.structures[0]).shape
        return z, y, x

    def displayed(self, structure: str, *, automatic: bool = False) -> Mask:
        """Return the mask of a structure in display orientation, as a view."""
        masks = self.automatic if automatic else self.masks
        return self._to_display.array(masks[structure])

    def voxels(self, structure: str) -> int:
        """Return the number of voxels of a structure."""
        return self._voxels[structure]

    def is_edited(self, structure: str) -> bool:
        """Return whether a structure differs from the predicted one."""
        return self._different[structure] > 0

    def viewed_share(self, structure: str) -> float:
        """Return the share of a structure's slices, predicted or drawn, that were viewed; 1 if it has none."""
        slices = set(np.flatnonzero((self._per_slice[structure] > 0) | self._predicted_slices[structure]).tolist())
        return len(slices & self.viewed) / len(slices) if slices else 1.0

    def drawn(self, structure: str, axis: int) -> set[int]:
        """Return the planes perpendicular to ``axis`` that were drawn by hand and not undone."""
        edits = (edit for edit in self.done if edit.structure == structure and edit.tool != "interpolate")
        return {patch.index for edit in edits for patch in edit.patches if patch.axis == axis}

    def edit(self, structure: str, tool: Tool, patches: Sequence[Patch]) -> None:
        """Change a structure, once the change is on the disk.

        Raises:
            Refused: If a patch doesn't fit the scan.
            OSError: If the journal can't be written; the structure is then unchanged.
        """
        self._check_structure(structure)
        problem = next((problem for patch in patches if (problem := patch.problem(self.shape))), None)
        if problem:
            raise Refused(f"The change can't be applied: {problem}.")
        edit = Edit(structure, tool, tuple(patches))
        self._record({"kind": "edit", **asdict(edit)})
        self._apply_edit(edit)

    def interpolate(self, structure: str, axis: int, index: int) -> Edit:
        """Interpolate between the drawn planes around ``index``; see :func:`interpolate_between`.

        Raises:
            Refused: If no two drawn planes enclose a gap there, or nothing would change.
        """
        self._check_structure(structure)
        if axis not in (0, 1, 2):
            raise Refused("There is no such plane.")
        drawn = self.drawn(structure, axis)
        before = self.displayed(structure)
        after = interpolate_between(before, axis, index, drawn, self.display_spacing)
        patches = tuple(patches_between(before, after, axis))
        if not patches:
            raise Refused(
                "There is nothing to interpolate here. Draw the structure in two slices of this plane, then go to a "
                "slice between them."
            )
        self.edit(structure, "interpolate", patches)
        return self.done[-1]

    def undo(self) -> Edit:
        """Undo the last edit and return it.

        Raises:
            Refused: If there is none.
        """
        if not self.done:
            raise Refused("There is nothing to undo.")
        self._record({"kind": "undo"})
        return self._apply_undo()

    def redo(self) -> Edit:
        """Repeat the last undone edit and return it.

        Raises:
            Refused: If there is none.
        """
        if not self.undone:
            raise Refused("There is nothing to redo.")
        self._record({"kind": "redo"})
        return self._apply_redo()

    def view(self, slices: Iterable[int], structure: str) -> None:
        """Record that slices were viewed while a structure was selected."""
        self._check_structure(structure)
        inside = sorted({index for index in slices if 0 <= index < self.shape[self.slice_axis]})
        self._record({"kind": "view", "slices": inside, "structure": structure})
        self._apply_view(inside, structure)

    def accept(self, structure: str, *, accepted: bool, sure: bool = False) -> float | None:
        """Accept a structure, or withdraw the acceptance.

        Args:
            structure: identifier of the structure.
            accepted: False withdraws.
            sure: accept although less than half of its slices were viewed.

        Returns:
            None if done; otherwise the share of its slices that were viewed, for the question whether it is accepted
            all the same.
        """
        self._check_structure(structure)
        share = self.viewed_share(structure)
        if accepted and not sure and share < ENOUGH_VIEWED:
            return share
        self._record({"kind": "accept", "structure": structure, "accepted": accepted})
        self._apply_accept(structure, accepted)
        return None

    def written(self, folder: str) -> None:
        """Record that the review was written to a folder."""
        self._record({"kind": "written", "folder": folder})

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _count_per_slice(self, structure: str) -> IntArray:
        """Return the number of voxels in each slice of the scan, in display order."""
        others = tuple({0, 1, 2} - {self.slice_axis})
        counts: IntArray = self.displayed(structure).sum(axis=others, dtype=np.int64)
        return counts

    def _check_structure(self, structure: str) -> None:
        if structure not in self.masks:
            raise Refused("There is no such structure in this case.")

    def _record(self, record: Mapping[str, Any]) -> None:
        now = self._clock()
        self._journal.append({**record, "time": round(now, 3)})
        self._count_time(record, now)
        self.revision += record["kind"] != "open"  # opening changes nothing that a page shows

    def _count_time(self, record: Mapping[str, Any], now: float) -> None:
        """Add the time since the last action to the structure of this one."""
        structure = record.get("structure", self._selected)
        if structure in self.seconds:
            if record["kind"] != "open" and self._last is not None and 0 < now - self._last <= LONGEST_PAUSE_S:
                self.seconds[structure] += now - self._last
            self._selected = structure
        self._last = now

    def _replay(self, identity: Identity) -> None:
        begin = {"kind": "begin", "version": 1, **asdict(identity)}
        begin |= {"shape": list(identity.shape), "structures": list(identity.structures)}
        records = self._journal.records
        if not records:
            self._journal.append(begin)
            return
        if records[0] != begin:
            raise BadInput(
                f"{self._journal.path} belongs to another prediction than the one next to it; move the folder "
                f"{self._journal.path.parent} away to review this prediction."
            )
        try:
            for record in records[1:]:
                self._apply(record)
                self._count_time(record, record["time"])
                self.revision += record["kind"] != "open"
        except (KeyError, TypeError, ValidationError, Refused, IndexError) as error:
            raise BadInput(
                f"{self._journal.path} has a record of another version ({type(error).__name__}); open it with the "
                "version that wrote it, or move it away."
            ) from error

    def _apply(self, record: Mapping[str, Any]) -> None:
        kind = record["kind"]
        if kind == "edit":
            self._apply_edit(_EDIT.validate_python({name: record[name] for name in ("structure", "tool", "patches")}))
        elif kind == "undo":
            self._apply_undo()
        elif kind == "redo":
            self._apply_redo()
        elif kind == "view":
            self._apply_view(record["slices"], record["structure"])
        elif kind == "accept":
            self._apply_accept(record["structure"], record["accepted"])

    def _apply_edit(self, edit: Edit) -> None:
        self._toggle(edit)
        self.done.append(edit)
        self.undone.clear()

    def _apply_undo(self) -> Edit:
        edit = self.done.pop()
        self._toggle(edit)
        self.undone.append(edit)
        return edit

    def _apply_redo(self) -> Edit:
        edit = self.undone.pop()
        self._toggle(edit)
        self.done.append(edit)
        return edit

    def _apply_view(self, slices: Collection[int], structure: str) -> None:
        self.viewed.update(slices)
        self._selected = structure

    def _apply_accept(self, structure: str, accepted: bool) -> None:
        if accepted:
            self.accepted.add(structure)
        else:
            self.accepted.discard(structure)

    def _toggle(self, edit: Edit) -> None:
        """Apply the patches of an edit; an accepted structure that changes is to be reviewed again."""
        structure = edit.structure
        mask, automatic = self.displayed(structure), self.displayed(structure, automatic=True)
        for patch in edit.patches:
            changed, part, predicted = patch.changed(), patch.part(mask), patch.part(automatic)
            became, was_right = changed & ~part, changed & (part == predicted)
            difference = became.astype(np.int64) - (changed & part)
            self._voxels[structure] += int(difference.sum())
            self._per_slice[structure][patch.positions(self.slice_axis)] += patch.sums(difference, self.slice_axis)
            self._different[structure] += 2 * int(was_right.sum()) - int(changed.sum())
            part ^= changed
        self.accepted.discard(structure)
