"""Storage of prepared scans on disk, from which training reads patches."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.case import Case, Source
from gynbtnet.datasets.cohort import MANIFEST as COHORT
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.regions import Regions
from gynbtnet.preparation.nnunet_files import write_for_nnunet, write_nnunet_properties
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json

MANIFEST = "prepared.json"
REMEDY = "expected scans prepared by `gynbtnet prepare`; if it was interrupted, run it again"
VOXELS = Path("GynBTNetPlans_3d_fullres")
"""Folder of the voxels; stock nnU-Net requires a name that consists of plans and configuration."""

_RECORDS = "cases"
_DATASET = "dataset.json"
_BLOCKS = (8, 32, 32)  # voxels decompressed at once; a patch of 80×160×160 decompresses 1.6 times its own voxels
_COMPRESSION = {"codec": blosc2.Codec.LZ4, "clevel": 9, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": 1}


@dataclass(frozen=True)
class PreparedCase:
    """A scan at the plan's spacing and normalisation, stored in the files of stock nnU-Net's preprocessing.

    ``<id>.b2nd`` contains the scan (channels, z, y, x) and ``<id>_seg.b2nd`` its labels (1, z, y, x). ``<id>.pkl``
    contains the positions of the labels for nnU-Net; GynBTNet reads them from ``<id>.npz`` next to the record.

    Values are stored with the eleven bits of float16, which is a few tenths of a HU for a z-scored CT. Further bits are
    noise, and would be two thirds of the data of every patch.

    It keeps no file open, so it can be sent to worker processes of any kind.

    Attributes:
        id: id of the case, as in the cohort.
        patient: id of the patient, as in the cohort.
        geometry: grid after resampling.
        pad_values: lowest value of each channel (air in CT), used for voxels outside the scan.
        labelled: whether there are labels.
        foreground_labels: numbers of the structures that occur in the scan, from 1; their labels unless they overlap.
        key: digest of everything that the prepared files depend on.
        folder: folder that contains ``cases`` with record and foreground.
        voxels: folder of the voxels, relative to ``folder`` unless nnU-Net wrote them elsewhere.
        missing: structures that the source doesn't contour; their voxels are labelled as background.
        units: size of one unit of the stored values per channel, in the channel's own values (HU for CT). Empty if the
            scan was prepared by an earlier version or by nnU-Net.
        body_known: whether voxels of the body are stored, around which patches are drawn.
        scan_digest: digest of the first channel's voxels, see :mod:`gynbtnet.imaging.files.voxel_digest`. Empty if the
            scan was prepared by an earlier version or by nnU-Net.
        source_digests: digests of the files that the case was ingested from; empty if they are not recorded.
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
    scan_digest: str = ""
    source_digests: tuple[str, ...] = ()

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
        """Properties that nnU-Net reads; a pickle, which GynBTNet never reads."""
        return self.folder / self.voxels / f"{self.id}.pkl"

    @property
    def foreground_file(self) -> Path:
        """Voxels of each structure."""
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
        """All files that must exist if the record exists."""
        labelled = (self.labels_file, self.nnunet_properties_file, self.foreground_file) if self.labelled else ()
        return (self.image_file, *labelled, *((self.body_file,) if self.body_known else ()))

    @property
    def foreground(self) -> Mapping[int, npt.NDArray[np.int32]]:
        """Sample of voxels (n, 3) as (z, y, x) per structure that occurs; each structure is read at access."""
        return _Foreground(self.foreground_file, self.foreground_labels, self.shape)

    @property
    def body(self) -> npt.NDArray[np.int32]:
        """Sample of voxels inside the patient's body (n, 3) as (z, y, x), read at access; empty if none are stored.

        Raises:
            BadInput: If the file is absent or damaged.
        """
        if not self.body_known:
            return np.empty((0, 3), np.int32)
        try:
            with self.body_file.open("rb") as file:
                return _checked_voxels(np.load(file, allow_pickle=False), self.shape)
        except Exception as error:  # NumPy and blosc2 raise errors of many types for damaged headers
            raise _damaged(self.body_file) from error

    def crop(self, lower: Triple, size: Triple) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
        """Read a box from disk, which may extend beyond the scan.

        Args:
            lower: first voxel (z, y, x) of the box.
            size: number of voxels (z, y, x).

        Returns:
            The image (channels, z, y, x) and the labels (z, y, x), None if the scan has no labels. Outside the scan
            the image has ``pad_values`` and the labels are 0.

        Raises:
            BadInput: If a file is absent or damaged.
        """
        image = self._read(self.image_file, lower, size, np.array(self.pad_values, np.float32))
        if not self.labelled:
            return image, None
        return image, self._read(self.labels_file, lower, size, np.zeros(1, np.uint8))[0]

    def _read(self, path: Path, lower: Triple, size: Triple, pad_values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a box (channels, z, y, x) of a file; outside the scan each channel has its pad value."""
        first = [min(max(low, 0), end) for low, end in zip(lower, self.shape, strict=True)]
        last = [
            max(min(low + n, end), start) for low, n, end, start in zip(lower, size, self.shape, first, strict=True)
        ]
        patch = np.empty((len(pad_values), *size), pad_values.dtype)
        if any(b - a < n for a, b, n in zip(first, last, size, strict=True)):
            patch[:] = pad_values[:, np.newaxis, np.newaxis, np.newaxis]
        inside = tuple(slice(a - low, b - low) for a, b, low in zip(first, last, lower, strict=True))
        if all(start < stop for start, stop in zip(first, last, strict=True)):
            try:
                stored = blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
                if tuple(stored.shape) != (len(patch), *self.shape) or stored.dtype.kind not in "fiu":
                    raise ValueError(f"{stored.dtype} of shape {stored.shape}")
                values = stored[(slice(None), *(slice(a, b) for a, b in zip(first, last, strict=True)))]
                # nnU-Net labels voxels outside its crop with -1
                patch[(slice(None), *inside)] = np.maximum(values, 0) if values.dtype.kind == "i" else values
            except Exception as error:  # NumPy and blosc2 raise errors of many types for damaged headers
                raise _damaged(path) from error
        return patch


@dataclass(frozen=True)
class PreparedCohort:
    """Prepared scans of one cohort and the plan that they were prepared by.

    Stock nnU-Net can train on the folder if it is below ``nnUNet_preprocessed`` and has a name that nnU-Net accepts,
    such as ``Dataset500_Pelvis``.

    Attributes:
        name: name of the cohort.
        cases: prepared cases, in the cohort's order.
        plan: plan of the preparation, also saved in the folder.
        folder: folder that contains all files.
        synthetic: whether the cohort's source states that no real patient was scanned.
        imported: whether another program prepared the scans, so that a recipe can't change their plan.
    """

    name: str
    cases: tuple[PreparedCase, ...]
    plan: Plan
    folder: Path
    synthetic: bool
    imported: bool = False

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the structures; label i + 1 is structures[i]."""
        return self.plan.structures

    @property
    def patients(self) -> tuple[str, ...]:
        """All patients, each once, sorted."""
        return tuple(sorted({case.patient for case in self.cases}))

    def as_cohort(self) -> Cohort:
        """Return ids and patients of the cases as a cohort without files, which a split can be made of."""
        cases = tuple(
            Case(
                case.patient,
                1,
                case.id,
                tuple(Path(case.id) for _ in self.plan.channels),
                None,
                Source(),
                case.geometry,
            )
            for case in self.cases
        )
        return Cohort(self.name, (), cases, self.folder, channels=self.plan.channels)

    def ids_of(self, patients: Collection[str]) -> set[str]:
        """Return the ids of these patients' cases; patients without a case here are ignored."""
        return {case.id for case in self.cases if case.patient in patients}

    def save(self) -> None:
        """Write the plan, the further files that nnU-Net needs, and last the manifest; cases must exist already."""
        save_plan(self.plan, self.folder)
        write_for_nnunet(self.folder, [case.geometry for case in self.cases])
        manifest = _Manifest(self.name, self.synthetic, tuple(case.id for case in self.cases), self.imported)
        write_json(manifest, self.folder / MANIFEST)

    @classmethod
    def open(cls, folder: Path) -> "PreparedCohort":
        """Read the manifest and each case's record; voxels are read by :meth:`PreparedCase.crop`.

        Raises:
            BadInput: If the folder contains no prepared scans, or some of them are absent.
        """
        folder = Path(folder).absolute()
        manifest = read_json(_Manifest, folder / MANIFEST, REMEDY)
        if len(set(manifest.ids)) < len(manifest.ids):
            raise BadInput(f"{folder / MANIFEST} lists a case twice; {REMEDY}.")
        cases = tuple(read_prepared_case(folder, case_id) for case_id in manifest.ids)
        return cls(manifest.name, cases, load_plan(folder), folder, manifest.synthetic, manifest.imported)


def check_out(out: Path, source: Path) -> None:
    """Check that prepared scans don't replace files of another dataset.

    Args:
        out: folder for the prepared scans.
        source: folder of the cohort or dataset that is read.

    Raises:
        BadInput: If ``out`` is ``source``, a cohort, or a dataset that neither preparation nor import made.
    """
    is_own = (out / MANIFEST).is_file() or (out / _RECORDS).is_dir()
    is_other = (out / COHORT).is_file() or ((out / _DATASET).is_file() and not is_own)
    if out.resolve() == source.resolve() or is_other:
        raise BadInput(f"{out} is another dataset, whose {_DATASET} would be replaced; name another folder.")


def is_recorded(folder: Path, case_id: str) -> bool:
    """Return whether a case was written completely."""
    return (folder / _RECORDS / f"{case_id}.json").is_file()


def read_prepared_case(folder: Path, case_id: str) -> PreparedCase:
    """Read the record of one case.

    Raises:
        BadInput: If the record is absent or damaged.
    """
    return replace(read_json(PreparedCase, folder / _RECORDS / f"{case_id}.json", REMEDY), folder=folder)


def write_prepared_case(
    case: PreparedCase,
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint8] | None,
    foreground: Mapping[int, npt.NDArray[np.int32]],
    patch_size: Triple,
    body: npt.NDArray[np.int32] | None = None,
    regions: Regions | None = None,
) -> None:
    """Write the voxels of one case and then its record, so that a record implies complete files.

    Args:
        case: record of the case.
        image: normalised scan (channels, z, y, x).
        labels: label map (z, y, x), or None.
        foreground: voxel indices (n, 3) as (z, y, x) per structure.
        patch_size: patch size (z, y, x) of training, which becomes the chunk size of the files.
        body: voxel indices of the body (n, 3), if ``case.body_known``.
        regions: labels of each structure if structures overlap.
    """
    case.record_file.unlink(missing_ok=True)
    _write_array(image.astype(np.float16), case.image_file, patch_size)
    if labels is not None:
        _write_array(labels[np.newaxis], case.labels_file, patch_size)
        write_nnunet_properties(case.nnunet_properties_file, case.geometry, foreground, regions)
    if body is not None:
        with atomic_write(case.body_file) as partial, partial.open("wb") as file:
            np.save(file, body, allow_pickle=False)
    write_record(case, foreground)


