"""Mirrored axes of a training stage, and the swap of left and right structures."""

from dataclasses import replace

from gynbtnet.imaging.sides import has_unpaired_sides, mirrored_labels
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import ALL_AXES
from gynbtnet.training.settings import TrainingSettings


def with_mirroring(plan: Plan, settings: TrainingSettings) -> Plan:
    """Return the plan with the axes that a run with ``settings`` mirrors.

    If x is mirrored, left and right structures swap their labels. If the plan lacks the counterpart of one, its mirror
    image has no label. Then x is omitted, and a note is added to the plan.

    Args:
        plan: plan of the run.
        settings: settings of the run.
    """
    if settings.augmentation == "none":
        return replace(plan, mirror_axes=(), sides_swapped=False)
    unpaired = has_unpaired_sides(plan.structures)
    if "x" in settings.mirror_axes and unpaired:
        names = ", ".join(unpaired[:3]) + (f" and {len(unpaired) - 3} more" if len(unpaired) > 3 else "")
        note = f"The x axis isn't mirrored, because the structures don't include the other side of {names}."
        axes = tuple(axis for axis in settings.mirror_axes if axis != "x")
        return replace(plan, mirror_axes=axes, sides_swapped=False, notes=(*plan.notes, note))
    swapped = "x" in settings.mirror_axes and has_sides(plan)
    return replace(plan, mirror_axes=settings.mirror_axes, sides_swapped=swapped)


def has_sides(plan: Plan) -> bool:
    """Return whether any structure has a counterpart on the other side of the patient."""
    return mirrored_labels(plan.structures) != tuple(range(len(plan.structures) + 1))


def axes_of_arrays(plan: Plan) -> tuple[int, ...]:
    """Return the positions of the plan's mirrored axes among (z, y, x)."""
    return tuple(ALL_AXES.index(axis) for axis in plan.mirror_axes)
