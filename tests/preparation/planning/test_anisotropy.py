import pytest

from gynbtnet.preparation.planning.anisotropy import separate_axis

THIN, THICK = (1.5, 1.0, 1.0), (5.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("source", "target", "axis"),
    [
        (THIN, THIN, None),
        (THICK, THIN, 0),
        (THIN, THICK, 0),
        ((3.0, 1.0, 1.0), THIN, None),  # as thick as the threshold, not thicker
        ((1.0, 1.0, 5.0), THICK, 2),  # the scan decides before the spacing that is wanted
        ((1.0, 5.0, 5.0), THICK, None),  # and where it is coarse along two axes, there is no thick one
    ],
)
def test_the_rule(source: tuple[float, ...], target: tuple[float, ...], axis: int | None) -> None:
    assert separate_axis(source, target) == axis
