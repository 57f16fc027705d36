import warnings
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.inference.engine.sliding_window import (
    importance_weights,
    relative_error,
    sliding_window_logits,
    window_starts,
)
from gynbtnet.runtime import BadInput

shapes = st.tuples(*[st.integers(1, 20)] * 3)
windows = st.tuples(*[st.integers(1, 9)] * 3)


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)


def gathered(slabs) -> torch.Tensor:
    """All slabs as one array (outputs, z, y, x), each slice once; from the first slab on."""
    parts, reached = [], None
    for slab in slabs:
        assert slab.logits.dtype == torch.float16
        assert reached is None or slab.first == reached - 1
        parts.append(slab.logits[:, 0 if reached is None else 1 :].float())
        reached = slab.first + slab.logits.shape[1]
    return torch.cat(parts, 1)


def in_single_precision(network, image: np.ndarray, window, overlap: float) -> torch.Tensor:
    """Logits minus the highest of each window and voxel, averaged over windows without rounding to 16 bits."""
    axes = [window_starts(n, size, overlap) for n, size in zip(image.shape[1:], window, strict=True)]
    profiles = [torch.exp(-0.5 * ((torch.arange(n) - (n - 1) / 2) * 8 / n) ** 2).double() for n in window]
    weight = torch.einsum("z,y,x->zyx", *profiles)
    total, sums = torch.zeros(image.shape[1:]).double(), torch.zeros(1).double()
    for corner in product(*axes):
        box = tuple(slice(low, low + size) for low, size in zip(corner, window, strict=True))
        logits = network(torch.from_numpy(image[(slice(None), *box)].copy())[None])[0].double()
        part = torch.zeros(len(logits), *image.shape[1:]).double()
        part[(slice(None), *box)] = (logits - logits.amax(0)) * weight
        sums = sums + part
        total[box] += weight
    return sums / total


def alone(network):
    """Return the network as a function that :func:`sliding_window_logits` runs."""
    return lambda patch, cell: network(patch)


