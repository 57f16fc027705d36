"""Outputs of a network of nnU-Net, and the structures that they stand for."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.imaging.structure_masks import MOST_STRUCTURES
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation

_MOST_LABELS = 255
_BACKGROUND, _IGNORE = "background", "ignore"


@dataclass(frozen=True)
class NnunetOutputs:
    """Outputs of a network in nnU-Net's order.

    Attributes:
        written: names in ``dataset.json``, without the background.
        structures: the structures that the names mean, see :func:`structures_of`.
        labels: labels in nnU-Net's label maps, ascending, without the background.
        numbers: if structures are regions that may overlap, the label that nnU-Net paints for each, in this order;
            otherwise empty.
    """

    written: tuple[str, ...]
    structures: tuple[str, ...]
    labels: tuple[int, ...]
    numbers: tuple[int, ...] = ()

    @property
    def overlapping(self) -> bool:
        """True if each structure has a sigmoid of its own, and False if a softmax decides among all."""
        return bool(self.numbers)

    @property
    def count(self) -> int:
        """Number of outputs of the network."""
        return len(self.written) + (not self.overlapping)

    @property
    def renamed(self) -> str | None:
        """Sentence on the names that ``dataset.json`` writes differently; None if it writes none differently."""
        pairs = zip(self.written, self.structures, strict=True)
        changed = [f"{written} is {structure}" for written, structure in pairs if written != structure]
        return f"Names in dataset.json: {', '.join(changed)}." if changed else None

    def as_nnunet_labels(self, segmentation: Segmentation) -> npt.NDArray[np.uint8]:
        """Return the label map that nnU-Net writes, in which later regions are painted over earlier ones."""
        if not self.overlapping:
            return segmentation.labels.array.astype(np.uint8)
        labels = np.zeros(segmentation.labels.array.shape, np.uint8)
        for structure, number in zip(self.structures, self.numbers, strict=True):
            labels[segmentation.mask(structure)] = number
        return labels


def parse_outputs(dataset: Mapping[str, Any]) -> NnunetOutputs:
    """Return the outputs from the content of ``dataset.json``.

    Args:
        dataset: content of the file; an ignore label, which is never predicted, is allowed.

    Raises:
        KeyError: If there are no labels, or no order of the regions.
        ValueError: If labels are not numbered consecutively from background 0, or there are too many of them.
    """
    labels = {str(name): _numbers(label) for name, label in dataset["labels"].items()}
    if labels.get(_BACKGROUND) != (0,):
        raise ValueError("dataset.json has no background with label 0")
    named = {name: numbers for name, numbers in labels.items() if name not in (_BACKGROUND, _IGNORE)}
    if any(len(numbers) > 1 for numbers in named.values()):
        regions = {name: numbers for name, numbers in named.items() if set(numbers) != {0}}
        order = tuple(_number(number) for number in dataset["regions_class_order"])
        if len(order) != len(regions):
            raise ValueError(f"regions_class_order has {len(order)} numbers for {len(regions)} regions")
        if len(regions) > MOST_STRUCTURES:
            raise ValueError(f"there are {len(regions)} overlapping regions, more than {MOST_STRUCTURES}")
        foreground = sorted({number for numbers in regions.values() for number in numbers} - {0})
        return NnunetOutputs(tuple(regions), structures_of(tuple(regions)), tuple(foreground), order)
    by_number = sorted((numbers[0], name) for name, numbers in named.items())
    if [number for number, _ in by_number] != list(range(1, len(by_number) + 1)):
        raise ValueError(f"labels are numbered {[number for number, _ in by_number]}, not consecutively from 1")
    if not 1 <= len(by_number) <= _MOST_LABELS:
        raise ValueError(f"there are {len(by_number)} labels, expected 1 to {_MOST_LABELS}")
    written = tuple(name for _, name in by_number)
    return NnunetOutputs(written, structures_of(written), tuple(range(1, len(written) + 1)))


def structures_of(written: Sequence[str], names: StructureNames | None = None) -> tuple[str, ...]:
    """Return the structures that the names of a model mean.

    A name that the table of names knows becomes its structure, unless two names become the same one. Every other name
    becomes an identifier of letters, digits and underscores.

    Args:
        written: names of the model.
        names: table of names; None: the package's.

    Example:
        >>> structures_of(["urinary_bladder", "Bowel loops"], StructureNames.load())
        ('bladder', 'Bowel_loops')
    """
    table = names or StructureNames.load()
    resolved = [table.resolve(name) for name in written]
    counts = Counter(resolved)
    own = [_identifier(name) for name in written]
    structures = [
        known if known is not None and counts[known] == 1 and known not in own[:i] + own[i + 1 :] else own[i]
        for i, known in enumerate(resolved)
    ]
    repeated = {name for name, count in Counter(structures).items() if count > 1}
    return tuple(f"{name}_{i}" if name in repeated else name for i, name in enumerate(structures, start=1))


def _identifier(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", unicode_composed(name)).strip("_.")[:64] or "structure"


def _numbers(label: Any) -> tuple[int, ...]:
    numbers = tuple(_number(value) for value in label) if isinstance(label, list | tuple) else (_number(label),)
    if not numbers:
        raise ValueError("a region has no label")
    return numbers


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_LABELS:
        raise ValueError(f"{value!r} is not a label from 0 to {_MOST_LABELS}")
    return value
