"""Overlaps of a cohort's structures: the shares of their volumes, and the combinations that occur."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.case_contours import read_contours
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.regions import Combination, Regions, occurring_combinations
from gynbtnet.preparation.planning.settings import Outputs
from gynbtnet.runtime.progress import track


@dataclass(frozen=True)
class StructureOverlap:
    """Part of one structure that another one also has.

    Attributes:
        structure: identifier of the structure.
        other: identifier of the other structure.
        share: shared volume divided by the volume of ``structure``, both over all cases, 0 to 1.

    Raises:
        ValueError: If the share is not between 0 and 1.
    """

    structure: str
    other: str
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"{self.structure} shares {self.share} of its volume, expected 0 to 1")


@dataclass(frozen=True)
class CohortOverlaps:
    """Overlaps in the contours of a cohort.

    Attributes:
        overlaps: one entry for each ordered pair of structures that share voxels, in the cohort's order.
        combinations: combinations of at least two structures that share a voxel, each sorted.
    """

    overlaps: tuple[StructureOverlap, ...] = ()
    combinations: tuple[tuple[str, ...], ...] = ()


def measure_overlaps(cohort: Cohort, jobs: int = 1) -> CohortOverlaps:
    """Measure the overlaps in a cohort's contours. Only cases with overlaps are read.

    Args:
        cohort: cohort with contours.
        jobs: number of processes, each with one label map in memory.

    Returns:
        Shared volumes and occurring combinations.

    Raises:
        BadInput: If a file of a case is absent or damaged.
    """
    overlapping = [case for case in cohort.cases if case.masks is not None]
    if not overlapping:
        return CohortOverlaps()
    run = Parallel(n_jobs=jobs, return_as="generator")
    results = run(delayed(partial(_combination_volumes, structures=cohort.structures))(case) for case in overlapping)
    shared: dict[Combination, float] = defaultdict(float)
    for volumes in track(results, "Measuring overlaps", total=len(overlapping)):
        for combination, volume in volumes.items():
            shared[combination] += volume
    total = {
        name: sum(case.volumes_cm3.get(name, 0.0) for case in cohort.cases if case.labels) for name in cohort.structures
    }
    overlaps = (
        StructureOverlap(one, other, min(1.0, _shared_volume(shared, one, other) / total[one]))
        for one in cohort.structures
        for other in cohort.structures
        if one != other and total[one] > 0
    )
    return CohortOverlaps(
        tuple(overlap for overlap in overlaps if overlap.share > 0), tuple(sorted(tuple(sorted(own)) for own in shared))
    )


def choose_regions(
    structures: Sequence[str],
    overlaps: CohortOverlaps,
    outputs: Outputs,
    overlap_share: float,
    *,
    nested: bool = False,
) -> tuple[Regions | None, str | None]:
    """Choose between structures that overlap and structures that exclude each other.

    Args:
        structures: names of the structures.
        overlaps: overlaps in the training cohort.
        outputs: "exclusive" or "overlapping"; "auto": overlapping if structures are nested or share enough.
        overlap_share: largest share of a structure's volume that another one may have if they exclude each other.
        nested: whether some structures are declared to be inside of others.

    Returns:
        The regions, or None if structures exclude each other; and a sentence about the choice if the overlaps are the
        reason.

    Raises:
        BadInput: If structures overlap in too many combinations.
    """
    largest = max(overlaps.overlaps, key=lambda overlap: overlap.share, default=None)
    shared = largest is not None and largest.share > overlap_share
    if outputs == "exclusive" or (outputs == "auto" and not nested and not shared):
        return None, None
    regions = Regions.of(structures, overlaps.combinations)
    if outputs == "overlapping" or largest is None or not shared:
        return regions, None
    return regions, (
        f"Structures may overlap: {100 * largest.share:.0f} % of {largest.structure} is shared with {largest.other} "
        f"(more than {100 * overlap_share:g} %)."
    )


def _combination_volumes(case: Case, structures: tuple[str, ...]) -> dict[Combination, float]:
    """Return the volume in cm³ of each combination of at least two structures."""
    segmentation = read_contours(case, structures)
    regions = Regions.of(structures, occurring_combinations(segmentation))
    labels = regions.label_map(segmentation)
    voxels = np.bincount(labels.array.ravel(), minlength=len(regions.combinations) + 1)
    return {
        own: float(voxels[label]) * labels.geometry.voxel_volume / 1000
        for label, own in enumerate(regions.combinations, start=1)
        if len(own) > 1 and voxels[label]
    }


def _shared_volume(shared: Mapping[Combination, float], one: str, other: str) -> float:
    return sum(volume for own, volume in shared.items() if {one, other} <= own)
