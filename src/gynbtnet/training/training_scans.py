"""Digests of the scans that a model has seen, stored with its weights, so that a training scan is recognised later."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.preparation.store import PreparedCase
from gynbtnet.runtime.json_files import read_json, write_changed_json

TRAINING_SCANS = "training_scans.json"
"""Name of the file in a run folder."""


@dataclass(frozen=True)
class TrainingScans:
    """Scans of all training stages of a model, those that validated it included.

    Digests of voxels and files identify a scan only to those who have it.

    Attributes:
        voxels: digests of the scans' voxels, see :func:`~gynbtnet.imaging.files.voxel_digest.voxel_digest`; sorted.
        files: digests of the files that the scans and their contours were ingested from; sorted.
        without_digest: number of scans whose digest is unknown, such as scans that nnU-Net prepared.
        earlier_stages_known: whether the scans of the stages before this run are among them.
    """

    voxels: tuple[str, ...]
    files: tuple[str, ...] = ()
    without_digest: int = 0
    earlier_stages_known: bool = True

    @classmethod
    def of_cases(cls, cases: Iterable[PreparedCase], start: Path | None) -> "TrainingScans":
        """Return the scans of a run and of the stages before it.

        Args:
            cases: prepared scans that the run trains and validates on.
            start: run folder or weights of the earlier stage; None: from scratch.
        """
        cases = tuple(cases)
        digests = {case.scan_digest for case in cases} - {""}
        sources = {digest for case in cases for digest in case.source_digests}
        unknown = sum(not case.scan_digest for case in cases)
        own = cls(tuple(sorted(digests)), tuple(sorted(sources)), unknown)
        if start is None:
            return own
        earlier = cls.load(start)
        return cls.merged([own, earlier]) if earlier else cls(own.voxels, own.files, unknown, False)

    @classmethod
    def merged(cls, parts: Iterable["TrainingScans"]) -> "TrainingScans":
        """Return the scans of several runs, each scan once."""
        parts = tuple(parts)
        return cls(
            tuple(sorted({digest for part in parts for digest in part.voxels})),
            tuple(sorted({digest for part in parts for digest in part.files})),
            max((part.without_digest for part in parts), default=0),
            all(part.earlier_stages_known for part in parts),
        )

    @property
    def is_complete(self) -> bool:
        """Return whether the digest of every scan of every stage is known."""
        return self.without_digest == 0 and self.earlier_stages_known

    def save(self, folder: Path) -> None:
        """Write the file into a run folder, atomically, unless it has the same content."""
        write_changed_json(self, Path(folder) / TRAINING_SCANS)

    @classmethod
    def load(cls, folder: Path) -> "TrainingScans | None":
        """Read the file of a run folder; None for a run from before there was one, or for a file of weights.

        Raises:
            BadInput: If the file is damaged.
        """
        path = Path(folder) / TRAINING_SCANS
        return read_json(cls, path, "delete it to continue without it") if path.is_file() else None
