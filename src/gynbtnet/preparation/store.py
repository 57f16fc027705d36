"""Prepared scans on disk, read patch by patch."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.preparation.nnunet_files import write_for_nnunet, write_nnunet_properties
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json

MANIFEST = "prepared.json"
REMEDY = "expected scans made by `gynbtnet prepare`: if it was interrupted, run it again"
VOXELS = Path("GynBTNetPlans_3d_fullres")
"""Where the voxels lie: stock nnU-Net looks for them in a folder that is called after plans and configuration."""

_RECORDS = "cases"
_BLOCKS = (8, 32, 32)  # what is decompressed at once: a patch of 80×160×160 reads 1.6 times what it holds
_COMPRESSION = {"codec": blosc2.Codec.LZ4, "clevel": 9, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": 1}


@dataclass(frozen=True)
class PreparedCase:
    """A scan at the plan's spacing and normalisation, in the files that stock nnU-Net's preprocessing leaves.

    ``<id>.b2nd`` holds it (channels, z, y, x), ``<id>_seg.b2nd`` its labels (1, z, y, x), ``<id>.pkl`` where they are,
    for nnU-Net: what this software reads of the same is ``<id>.npz`` beside its record. Values are kept to the eleven
    bits of float16, a few tenths of a HU where a CT is z-scored: the bits behind them are noise, and would make up two
    thirds of every patch that is read.

    Holds no open file, so that it can be handed to worker processes of any kind.

    Attributes:
        id, patient: as in the cohort.
        geometry: the grid after resampling.
        pad_values: each channel's lowest value, that of air in CT, for voxels beyond the scan's edges.
        labelled: whether there are labels.
        foreground_labels: labels that occur in the scan.
        key: digest of all that the prepared files depend on.
        folder: where record and foreground lie, below ``cases``.
        voxels: the folder of the voxels, relative to ``folder`` where they were written with it.
        missing: structures that the source doesn't contour, whose voxels are labelled as background.
        units: for each channel, how much one unit of the stored values is in the channel's own: HU for CT. Empty if
            the scan was prepared by an earlier version or by nnU-Net.
        body_known: whether voxels of the body are stored, to draw patches around.
    """

    id: str
    patient: str
    geometry: Geometry
    pad_values: tuple[float, ...]
    labelled: bool
    foreground_labels: tuple[int, ...]
    key: str
    folder: Path = Path()
    voxels: Path = VOXELS
    missing: tuple[str, ...] = ()
    units: tuple[float, ...] = ()
    body_known: bool = False

    @property
    def shape(self) -> Triple:
        """Voxels (z, y, x)."""
        return self.geometry.shape

    @property
    def image_file(self) -> Path:
        """The scan's voxels."""
        return self.folder / self.voxels / f"{self.id}.b2nd"

    @property
    def labels_file(self) -> Path:
        """The labels' voxels."""
        return self.folder / self.voxels / f"{self.id}_seg.b2nd"

    @property
    def nnunet_properties_file(self) -> Path:
        """What nnU-Net reads about the labels; a pickle, which is never read here."""
        return self.folder / self.voxels / f"{self.id}.pkl"

    @property
    def foreground_file(self) -> Path:
        """Voxels of each label."""
        return self.folder / _RECORDS / f"{self.id}.npz"

    @property
    def body_file(self) -> Path:
        """Voxels of the body."""
        return self.folder / _RECORDS / f"{self.id}_body.npy"

    @property
    def record_file(self) -> Path:
        """The record, which is written last."""
        return self.folder / _RECORDS / f"{self.id}.json"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that the record vouches for."""
        labelled = (self.labels_file, self.nnunet_properties_file, self.foreground_file) if self.labelled else ()
        return (self.image_file, *labelled, *((self.body_file,) if self.body_known else ()))

    @property
    def foreground(self) -> Mapping[int, npt.NDArray[np.int32]]:
        """For each label that occurs, some of its voxels (n, 3) as (z, y, x); a label is read when asked for."""
        return _Foreground(self.foreground_file, self.foreground_labels, self.shape)

    @property
    def body(self) -> npt.NDArray[np.int32]:
        """Some voxels inside the patient's body (n, 3) as (z, y, x), read when asked for; none if none are known.

        Raises:
            BadInput: If the file is absent or damaged.
        """
        if not self.body_known:
            return np.empty((0, 3), np.int32)
        try:
            with self.body_file.open("rb") as file:
                return _voxels(np.load(file, allow_pickle=False), self.shape)
        except Exception as error:  # NumPy and blosc2 raise whatever a damaged header leads to
            raise _damaged(self.body_file) from error

    def crop(self, lower: Triple, size: Triple) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
        """Read the box from voxel ``lower`` on, of ``size`` voxels (z, y, x); both may reach beyond the scan.

        Returns:
            The image (channels, z, y, x), ``pad_values`` beyond the scan, and the labels (z, y, x), 0 beyond it; None
            for them where the scan has none.

        Raises:
            BadInput: where a file is absent or damaged.
        """
        image: npt.NDArray[np.float32] = np.empty((len(self.pad_values), *size), np.float32)
        inside = self._read(self.image_file, lower, size, image)
        for channel, value in zip(image, self.pad_values, strict=True):
            _fill_around(channel, inside, value)
        if not self.labelled:
            return image, None
        labels: npt.NDArray[np.uint8] = np.empty((1, *size), np.uint8)
        _fill_around(labels[0], self._read(self.labels_file, lower, size, labels), 0)
        return image, labels[0]

    def _read(self, path: Path, lower: Triple, size: Triple, patch: npt.NDArray[Any]) -> tuple[slice, ...]:
        """Fill in what of the box lies in the scan, and return where in ``patch`` (channels, z, y, x) that is."""
        first = [min(max(low, 0), end) for low, end in zip(lower, self.shape, strict=True)]
        last = [
            max(min(low + n, end), start) for low, n, end, start in zip(lower, size, self.shape, first, strict=True)
        ]
        inside = tuple(slice(a - low, b - low) for a, b, low in zip(first, last, lower, strict=True))
        if all(start < stop for start, stop in zip(first, last, strict=True)):
            try:
                stored = blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
                if tuple(stored.shape) != (len(patch), *self.shape) or stored.dtype.kind not in "fiu":
                    raise ValueError(f"{stored.dtype} of shape {stored.shape}")
                found = stored[(slice(None), *(slice(a, b) for a, b in zip(first, last, strict=True)))]
                # nnU-Net marks with -1 what lies outside of what it cropped to
                patch[(slice(None), *inside)] = np.maximum(found, 0) if found.dtype.kind == "i" else found
            except Exception as error:  # NumPy and blosc2 raise whatever a damaged header leads to
                raise _damaged(path) from error
        return inside


def _fill_around(patch: npt.NDArray[Any], inside: tuple[slice, ...], value: float) -> None:
    """Set all of ``patch`` (z, y, x) that lies outside ``inside``."""
    for axis, kept in enumerate(inside):
        beside = [slice(None)] * axis
        patch[(*beside, slice(0, kept.start))] = value
        patch[(*beside, slice(kept.stop, None))] = value


@dataclass(frozen=True)
class PreparedCohort:
    """Prepared scans of one cohort, and the plan that they were prepared by.

    Stock nnU-Net trains on the folder where it lies below its ``nnUNet_preprocessed`` under a name as it wants one,
    ``Dataset500_Pelvis`` for instance.

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
        """Write the plan, what nnU-Net wants beside it, and then the manifest, each whole; the cases stand already."""
        save_plan(self.plan, self.folder)
        write_for_nnunet(self.folder, [case.geometry for case in self.cases])
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
        if len(set(manifest.ids)) < len(manifest.ids):
            raise BadInput(f"{folder / MANIFEST} names a case twice; {REMEDY}.")
        cases = tuple(read_prepared_case(folder, case_id) for case_id in manifest.ids)
        return cls(manifest.name, cases, load_plan(folder), folder, manifest.synthetic)


