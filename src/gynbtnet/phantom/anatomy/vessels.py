"""Iliac and femoral vessels."""

from gynbtnet.phantom.anatomy.patient import Patient
from gynbtnet.phantom.anatomy.skeleton import SkeletonFrame
from gynbtnet.phantom.shapes.shape_operations import Union
from gynbtnet.phantom.shapes.shapes import Shape, Tube


def vessels(patient: Patient) -> dict[str, Shape]:
    """Return iliac arteries and veins, and the femoral vessels below them, by TotalSegmentator's names."""
    shapes: dict[str, Shape] = {}
    for name, side in (("left", 1.0), ("right", -1.0)):
        at = SkeletonFrame(patient, side)
        artery = [(4, -8, 172), (14, -4, 146), (30, 0, 118), (44, -8, 90), (58, -32, 56), (72, -58, 20)]
        vein = [(side * -6 + 2, 0, 168), (14, 4, 142), (30, 12, 112), (42, 6, 84), (50, -20, 54), (60, -52, 18)]
        shapes[f"iliac_vena_{name}"] = Union(
            [
                Tube.through(at(*vein), 6.5, step=9),
                Tube.through(at((34, 14, 108), (46, 40, 82), (50, 52, 50)), [5, 5, 3]),
            ],
            blend=2.0,
        )
        shapes[f"iliac_artery_{name}"] = Union(
            [
                Tube.through(at(*artery), 5.0, step=9),
                Tube.through(at((36, -2, 106), (50, 28, 84), (56, 42, 46)), [4.5, 4, 3]),
            ],
            blend=2.0,
        )
        shapes[f"femoral_vein_{name}"] = Tube.through(
            at(vein[-1], (64, -62, -20), (70, -52, -80), (78, -40, -180)), 6.0, step=12
        )
        shapes[f"femoral_artery_{name}"] = Tube.through(
            at(artery[-1], (76, -68, -20), (80, -60, -80), (84, -48, -180)), 4.5, step=12
        )
    return shapes
