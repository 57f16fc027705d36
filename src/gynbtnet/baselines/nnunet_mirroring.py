"""Mirrored axes in nnU-Net's numbers: it counts the axes of the files, with the coarsest one first if need be."""

from collections.abc import Collection, Sequence

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.sides import has_side, mirrored_labels
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis


def trainable_axes(asked: Collection[Axis], structures: Sequence[str]) -> tuple[Axis, ...]:
    """Give the patient's axes that nnU-Net may mirror: not x if a structure has a side, for it can't swap labels."""
    sided = any(map(has_side, structures)) or mirrored_labels(structures) != tuple(range(len(structures) + 1))
    return tuple(axis for axis in ALL_AXES if axis in asked and not (axis == "x" and sided))


def nnunet_axes(axes: Collection[Axis], geometries: Sequence[Geometry], transpose: Sequence[int]) -> tuple[int, ...]:
    """Give the axes of nnU-Net's arrays that run along one of ``axes`` in every scan.

    Args:
        axes: of the patient.
        geometries: grids of the scans' files.
        transpose: ``transpose_forward`` of nnU-Net's plans.
    """
    of_files = [_patient_axes(geometry) for geometry in geometries]
    return tuple(i for i, axis in enumerate(transpose) if all(names[axis] in axes for names in of_files))


def _patient_axes(geometry: Geometry) -> tuple[Axis, ...]:
    """The patient's axis that each array axis (z, y, x) of a file runs along, nearly."""
    order = reorientation_to_lps(geometry).order
    return tuple(ALL_AXES[order.index(axis)] for axis in range(3))
