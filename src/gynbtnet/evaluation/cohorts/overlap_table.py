"""Table of the structures of a cohort that share voxels."""

import pandas as pd

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.preparation.planning.structure_overlaps import measure_overlaps


def overlap_table(cohort: Cohort, names: StructureNames | None = None) -> pd.DataFrame:
    """Return one row per pair of structures that share voxels, as people read it, the largest share first.

    Only the label maps and masks of cases with overlaps are read.

    Args:
        cohort: the cases.
        names: names of the structures; None: the built-in table.

    Returns:
        Two structures, and the shared volume as a share of each of them, over all cases.

    Raises:
        BadInput: If a file of a case is absent or damaged.
    """
    names = names or StructureNames.load()
    share = {(overlap.structure, overlap.other): overlap.share for overlap in measure_overlaps(cohort).overlaps}
    order = {structure: index for index, structure in enumerate(cohort.structures)}
    pairs = [pair for pair in share if order[pair[0]] < order[pair[1]]]
    rows = [
        {
            "structure": names.display_name(one),
            "overlaps": names.display_name(other),
            "% of the first": f"{100 * share[one, other]:.1f}",
            "% of the second": f"{100 * share[other, one]:.1f}",
        }
        for one, other in sorted(pairs, key=lambda pair: -max(share[pair], share[pair[::-1]]))
    ]
    return pd.DataFrame(rows, columns=["structure", "overlaps", "% of the first", "% of the second"])
