"""Which axes a stage mirrors in training, and whether structures change sides in the mirror."""

from dataclasses import replace

from gynbtnet.imaging.sides import has_unpaired_sides, mirrored_labels
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import ALL_AXES
from gynbtnet.training.settings import TrainingSettings


def with_mirroring(plan: Plan, settings: TrainingSettings) -> Plan:
    """Give the plan that says what a run of ``settings`` mirrors.

    Where x is mirrored, structures of the left and the right swap their labels. If the counterpart of one isn't among
    the plan's structures, its mirror image has no label: x is left out, and a note in the plan says so.
    """
    if settings.augmentation == "none":
        return replace(plan, mirror_axes=(), sides_swapped=False)
    alone = has_unpaired_sides(plan.structures)
    if "x" in settings.mirror_axes and alone:
        named = ", ".join(alone[:3]) + (f" and {len(alone) - 3} more" if len(alone) > 3 else "")
        note = f"The x axis isn't mirrored, because the structures don't include the other side of {named}."
        axes = tuple(axis for axis in settings.mirror_axes if axis != "x")
        return replace(plan, mirror_axes=axes, sides_swapped=False, notes=(*plan.notes, note))
    swapped = "x" in settings.mirror_axes and has_sides(plan)
    return replace(plan, mirror_axes=settings.mirror_axes, sides_swapped=swapped)


def has_sides(plan: Plan) -> bool:
    """Whether any structure has a counterpart on the other side of the patient."""
    return mirrored_labels(plan.structures) != tuple(range(len(plan.structures) + 1))


def axes_of_arrays(plan: Plan) -> tuple[int, ...]:
    """Positions of the plan's mirrored axes among (z, y, x)."""
    return tuple(ALL_AXES.index(axis) for axis in plan.mirror_axes)
