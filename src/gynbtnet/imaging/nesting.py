"""Nested structures: every voxel of an inner one also belongs to its outer one, as residual GTV ⊂ HR-CTV ⊂ IR-CTV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from gynbtnet.imaging.structure_masks import StructureMasks


@dataclass(frozen=True)
class Nesting:
    """Relations of inner and outer structures; an inner one has one direct outer one.

    Attributes:
        pairs: (inner, outer), each relation once.

    Raises:
        ValueError: If a structure has two outer ones, or relations form a circle.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        inner = [name for name, _ in self.pairs]
        twice = next((name for name in inner if inner.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is inside of two structures; name only the next outer one")
        try:
            self._inner_first(())
        except CycleError as error:
            raise ValueError("the relations of nested structures form a circle") from error

    @classmethod
    def parse(cls, relations: Sequence[str]) -> "Nesting":
        """Return the nesting of relations as in a recipe.

        Args:
            relations: chains from the innermost to the outermost structure.

        Raises:
            ValueError: If a relation isn't a chain of names, or the relations contradict each other.

        Example:
            >>> Nesting.parse(["gtv_res < hr_ctv < ir_ctv"]).pairs
            (('gtv_res', 'hr_ctv'), ('hr_ctv', 'ir_ctv'))
        """
        pairs: dict[tuple[str, str], None] = {}
        for relation in relations:
            names = [name.strip() for name in relation.split("<")]
            if len(names) < 2 or not all(names):
                raise ValueError(f"{relation!r} is not a relation; expected one such as gtv_res < hr_ctv < ir_ctv")
            pairs |= dict.fromkeys(pairwise(names))
        return cls(tuple(pairs))

    @property
    def structures(self) -> frozenset[str]:
        """Structures in any relation."""
        return frozenset(name for pair in self.pairs for name in pair)

    def most_likely(self, logits: Tensor, structures: Sequence[str]) -> Tensor:
        """Return which structures each voxel belongs to: the most likely choice that doesn't break the nesting.

        Apart from the nesting, structures are independent. The log likelihood of a choice is then the sum of the logits
        of the chosen structures, up to a constant. A structure without relations is chosen if its logit is above 0, its
        probability above 0.5. An inner structure also adds to the reasons for its outer one.

        Args:
            logits: (structures, …).
            structures: names of the logits.

        Returns:
            Chosen structures, bool, with the shape of ``logits``.
        """
        if not self.pairs:
            return logits > 0
        values, chosen = list(logits.unbind()), list((logits > 0).unbind())
        outer_of = self._outer_of(structures)
        order = [structures.index(name) for name in self._inner_first(structures)]
        for index in order:
            if index in outer_of:
                outer = outer_of[index]
                values[outer] = values[outer] + values[index].clamp(min=0)
        for index in reversed(order):
            chosen[index] = values[index] > 0
            if index in outer_of:
                chosen[index] = chosen[index] & chosen[outer_of[index]]
        return torch.stack(chosen)

    def restrict(self, masks: StructureMasks) -> StructureMasks:
        """Return masks without the voxels of inner structures that are outside their outer ones."""
        names, outer_of = masks.structures, self._outer_of(masks.structures)
        order = [names.index(name) for name in reversed(self._inner_first(names))]
        combinations = list(masks.combinations)
        for number, own in enumerate(combinations):
            for index in order:
                if index in outer_of and not own >> outer_of[index] & 1:
                    own &= ~(1 << index)
            combinations[number] = own
        return replace(masks, combinations=tuple(combinations))

    def broken_voxels(self, masks: StructureMasks) -> int:
        """Return the number of voxels in which an inner structure is outside its outer one."""
        pairs = self._outer_of(masks.structures).items()
        broken = [
            any(own >> inner & 1 and not own >> outer & 1 for inner, outer in pairs) for own in masks.combinations
        ]
        return int(np.count_nonzero(masks.by_combination(broken, bool).array))

    def _outer_of(self, structures: Sequence[str]) -> Mapping[int, int]:
        """Return the position of the outer structure, by that of the inner one, among ``structures``."""
        return {
            structures.index(inner): structures.index(outer)
            for inner, outer in self.pairs
            if inner in structures and outer in structures
        }

    def _inner_first(self, structures: Sequence[str]) -> list[str]:
        """Return the structures of the relations from the innermost on; only those among ``structures`` if given."""
        graph: dict[str, set[str]] = {}
        for inner, outer in self.pairs:
            graph.setdefault(outer, set()).add(inner)
        order = TopologicalSorter(graph).static_order()
        return [name for name in order if not structures or name in structures]


NO_NESTING = Nesting()
"""Structures without relations."""
