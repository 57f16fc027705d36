"""Batches of random patches; each batch is a pure function of seed and step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gynbtnet.imaging.sides import mirrored_labels
from gynbtnet.preparation.store import PreparedCase
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.training.data.augmentation import Augmentation


class Batch(TypedDict, total=False):
    """Stacked patches.

    Attributes:
        image: (batch, channels, z, y, x), float32, or float16 until the batch is on its device.
        labels: (batch, z, y, x), uint8; absent if a scan has no labels. If structures overlap, each label is a
            combination of them.
        missing: (batch, structures), bool, True for structures without contours; absent if all have contours.
        seeds: (batch,), int64, seed of an objective's random draws for each patch, e.g. its mask.
        units: (batch, channels), float32, value of one image unit in the units of the channel; absent unless required.
    """

    image: Tensor
    labels: Tensor
    missing: Tensor
    seeds: Tensor
    units: Tensor


@dataclass(frozen=True)
class Batches(Dataset[Batch]):
    """Endless sequence of batches; the batch of any step can be computed at any time in any process.

    Every scan is shown once before any is shown twice, in an order that changes with every round. A resumed run
    computes the missing steps, and the number of workers has no effect on them. Each of several devices takes its share
    ``rank`` of the batches that a single device with ``devices`` times the batch size would get.

    Attributes:
        cases: prepared scans.
        augmentation: augmentation of the patches, with their size.
        batch_size: patches per batch and device.
        seed: seed of everything random.
        foreground_oversampling: share of patches centred on a voxel of a structure; each structure of a scan has the
            same probability.
        rank: number of the device, from 0.
        devices: number of devices that share a batch.
        structures: names of the structures; label i + 1 is structures[i].
        last_of: size of the batch over all devices whose last patches are centred on a structure, by nnU-Net's rule; 0:
            each patch with probability ``foreground_oversampling``.
        around_body: if True, patches that aren't centred on a structure are centred on a voxel of the body.
        with_units: if True, batches have the ``units`` of their scans.
        half: if True, images are float16, half as many bytes in shared memory. It rounds values by at most 0.05 %, less
            than the noise of a scan.
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
    half: bool = False

    def __getitem__(self, step: int) -> Batch:
        first = (step * self.devices + self.rank) * self.batch_size
        numbers = range(first, first + self.batch_size)
        patches = [self._patch(number) for number in numbers]
        images = torch.stack([image for image, *_ in patches])
        batch = Batch(
            image=_as_half(images) if self.half else images,
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
        """Return which structures have no contours in the patch; in a mirror image those of the other side."""
        missing = [name in self._case(number).missing for name in self.structures]
        if not swapped:
            return missing
        return [missing[label - 1] for label in mirrored_labels(self.structures)[1:]]

    def _case(self, number: int) -> PreparedCase:
        round_number, position = divmod(number, len(self.cases))
        order = np.random.default_rng([self.seed, 0, round_number]).permutation(len(self.cases))
        return self.cases[int(order[position])]

    def _patch(self, number: int) -> tuple[Tensor, Tensor | None, bool, int]:
        case = self._case(number)
        random = np.random.default_rng([self.seed, 1, number])
        size = self.augmentation.patch_size
        centre = self._foreground_voxel(case, random) if self._is_foreground_patch(number, random) else None
        if centre is None and self.around_body:
            centre = _drawn_from(case.body, random)
        lower = _anywhere(case.shape, size, random) if centre is None else _around(centre, case.shape, size)
        change = self.augmentation.draw(random)
        image, labels = case.crop(_triple(lower - change.margin), change.box_size)
        seeds = random.integers(2**32, size=4, dtype=np.uint32)
        return *self.augmentation(image, labels, change, seeds), int(random.integers(2**62))

    def _is_foreground_patch(self, number: int, random: np.random.Generator) -> bool:
        """Return whether a patch is centred on a structure: at random, or by its position in the batch as in nnU-Net.

        The source is nnU-Net's ``nnUNetDataLoader._oversample_last_XX_percent``.
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
    """Return the lowest corner of a random patch; the patch is centred along axes on which the scan is smaller."""
    free = np.asarray(shape) - size
    return np.where(free > 0, random.integers(np.maximum(free, 0) + 1), free // 2)


def _around(centre: npt.NDArray[np.int64], shape: Triple, size: Triple) -> npt.NDArray[np.int64]:
    """Return the lowest corner of the patch around ``centre``, moved into the scan along axes on which it fits."""
    free = np.asarray(shape) - size
    return np.where(free > 0, np.clip(centre - np.asarray(size) // 2, 0, np.maximum(free, 0)), free // 2)


def _triple(values: npt.NDArray[Any]) -> Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x


def _as_half(images: Tensor) -> Tensor:
    """Return the images as float16; values beyond its range become the largest ones in it."""
    largest = torch.finfo(torch.float16).max
    return images.clamp(-largest, largest).half()


ON_CPU = ("seeds", "missing")
"""Parts of a batch that stay on the CPU, because reading them from a GPU would make the CPU wait."""


def move_batch(batch: Batch, move: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch on a device, with float32 images; what only the CPU reads stays there.

    Args:
        batch: the batch.
        move: function that moves a tensor to the device.

    Returns:
        The batch on the device.
    """
    tensors = cast(dict[str, Tensor], batch)
    moved = {name: values if name in ON_CPU else move(values) for name, values in tensors.items()}
    moved["image"] = moved["image"].float()
    return cast(Batch, moved)


def load_batches(batches: Batches, steps: range, workers: int) -> Iterator[Batch]:
    """Yield the batches of ``steps`` in order, read in advance by ``workers`` processes.

    Args:
        batches: the batches.
        steps: numbers of the batches to yield.
        workers: number of worker processes; 0: the calling process reads them.

    Yields:
        The batches.

    Raises:
        BadInput: If a scan is damaged; the message is that of the reader, also from a worker.
        OSError: If a file can't be read; the message is that of the reader, also from a worker.
    """
    readable = _Readable(batches)
    for batch in DataLoader(readable, None, sampler=steps, num_workers=workers, pin_memory=torch.cuda.is_available()):
        if isinstance(batch, Exception):
            raise batch
        yield batch


@dataclass(frozen=True)
class _Readable(Dataset[Batch | Exception]):
    """Batches that return errors the user can correct; DataLoader would hide their message in a worker's traceback."""

    batches: Batches

    def __getitem__(self, step: int) -> Batch | Exception:
        try:
            return self.batches[step]
        except (BadInput, OSError) as error:
            return error
