"""Batches of random patches, each a pure function of the seed and the step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gynbtnet.preparation.store import PreparedCase
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.training.data.augmentation import Augmentation


class Batch(TypedDict, total=False):
    """Patches side by side.

    ``image`` (batch, channels, z, y, x) float32; ``labels`` (batch, z, y, x) uint8, absent where a scan has none;
    ``missing`` (batch, structures) bool, which structures the labels leave out, absent where they have all; ``seeds``
    (batch,) int64, for what an objective draws for each patch, a mask for instance; ``units`` (batch, channels)
    float32, what one unit of the image is in the channel's own values, absent unless asked for.
    """

    image: Tensor
    labels: Tensor
    missing: Tensor
    seeds: Tensor
    units: Tensor


@dataclass(frozen=True)
class Batches(Dataset[Batch]):
    """Batch number ``step`` of an endless row, for any step at any time, in any process.

    Every scan is shown once before any is shown twice, in an order that changes from pass to pass. A resumed run asks
    for the steps that are missing; the number of workers can't change what it gets. With several devices, each takes
    its own share ``rank`` of the batches that a single device with ``devices`` times the batch would get.

    Attributes:
        foreground_oversampling: share of patches that are centred on a structure's voxel; each structure of a scan has
            the same chance.
        structures: label i + 1 is structures[i].
        last_of: patches of a whole batch of which the last are centred on a structure's voxel, by nnU-Net's rule; 0:
            each patch by chance.
        around_body: whether a patch that isn't centred on a structure is centred on a voxel of the body.
        with_units: whether a batch has the ``units`` of its scans.
    """

    cases: Sequence[PreparedCase]
    augmentation: Augmentation
    batch_size: int
    seed: int
    foreground_oversampling: float = 0.0
    rank: int = 0
    devices: int = 1
    structures: tuple[str, ...] = ()
    last_of: int = 0
    around_body: bool = False
    with_units: bool = False

    def __getitem__(self, step: int) -> Batch:
        first = (step * self.devices + self.rank) * self.batch_size
        numbers = range(first, first + self.batch_size)
        patches = [self._patch(number) for number in numbers]
        batch = Batch(
            image=torch.stack([image for image, *_ in patches]),
            seeds=torch.tensor([seed for *_, seed in patches]),
        )
        if self.with_units:
            batch["units"] = torch.tensor([self._case(number).units for number in numbers])
        labels = [patch for _, patch, *_ in patches if patch is not None]
        if len(labels) == len(patches):
            batch["labels"] = torch.stack(labels)
            missing = [
                self._missing(number, swapped) for number, (*_, swapped, _) in zip(numbers, patches, strict=True)
            ]
            if any(map(any, missing)):
                batch["missing"] = torch.tensor(missing)
        return batch

    def _missing(self, number: int, swapped: bool) -> list[bool]:
        """Which structures the patch's labels leave out; in a mirror image those of the other side."""
        missing = [name in self._case(number).missing for name in self.structures]
        labels = self.augmentation.mirrored_labels
        return [missing[label - 1] for label in labels[1:]] if swapped and labels else missing

    def _case(self, number: int) -> PreparedCase:
        turn, place = divmod(number, len(self.cases))
        order = np.random.default_rng([self.seed, 0, turn]).permutation(len(self.cases))
        return self.cases[int(order[place])]

    def _patch(self, number: int) -> tuple[Tensor, Tensor | None, bool, int]:
        case = self._case(number)
        random = np.random.default_rng([self.seed, 1, number])
        size = self.augmentation.patch_size
        centre = self._foreground_voxel(case, random) if self._wants_foreground(number, random) else None
        if centre is None and self.around_body:
            centre = _drawn_from(case.body, random)
        lower = _anywhere(case.shape, size, random) if centre is None else _around(centre, case.shape, size)
        change = self.augmentation.draw(random)
        image, labels = case.crop(_triple(lower - change.margin), change.box_size)
        seeds = random.integers(2**32, size=4, dtype=np.uint32)
        return *self.augmentation(image, labels, change, seeds), int(random.integers(2**62))

    def _wants_foreground(self, number: int, random: np.random.Generator) -> bool:
        """Whether a patch is centred on a structure: by chance, or by its place in the whole batch as in nnU-Net.

        nnU-Net's ``nnUNetDataLoader._oversample_last_XX_percent``.
        """
        if not self.last_of:
            return bool(random.random() < self.foreground_oversampling)
        return number % self.last_of >= round(self.last_of * (1 - self.foreground_oversampling))

    @staticmethod
    def _foreground_voxel(case: PreparedCase, random: np.random.Generator) -> npt.NDArray[np.int64] | None:
        foreground = case.foreground
        present = sorted(foreground)
        if not present:
            return None
        return _drawn_from(foreground[present[random.integers(len(present))]], random)


def _drawn_from(voxels: npt.NDArray[np.int32], random: np.random.Generator) -> npt.NDArray[np.int64] | None:
    return np.asarray(voxels[random.integers(len(voxels))], np.int64) if len(voxels) else None


def _anywhere(shape: Triple, size: Triple, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Lowest corner of a patch within the scan; centred along an axis where the scan is the smaller."""
    room = np.asarray(shape) - size
    return np.where(room > 0, random.integers(np.maximum(room, 0) + 1), room // 2)


def _around(centre: npt.NDArray[np.int64], shape: Triple, size: Triple) -> npt.NDArray[np.int64]:
    """Lowest corner of the patch around ``centre``, moved into the scan where it fits."""
    room = np.asarray(shape) - size
    return np.where(room > 0, np.clip(centre - np.asarray(size) // 2, 0, np.maximum(room, 0)), room // 2)


def _triple(values: npt.NDArray[Any]) -> Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x


def load_batches(batches: Batches, steps: range, workers: int) -> Iterator[Batch]:
    """The batches of ``steps`` in order, read ahead by ``workers`` processes.

    Raises:
        BadInput, OSError: as raised where the scan was read, with its own words, from a worker too.
    """
    readable = _Readable(batches)
    for batch in DataLoader(readable, None, sampler=steps, num_workers=workers, pin_memory=torch.cuda.is_available()):
        if isinstance(batch, Exception):
            raise batch
        yield batch


@dataclass(frozen=True)
class _Readable(Dataset[Batch | Exception]):
    """Hands over an error that is the user's to mend; DataLoader would bury its sentence in a worker's trace."""

    batches: Batches

    def __getitem__(self, step: int) -> Batch | Exception:
        try:
            return self.batches[step]
        except (BadInput, OSError) as error:
            return error
