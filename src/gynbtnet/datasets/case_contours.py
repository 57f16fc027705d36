"""Contours of a case as they were drawn."""

from collections.abc import Sequence

from gynbtnet.datasets.case import Case
from gynbtnet.imaging.files.mask_bits import read_mask_bits
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.errors import BadInput


def read_contours(case: Case, structures: Sequence[str]) -> Segmentation:
    """Read the contours of a case; structures that overlap others keep their full masks.

    Args:
        case: the case.
        structures: names of the labels 1, 2, ….

    Returns:
        The structures on the grid of the scan.

    Raises:
        BadInput: If the case has no contours, or a file is absent or damaged.
    """
    if case.labels is None:
        raise BadInput(f"The scan {case.image} has no labels; expected contours.")
    labels = as_whole_labels(read_volume(case.labels), case.labels)
    try:
        segmentation = Segmentation(labels, tuple(structures))
    except ValueError as error:
        raise BadInput(
            f"{case.labels}: {error}; expected labels 1 to {len(structures)} in the order of the cohort."
        ) from error
    if case.masks is None:
        return segmentation
    own = read_mask_bits(case.masks, case.masked)
    if not labels.geometry.is_same(own.geometry):
        raise BadInput(f"{case.masks} and {case.labels} have different grids; run `gynbtnet ingest` again.")
    return OverlappingSegmentation(labels, segmentation.structures, own)
