import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.preparation.planning.target_spacing import shape_at, target_spacing


def test_the_median_if_slices_are_thin() -> None:
    spacings = [(1.0, 0.5, 0.5), (2.0, 0.7, 0.7), (2.5, 0.9, 0.8)]
    assert target_spacing(spacings, [(100, 512, 512)] * 3) == (2.0, 0.7, 0.7)


def test_the_tenth_percentile_if_slices_are_thick_and_few() -> None:
    spacings = [(float(z), 0.8, 0.7) for z in (2, 3, 4, 5, 5, 5, 5, 5, 5, 6, 6)]
    assert target_spacing(spacings, [(60, 512, 512)] * 11) == (3.0, 0.8, 0.7)
    assert target_spacing(spacings, [(171, 512, 512)] * 11) == (5.0, 0.8, 0.7)  # thick, but many


def test_the_tenth_percentile_is_never_finer_than_the_plane() -> None:
    spacings = [(z, 0.9, 0.9) for z in (0.5, 0.5, 5.0, 5.0, 5.0, 5.0)]
    assert target_spacing(spacings, [(60, 512, 512)] * 6) == pytest.approx((0.90001, 0.9, 0.9), abs=1e-12)


@given(st.integers(1, 600), st.floats(0.2, 8), st.floats(0.2, 8))
def test_shapes_cover_the_same_length_to_half_a_voxel(n: int, have: float, want: float) -> None:
    shape = shape_at((want,) * 3, (n,) * 3, (have,) * 3)[0]
    assert shape == 1 or abs(shape * want - n * have) <= want / 2 * (1 + 1e-9)
