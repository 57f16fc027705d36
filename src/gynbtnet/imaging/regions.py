"""Structures as unions of the labels of one map, so that a label map can describe structures that overlap.

nnU-Net calls such structures regions. Each label means a combination of structures: the voxels that exactly these
structures cover. ``{"hr_ctv": (1, 3), "uterus": (2, 3)}`` gives label 3 to the overlap of both.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gynbtnet.imaging.sides import mirrored_labels
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.errors import BadInput

MOST_LABELS = 254
"""Largest number of combinations in a label map of 8 bits; the augmentation needs one value for itself."""

Combination = frozenset[str]
"""Structures that cover the same voxels."""


@dataclass(frozen=True)
class Regions:
    """Labels of each structure in a map of combinations.

    Attributes:
        structures: names of the structures.
        labels: labels of each structure, ascending and from 1 on; 0 is the background.

    Raises:
        ValueError: If a structure has no label, two labels mean the same combination, or a number from 1 on is unused.
    """

    structures: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.structures):
            raise ValueError(f"{len(self.labels)} regions for {len(self.structures)} structures")
        used = sorted({label for labels in self.labels for label in labels})
        if not all(self.labels) or used != list(range(1, len(used) + 1)):
            raise ValueError(f"regions have the labels {used}; expected 1, 2, …, and at least one for each structure")
        if len(used) > MOST_LABELS:
            raise ValueError(f"regions have {len(used)} labels, expected at most {MOST_LABELS}")
        combinations = self.combinations
        if len(set(combinations)) < len(combinations):
            raise ValueError("two labels mean the same combination of structures")

    @classmethod
    def of(cls, structures: Sequence[str], combinations: Iterable[Collection[str]]) -> "Regions":
        """Return regions with one label for each structure alone, and one for each combination of several.

        Mirror images of combinations with a left and a right structure are added, so that a mirrored patch has labels.

        Args:
            structures: names of the structures; label i + 1 is structures[i] alone.
            combinations: combinations that occur.

        Raises:
            BadInput: If there are more combinations than labels.
        """
        names = tuple(structures)
        mirror = mirrored_labels(names)
        several = set()
        for combination in combinations:
            if len(combination) > 1:
                own = frozenset(names.index(name) for name in combination)
                several |= {own, frozenset(mirror[index + 1] - 1 for index in own)}
        ordered = [frozenset([index]) for index in range(len(names))]
        ordered += sorted(several, key=lambda own: (len(own), sorted(own)))
        if len(ordered) > MOST_LABELS:
            raise BadInput(
                f"The structures overlap in {len(several)} combinations, and a label map has room for "
                f"{MOST_LABELS - len(names)}; request fewer structures, or set outputs to exclusive."
            )
        labels = tuple(
            tuple(label for label, own in enumerate(ordered, start=1) if index in own) for index in range(len(names))
        )
        return cls(names, labels)

    @property
    def combinations(self) -> tuple[Combination, ...]:
        """Structures of the labels 1, 2, …."""
        most = max((label for labels in self.labels for label in labels), default=0)
        return tuple(
            frozenset(name for name, labels in zip(self.structures, self.labels, strict=True) if label in labels)
            for label in range(1, most + 1)
        )

    @property
    def membership(self) -> npt.NDArray[np.bool_]:
        """Structures (columns) that each label (rows, from the background on) is part of, bool."""
        combinations = (frozenset[str](), *self.combinations)
        return np.array([[name in own for name in self.structures] for own in combinations], bool)

    @property
    def mirrored_labels(self) -> tuple[int, ...]:
        """Label that replaces each label in an image mirrored left to right, from the background on.

        Raises:
            ValueError: If a combination has no mirror image among the labels.
        """
        mirror = dict(zip(self.structures, mirrored_labels(self.structures)[1:], strict=True))
        label_of = {own: label for label, own in enumerate(self.combinations, start=1)}
        try:
            images = [
                label_of[frozenset(self.structures[mirror[name] - 1] for name in own)] for own in self.combinations
            ]
        except KeyError as error:
            raise ValueError("a combination of left and right structures has no mirror image") from error
        return (0, *images)

    def with_combinations(self, combinations: Iterable[Collection[str]]) -> "Regions":
        """Return regions that also have labels for further combinations; existing labels stay.

        Raises:
            BadInput: If there are more combinations than labels.
        """
        known = self.combinations
        wanted = Regions.of(self.structures, combinations).combinations
        ordered = [*known, *(own for own in wanted if own not in known)]
        if len(ordered) > MOST_LABELS:
            raise BadInput(
                f"The structures overlap in more than {MOST_LABELS} combinations; request fewer structures, or set "
                "outputs to exclusive."
            )
        labels = tuple(
            tuple(label for label, own in enumerate(ordered, start=1) if name in own) for name in self.structures
        )
        return Regions(self.structures, labels)

    def label_map(self, segmentation: Segmentation) -> Volume:
        """Return the map of combinations of a segmentation, uint8 (z, y, x).

        Raises:
            ValueError: If the segmentation has a combination without a label.
        """
        codes, occurring = _combination_codes(segmentation, self.structures)
        label_of = {own: label for label, own in enumerate(self.combinations, start=1)}
        missing = [own for own in occurring if own and own not in label_of]
        if missing:
            raise ValueError(f"no label means {' and '.join(sorted(missing[0]))}")
        table = np.array([label_of[own] if own else 0 for own in occurring], np.uint8)
        return Volume(table[codes], segmentation.labels.geometry)

    def masks(self, labels: Volume) -> StructureMasks:
        """Return the masks of the structures in a map of combinations."""
        index_of = {name: index for index, name in enumerate(self.structures)}
        bits = [sum(1 << index_of[name] for name in own) for own in self.combinations]
        return StructureMasks(labels, (0, *bits), self.structures)


def occurring_combinations(segmentation: Segmentation) -> frozenset[Combination]:
    """Return the combinations of structures that share at least one voxel.

    Args:
        segmentation: structures, which may overlap.

    Returns:
        Combinations of at least two structures.
    """
    _, occurring = _combination_codes(segmentation, segmentation.structures)
    return frozenset(own for own in occurring if len(own) > 1)


def regions_by_name(regions: Regions) -> Mapping[str, int | list[int]]:
    """Return the labels by name as in nnU-Net's ``dataset.json``: ``{"background": 0, "hr_ctv": [1, 3], …}``."""
    return {"background": 0} | {
        name: list(labels) for name, labels in zip(regions.structures, regions.labels, strict=True)
    }


def _combination_codes(
    segmentation: Segmentation, structures: Sequence[str]
) -> tuple[npt.NDArray[np.int32], list[Combination]]:
    """Return the number of each voxel's combination (z, y, x), and the combinations by number."""
    codes = np.zeros(segmentation.labels.array.shape, np.int32)
    combinations: list[Combination] = [frozenset()]
    for name, box in segmentation.boxes().items():
        if box is None or name not in structures:
            continue
        inside = segmentation.mask(name, box)
        part = codes[box]
        before = np.unique(part[inside])
        table = np.arange(len(combinations), dtype=np.int32)
        for number in before.tolist():
            table[number] = len(combinations)
            combinations.append(combinations[number] | {name})
        part[inside] = table[part[inside]]
    return _renumbered(codes, combinations)


def _renumbered(
    codes: npt.NDArray[np.int32], combinations: Sequence[Combination]
) -> tuple[npt.NDArray[np.int32], list[Combination]]:
    """Return codes and combinations without those that no voxel has any more."""
    used = np.flatnonzero(np.bincount(codes.ravel(), minlength=len(combinations)))
    table = np.zeros(len(combinations), np.int32)
    table[used] = np.arange(len(used))
    return table[codes], [combinations[number] for number in used.tolist()]