@settings(max_examples=25, deadline=None)
@given(shape=shapes, window=windows, overlap=st.sampled_from([0, 0.25, 0.5, 0.75]))
def test_the_identity_gives_the_scan_back(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    image = noise(shape)
    logits = gathered(
        sliding_window_logits(lambda patch, cell: torch.cat([patch, -patch], 1), image, window, overlap=overlap)
    )
    assert logits.shape == (2, *shape)
    assert (logits <= 0).all()
    np.testing.assert_allclose(logits[0] - logits[1], 2 * image[0], rtol=0.03, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(shape=shapes, window=windows, overlap=st.sampled_from([0, 0.25, 0.5, 0.75]))
def test_every_voxel_is_in_the_cell_of_one_window(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    seen = []

    def network(patch: torch.Tensor, cell) -> torch.Tensor:
        seen.append(patch[0, 0][cell].flatten())
        return patch

    image = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(1, *shape)
    list(sliding_window_logits(network, image, window, overlap=overlap))
    values = torch.cat(seen)
    if all(n >= size for n, size in zip(shape, window, strict=True)):
        assert sorted(values.tolist()) == image.ravel().tolist()
    else:
        assert set(values.tolist()) == set(image.ravel().tolist())  # padding is counted too


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_half_precision_keeps_its_bound(scale: float) -> None:
    """The error of a logit is a share of its size: labels differ only at voxels with two nearly equal logits."""
    image, window = noise((14, 23, 27)) * np.float32(scale), (6, 8, 10)
    network = convolution(9)
    with torch.no_grad():
        logits = gathered(sliding_window_logits(alone(network), image, window, overlap=0.6))
        exact = in_single_precision(network, image, window, 0.6)
    starts = [window_starts(n, size, 0.6) for n, size in zip(image.shape[1:], window, strict=True)]
    bound = relative_error(starts, window)
    assert 0.004 < bound < 0.04
    error = (logits - exact).abs()
    assert (error <= 1.001 * bound * exact.abs() + 64 * 2.0**-25).all()
    nearest = exact.topk(2, dim=0).values
    differ = logits.argmax(0) != exact.argmax(0)
    assert (differ.double().mean() < 5e-3).item()  # of noise through a random convolution
    assert ((nearest[0] - nearest[1])[differ] <= 2 * bound * nearest[1].abs()[differ] + 1e-5).all()


def test_logits_far_below_the_highest_stay_finite() -> None:
    image = noise((8, 8, 8))
    logits = gathered(sliding_window_logits(lambda patch, cell: torch.cat([patch, patch - 1e9], 1), image, (4, 4, 4)))
    assert torch.isfinite(logits).all()
    assert (logits[1] <= -5e4).all()


def test_only_windows_that_see_the_body_are_run() -> None:
    body = np.zeros((12, 20, 24), bool)
    body[5:9, 2:9, 3:7] = True
    runs = []

    def network(patch: torch.Tensor, cell) -> torch.Tensor:
        runs.append(patch)
        return convolution()(patch)

    image, window = noise(body.shape), (4, 8, 8)
    with torch.no_grad():
        part = gathered(sliding_window_logits(network, image, window, body=body))
        some = len(runs)
        whole = gathered(sliding_window_logits(network, image, window))
    assert 0 < some < (len(runs) - some) / 2
    offset = body.shape[0] - part.shape[1]  # levels before the first window have no slab
    assert offset >= 0
    assert not body[:offset].any()
    inside = torch.from_numpy(body[offset:])
    assert torch.equal(part[:, inside], whole[:, offset:][:, inside])
    assert not part[:, ~inside].any()


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

    def network(patch: torch.Tensor, cell) -> torch.Tensor:
        seen.append(patch)
        return torch.cat([patch, torch.full_like(patch, 99)], 1)

    image = noise((3, 9, 4))
    logits = gathered(sliding_window_logits(network, image, (4, 8, 8)))
    np.testing.assert_allclose(99 + logits[0], image[0], atol=0.2)
    assert all(patch.shape == (1, 1, 4, 8, 8) for patch in seen)
    assert all((patch[..., :2] == image.min()).all() and (patch[..., 6:] == image.min()).all() for patch in seen)


def convolution(outputs: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Conv3d(1, outputs, 5, padding=2)


def test_equal_to_monai_s() -> None:
    """Both use the same windows if these fit the scan without remainder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.inferers import sliding_window_inference
    image, network = noise((16, 24, 32)), convolution()
    profiles = [torch.exp(-0.5 * ((torch.arange(n) - (n - 1) / 2) * 8 / n) ** 2) for n in (8, 8, 16)]
    with torch.no_grad():
        ours = gathered(sliding_window_logits(alone(network), image, (8, 8, 16), overlap=0.5))
        theirs = sliding_window_inference(
            torch.from_numpy(image)[None],
            (8, 8, 16),
            1,
            network,
            overlap=0.5,
            roi_weight_map=torch.einsum("z,y,x->zyx", *profiles),
        )[0]
    torch.testing.assert_close(ours - ours[:1], theirs - theirs[:1], rtol=0.01, atol=0.01)
    assert (ours.argmax(0) == theirs.argmax(0)).float().mean() > 0.999


def test_importance_weights_are_gaussians_that_add_up_to_one() -> None:
    starts = window_starts(40, 16, 0.5)
    assert starts == [0, 8, 16, 24]
    shares = importance_weights(40, 16, starts)
    total = torch.zeros(40)
    for start, share in zip(starts, shares, strict=True):
        total[start : start + 16] += share
    torch.testing.assert_close(total, torch.ones(40))
    assert importance_weights(16, 16, [0]).unique().tolist() == [1]
    first, other = shares[0][12], shares[1][4]  # voxel 12, 4.5 from one centre and 3.5 from the other; a deviation is 2
    assert float(first / other) == pytest.approx(np.exp((3.5**2 - 4.5**2) / 8))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(value: float) -> None:
    def broken(patch: torch.Tensor, cell) -> torch.Tensor:
        logits = torch.zeros(1, 3, *patch.shape[2:])
        logits[0, 1, 0, 0, 0] = value
        return logits

    with pytest.raises(BadInput, match="outputs are not numbers"):
        gathered(sliding_window_logits(broken, noise((8, 8, 8)), (4, 4, 4)))
