"""Prepared scans on disk, read patch by patch."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.json_files import read_json, write_json
from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.preparation.plan import Plan
from gynbtnet.preparation.settings import Triple
from gynbtnet.whole_files import written_whole

MANIFEST = "prepared.json"
REMEDY = "expected scans made by `gynbtnet prepare`: if it was interrupted, run it again"

_BLOCKS = (
    16,
    32,
    32,
)  # the unit that is decompressed: 64 KiB of float32, so that a patch reads little beyond its faces
_COMPRESSION = {"codec": blosc2.Codec.ZSTD, "clevel": 3, "nthreads": 1}


@dataclass(frozen=True)
class PreparedCase:
    """A scan at the plan's spacing and normalisation; ``<id>.b2nd`` holds it, ``<id>_seg.b2nd`` its labels.

    Holds no open file, so that it can be handed to worker processes of any kind.

    Attributes:
        id, patient: as in the cohort.
        geometry: the grid after resampling.
        pad_value: the scan's lowest value, that of air, for voxels beyond its edges.
        labelled: whether there are labels.
        foreground_labels: labels that occur in the scan.
        key: digest of all that the prepared files depend on.
        folder: where the files lie.
        missing: structures that the source doesn't contour, whose voxels are labelled as background.
    """

    id: str
    patient: str
    geometry: Geometry
    pad_value: float
    labelled: bool
    foreground_labels: tuple[int, ...]
    key: str
    folder: Path = Path()
    missing: tuple[str, ...] = ()

    @property
    def shape(self) -> Triple:
        """Voxels (z, y, x)."""
        return self.geometry.shape

    @property
    def files(self) -> tuple[Path, ...]:
        """Voxels, labels and foreground; the record stands beside them."""
        labels = (f"{self.id}_seg.b2nd", f"{self.id}.npz") if self.labelled else ()
        return tuple(self.folder / name for name in (f"{self.id}.b2nd", *labels))

    @property
    def foreground(self) -> Mapping[int, npt.NDArray[np.int32]]:
        """For each label that occurs, some of its voxels (n, 3) as (z, y, x); a label is read when asked for."""
        return _Foreground(self.folder / f"{self.id}.npz", self.foreground_labels)

    def crop(self, lower: Triple, size: Triple) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
        """Read the box from voxel ``lower`` on, of ``size`` voxels (z, y, x); both may reach beyond the scan.

        Returns:
            The image (1, z, y, x), ``pad_value`` beyond the scan, and the labels (z, y, x), 0 beyond it; None for them
            where the scan has none.

        Raises:
            BadInput: where a file is absent or damaged.
        """
        image = self._read(f"{self.id}.b2nd", lower, size, np.float32, self.pad_value)
        labels = self._read(f"{self.id}_seg.b2nd", lower, size, np.uint8, 0) if self.labelled else None
        return image[np.newaxis], labels

    def _read(self, name: str, lower: Triple, size: Triple, kind: type, beyond: float) -> npt.NDArray[Any]:
        first = [max(low, 0) for low in lower]
        last = [min(low + n, end) for low, n, end in zip(lower, size, self.shape, strict=True)]
        patch: npt.NDArray[Any] = np.full(size, beyond, kind)
        if all(start < stop for start, stop in zip(first, last, strict=True)):
            inside = tuple(slice(a - low, b - low) for a, b, low in zip(first, last, lower, strict=True))
            path = self.folder / name
            try:
                stored = blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
                patch[inside] = stored[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
            except (OSError, RuntimeError, ValueError) as error:
                raise BadInput(f"{path} is absent or damaged; delete it and run `gynbtnet prepare` again.") from error
        return patch


@dataclass(frozen=True)
class PreparedCohort:
    """Prepared scans of one cohort, and the plan that they were prepared by.

    Attributes:
        name: the cohort's.
        cases: in the cohort's order.
        plan: also saved in the folder.
        folder: where all of it lies.
        synthetic: whether the cohort's source says that no real patient was scanned.
    """

    name: str
    cases: tuple[PreparedCase, ...]
    plan: Plan
    folder: Path
    synthetic: bool

    @property
    def structures(self) -> tuple[str, ...]:
        """Label i + 1 is structures[i]."""
        return self.plan.structures

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({case.patient for case in self.cases}))

    def ids_of(self, patients: Collection[str]) -> set[str]:
        """Ids of the cases of these patients; those who have none here are passed over."""
        return {case.id for case in self.cases if case.patient in patients}

    def save(self) -> None:
        """Write the plan and then the manifest, each whole; the cases' own files stand already."""
        self.plan.save(self.folder)
        manifest = _Manifest(self.name, self.synthetic, tuple(case.id for case in self.cases))
        write_json(manifest, self.folder / MANIFEST)

    @classmethod
    def open(cls, folder: Path) -> "PreparedCohort":
        """Read the manifest and each case's record; voxels are read by :meth:`PreparedCase.crop`.

        Raises:
            BadInput: where the folder holds no prepared scans, or not all of them.
        """
        folder = Path(folder).absolute()
        manifest = read_json(_Manifest, folder / MANIFEST, REMEDY)
        cases = tuple(read_prepared_case(folder, case_id) for case_id in manifest.ids)
        return cls(manifest.name, cases, Plan.load(folder), folder, manifest.synthetic)


def read_prepared_case(folder: Path, case_id: str) -> PreparedCase:
    """Read the record of one case; BadInput where there is none."""
    return replace(read_json(PreparedCase, folder / f"{case_id}.json", REMEDY), folder=folder)


def write_prepared_case(
    case: PreparedCase,
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint8] | None,
    foreground: Mapping[int, npt.NDArray[np.int32]],
    patch_size: Triple,
) -> None:
    """Write one case's voxels and then its record, so that a record says: the rest is whole.

    Args:
        case: the record.
        image, labels: (z, y, x).
        foreground: voxels of each label, (n, 3).
        patch_size: what will be read at once, and so the size of a chunk.
    """
    record = case.folder / f"{case.id}.json"
    record.unlink(missing_ok=True)
    _write_array(image, case.folder / f"{case.id}.b2nd", patch_size)
    if labels is not None:
        _write_array(labels, case.folder / f"{case.id}_seg.b2nd", patch_size)
        with written_whole(case.folder / f"{case.id}.npz") as partial:
            np.savez(partial, allow_pickle=False, **{str(label): voxels for label, voxels in foreground.items()})
    write_json(replace(case, folder=Path()), record)


def _write_array(array: npt.NDArray[Any], path: Path, patch_size: Triple) -> None:
    chunks = tuple(min(n, size) for n, size in zip(array.shape, patch_size, strict=True))
    blocks = tuple(min(chunk, block) for chunk, block in zip(chunks, _BLOCKS, strict=True))
    with written_whole(path) as partial:
        blosc2.asarray(
            np.ascontiguousarray(array), urlpath=str(partial), chunks=chunks, blocks=blocks, cparams=_COMPRESSION
        )


@dataclass(frozen=True)
class _Foreground(Mapping[int, npt.NDArray[np.int32]]):
    path: Path
    labels: tuple[int, ...]

    def __getitem__(self, label: int) -> npt.NDArray[np.int32]:
        if label not in self.labels:
            raise KeyError(label)
        try:
            with np.load(self.path, allow_pickle=False) as voxels:
                found: npt.NDArray[np.int32] = voxels[str(label)]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise BadInput(f"{self.path} is absent or damaged; delete it and run `gynbtnet prepare` again.") from error
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _Manifest:
    name: str
    synthetic: bool
    ids: tuple[str, ...]