def write_record(case: PreparedCase, foreground: Mapping[int, npt.NDArray[np.int32]]) -> None:
    """Write the foreground voxels of a case and then its record, each file atomically.

    Args:
        case: record of the case.
        foreground: voxel indices (n, 3) as (z, y, x) per structure.
    """
    if case.labelled:
        with atomic_write(case.foreground_file) as partial:
            np.savez(partial, allow_pickle=False, **{str(label): voxels for label, voxels in foreground.items()})
    write_record_alone(case)


def write_record_alone(case: PreparedCase) -> None:
    """Write the record of a case whose other files exist, atomically."""
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
                return _checked_voxels(voxels[str(label)], self.shape)
        except Exception as error:  # NumPy and blosc2 raise errors of many types for damaged headers
            raise _damaged(self.path) from error

    def __iter__(self) -> Iterator[int]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def _checked_voxels(values: npt.NDArray[Any], shape: Triple) -> npt.NDArray[np.int32]:
    """Return values of a file as voxel indices (n, 3); raise ValueError if they don't fit a scan of ``shape``."""
    if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind not in "iu":
        raise ValueError(f"{values.dtype} of shape {values.shape}")
    if len(values) and (values.min() < 0 or (values.max(axis=0) >= shape).any()):
        raise ValueError(f"voxels outside of {shape}")
    return np.asarray(values, np.int32)


def _damaged(path: Path) -> BadInput:
    return BadInput(f"{path} is absent or damaged; delete it and run `gynbtnet prepare` again.")


@dataclass(frozen=True)
class _Manifest:
    name: str
    synthetic: bool
    ids: tuple[str, ...]
    imported: bool = False
