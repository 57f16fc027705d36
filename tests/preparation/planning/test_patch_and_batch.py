import pytest
from hypothesis import given
from hypothesis import strategies as st

from gynbtnet.preparation.planning.memory_estimate import training_bytes
from gynbtnet.preparation.planning.patch_and_batch import patch_and_batch
from gynbtnet.preparation.planning.settings import PlanSettings, preset_strides
from gynbtnet.runtime import BadInput


def bytes_of(preset: str, patch: tuple[int, int, int], batch: int) -> int:
    return training_bytes(preset, preset_strides(preset), in_channels=1, outputs=6, patch_size=patch, batch_size=batch)


@given(
    preset=st.sampled_from(["XS", "S", "B", "L"]),
    spacing=st.tuples(st.floats(0.5, 8), st.floats(0.3, 3), st.floats(0.3, 3)),
    shape=st.tuples(st.integers(5, 600), st.integers(20, 700), st.integers(20, 700)),
    plan_memory_gb=st.floats(8, 80),
    cases=st.integers(1, 2000),
)
def test_as_large_as_fits_and_no_larger(
    preset: str,
    spacing: tuple[float, float, float],
    shape: tuple[int, int, int],
    plan_memory_gb: float,
    cases: int,
) -> None:
    settings = PlanSettings(preset=preset, patch_size=None, batch_size=None, plan_memory_gb=plan_memory_gb)
    patch, batch = patch_and_batch(settings, spacing, shape, cases=cases, in_channels=1, outputs=6)
    assert batch >= 2
    assert all(n % 16 == 0 and n > 0 for n in patch)
    assert patch != (16, 16, 16)
    assert bytes_of(preset, patch, batch) <= plan_memory_gb * 1e9
    assert all(n < size + 16 or n == 32 for n, size in zip(patch, shape, strict=True))
    covered = batch * patch[0] * patch[1] * patch[2] / (shape[0] * shape[1] * shape[2] * cases)
    if batch > 2:
        assert covered <= 0.05 * 1.5  # a number of patches is rounded


def test_worked_by_hand() -> None:
    """A cube of 256³ voxels of 1 mm on scans of 200×512×512 is 208×256×256; z covers most of the scan and gives way."""
    wide = PlanSettings(preset="XS", patch_size=None, batch_size=2, plan_memory_gb=1000)
    network = {"in_channels": 1, "outputs": 6}
    assert patch_and_batch(wide, (1, 1, 1), (200, 512, 512), cases=1, **network)[0] == (208, 256, 256)
    just_too_little = wide.model_copy(update={"plan_memory_gb": (bytes_of("XS", (208, 256, 256), 2) - 1) / 1e9})
    assert patch_and_batch(just_too_little, (1, 1, 1), (200, 512, 512), cases=1, **network)[0] == (192, 256, 256)


def test_thick_slices_make_flat_patches() -> None:
    settings = PlanSettings(preset="B", patch_size=None, batch_size=2, plan_memory_gb=24)
    patch, _ = patch_and_batch(settings, (5, 0.8, 0.8), (60, 512, 512), cases=30, in_channels=1, outputs=6)
    assert patch[0] <= 64 < min(patch[1:])
    assert abs(patch[1] - patch[2]) <= 16


def test_the_batch_covers_a_twentieth_of_the_cohort_at_most() -> None:
    settings = PlanSettings(preset="XS", patch_size=(64, 64, 64), batch_size=None, plan_memory_gb=24)
    few, many = (
        patch_and_batch(settings, (1, 1, 1), (128, 128, 128), cases=n, in_channels=1, outputs=6) for n in (20, 10_000)
    )
    assert few == ((64, 64, 64), 8)  # 20 scans of 8 patches each, and a twentieth of 160 are 8
    assert many[1] > 8
    assert bytes_of("XS", (64, 64, 64), many[1]) <= 24e9 < bytes_of("XS", (64, 64, 64), many[1] + 1)


def test_a_budget_that_nothing_fits() -> None:
    settings = PlanSettings(preset="B", patch_size=None, plan_memory_gb=0.5)
    with pytest.raises(BadInput, match="smaller preset"):
        patch_and_batch(settings, (1, 1, 1), (128, 128, 128), cases=1, in_channels=1, outputs=6)