def is_recorded(folder: Path, case_id: str) -> bool:
    """Whether a case was written to its end."""
    return (folder / _RECORDS / f"{case_id}.json").is_file()


def read_prepared_case(folder: Path, case_id: str) -> PreparedCase:
    """Read the record of one case; BadInput where there is none."""
    return replace(read_json(PreparedCase, folder / _RECORDS / f"{case_id}.json", REMEDY), folder=folder)


def write_prepared_case(
    case: PreparedCase,
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint8] | None,
    foreground: Mapping[int, npt.NDArray[np.int32]],
    patch_size: Triple,
    body: npt.NDArray[np.int32] | None = None,
) -> None:
    """Write one case's voxels and then its record, so that a record says: the rest is whole.

    Args:
        case: the record.
        image: (channels, z, y, x).
        labels: (z, y, x).
        foreground: voxels of each label, (n, 3).
        patch_size: what will be read at once, and so the size of a chunk.
        body: voxels of the body (n, 3), if the record says that they are known.
    """
    case.record_file.unlink(missing_ok=True)
    _write_array(image.astype(np.float16), case.image_file, patch_size)
    if labels is not None:
        _write_array(labels[np.newaxis], case.labels_file, patch_size)
        write_nnunet_properties(case.nnunet_properties_file, case.geometry, foreground)
    if body is not None:
        with atomic_write(case.body_file) as partial, partial.open("wb") as file:
            np.save(file, body, allow_pickle=False)
    write_record(case, foreground)


