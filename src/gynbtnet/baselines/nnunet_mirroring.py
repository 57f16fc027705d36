"""Mirrored axes as nnU-Net numbers them: axes of the file, with the coarsest one first in anisotropic data."""

from collections.abc import Collection, Sequence

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.sides import has_side, mirrored_labels
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis


def trainable_axes(axes: Collection[Axis], structures: Sequence[str]) -> tuple[Axis, ...]:
    """Return the axes that nnU-Net may mirror: not x if a structure has a side, because nnU-Net can't swap labels."""
    sided = any(map(has_side, structures)) or mirrored_labels(structures) != tuple(range(len(structures) + 1))
    return tuple(axis for axis in ALL_AXES if axis in axes and not (axis == "x" and sided))


def nnunet_axes(axes: Collection[Axis], geometries: Sequence[Geometry], transpose: Sequence[int]) -> tuple[int, ...]:
    """Return the axes of nnU-Net's arrays that are along one of ``axes`` in every scan.

    Args:
        axes: axes of the patient.
        geometries: grids of the image files.
        transpose: ``transpose_forward`` of nnU-Net's plans.
    """
    file_axes = [_patient_axes(geometry) for geometry in geometries]
    return tuple(i for i, axis in enumerate(transpose) if all(names[axis] in axes for names in file_axes))


def axes_within(
    axes: Collection[Axis], geometries: Sequence[Geometry], transpose: Sequence[int], mirrored: Collection[int]
) -> tuple[Axis, ...]:
    """Return those of ``axes`` that are along one of nnU-Net's ``mirrored`` array axes in every scan.

    Args:
        axes: axes of the patient.
        geometries: grids of the image files.
        transpose: ``transpose_forward`` of nnU-Net's plans.
        mirrored: axes of nnU-Net's arrays that its trainer can mirror.
    """
    in_all = [{_patient_axes(geometry)[transpose[axis]] for axis in mirrored} for geometry in geometries]
    return tuple(axis for axis in axes if all(axis in names for names in in_all))


def _patient_axes(geometry: Geometry) -> tuple[Axis, ...]:
    """Return the patient's axis that is nearest to each array axis (z, y, x) of a file."""
    order = reorientation_to_lps(geometry).order
    return tuple(ALL_AXES[order.index(axis)] for axis in range(3))
