import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.inference.sliding_window import gaussian_weight, slide, window_starts

shapes = st.tuples(*[st.integers(1, 20)] * 3)
windows = st.tuples(*[st.integers(1, 9)] * 3)


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(shape=shapes, window=windows, overlap=st.sampled_from([0, 0.25, 0.5, 0.75]))
def test_the_identity_gives_the_scan_back(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    image = noise(shape)
    found = slide(lambda patch: torch.cat([patch, -patch], 1), image, window, overlap=overlap)
    assert found.shape == (2, *shape)
    np.testing.assert_allclose(found[0], image[0], atol=1e-5)
    np.testing.assert_allclose(found[1], -image[0], atol=1e-5)


@given(size=st.integers(1, 300), window=st.integers(1, 96), overlap=st.floats(0, 0.9))
def test_windows_cover_an_axis_evenly(size: int, window: int, overlap: float) -> None:
    starts = window_starts(size, window, overlap)
    steps = np.diff(starts)
    assert starts[0] == 0
    assert starts[-1] == max(size - window, 0)
    assert (steps <= max(1, np.ceil(window * (1 - overlap)))).all()
    if len(steps):
        assert steps.max() - steps.min() <= 1


def test_padding_is_air() -> None:
    seen = []

    def network(patch: torch.Tensor) -> torch.Tensor:
        seen.append(patch)
        return patch

    image = noise((3, 9, 4))
    found = slide(network, image, (4, 8, 8))
    np.testing.assert_allclose(found, image, atol=1e-6)
    assert all(patch.shape == (1, 1, 4, 8, 8) for patch in seen)
    assert all((patch[..., :2] == image.min()).all() and (patch[..., 6:] == image.min()).all() for patch in seen)


def convolution() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Conv3d(1, 3, 5, padding=2)


def test_equal_to_monai_s() -> None:
    """Where windows fit the scan without remainder both place them alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.inferers import sliding_window_inference
    image, network = noise((16, 24, 32)), convolution()
    with torch.no_grad():
        ours = slide(network, image, (8, 8, 16), overlap=0.5)
        theirs = sliding_window_inference(
            torch.from_numpy(image)[None],
            (8, 8, 16),
            1,
            network,
            overlap=0.5,
            roi_weight_map=gaussian_weight((8, 8, 16)),
        )[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_weight_is_a_gaussian() -> None:
    weight = gaussian_weight((8, 9, 16))
    assert weight[4, 4, 8] == weight.max()
    assert weight[0, 4, 8] / weight[3, 4, 8] == pytest.approx(np.exp(-(3.5**2 - 0.5**2) / 2))
    assert 0 < weight.min() == weight[0, 0, 0]
    assert torch.equal(weight, weight.flip(0, 1, 2))


def test_mirroring_is_the_mean_over_eight_images() -> None:
    image, network = noise((8, 8, 8)), convolution()
    flips = [tuple(axis for bit, axis in enumerate((1, 2, 3)) if code & 1 << bit) for code in range(8)]
    with torch.no_grad():
        mirrored = slide(network, image, (8, 8, 8), mirroring=True)
        plain = [slide(network, np.flip(image, axes).copy(), (8, 8, 8)).flip(axes) for axes in flips]
    torch.testing.assert_close(mirrored, torch.stack(plain).mean(0), rtol=1e-5, atol=1e-5)