def write_record(case: PreparedCase, foreground: Mapping[int, npt.NDArray[np.int32]]) -> None:
    """Write the voxels to draw patches around, and then the record, each whole."""
    if case.labelled:
        with atomic_write(case.foreground_file) as partial:
            np.savez(partial, allow_pickle=False, **{str(label): voxels for label, voxels in foreground.items()})
    write_json(replace(case, folder=Path()), case.record_file)


def _write_array(array: npt.NDArray[Any], path: Path, patch_size: Triple) -> None:
    chunks = (1, *(min(n, size) for n, size in zip(array.shape[1:], patch_size, strict=True)))
    blocks = (1, *(min(chunk, block) for chunk, block in zip(chunks[1:], _BLOCKS, strict=True)))
    with atomic_write(path) as partial:
        blosc2.asarray(
            np.ascontiguousarray(array), urlpath=str(partial), chunks=chunks, blocks=blocks, cparams=_COMPRESSION
        )


@dataclass(frozen=True)
class _Foreground(Mapping[int, npt.NDArray[np.int32]]):
    path: Path
    labels: tuple[int, ...]
    shape: Triple

    def __getitem__(self, label: int) -> npt.NDArray[np.int32]:
        if label not in self.labels:
            raise KeyError(label)
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as voxels:
                return _voxels(voxels[str(label)], self.shape)
        except Exception as error:  # NumPy and blosc2 raise whatever a damaged header leads to
            raise _damaged(self.path) from error

    def __iter__(self) -> Iterator[int]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def _voxels(found: npt.NDArray[Any], shape: Triple) -> npt.NDArray[np.int32]:
    """What a file holds, if these are voxels (n, 3) of a scan of that shape; ValueError if not."""
    if found.ndim != 2 or found.shape[1] != 3 or found.dtype.kind not in "iu":
        raise ValueError(f"{found.dtype} of shape {found.shape}")
    if len(found) and (found.min() < 0 or (found.max(axis=0) >= shape).any()):
        raise ValueError(f"voxels outside of {shape}")
    return np.asarray(found, np.int32)


def _damaged(path: Path) -> BadInput:
    return BadInput(f"{path} is absent or damaged; delete it and run `gynbtnet prepare` again.")


@dataclass(frozen=True)
class _Manifest:
    name: str
    synthetic: bool
    ids: tuple[str, ...]
