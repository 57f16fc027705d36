"""Mirror images as one batch, as on a GPU, compared with one image at a time."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gynbtnet.inference.engine.test_time_augmentation import AveragedForward

CELL = (slice(1, 3), slice(0, 4), slice(2, 6))


def network(outputs: int, seed: int) -> Callable[[Tensor], Tensor]:
    """Return a network whose outputs change if an image is mirrored."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, 2, 3, 3, 3, generator=generator, dtype=torch.float64)
    return lambda images: torch.nn.functional.conv3d(images, weight, padding=1)


@pytest.mark.parametrize("mirrored", [(), (2,), (0, 1, 2)])
@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("sides", [None, [0, 2, 1, 3]])
def test_a_batch_gives_the_mean_and_agreement_of_single_images(
    mirrored: tuple[int, ...], overlapping: bool, sides: list[int] | None
) -> None:
    networks = [network(3 if overlapping else 4, seed) for seed in range(2)]
    window = torch.randn(1, 2, 4, 5, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    forwards = [
        AveragedForward(networks, mirrored, sides, overlapping=overlapping, images_at_once=number)
        for number in (1, 3, 8)
    ]
    one, *others = (forward(window, CELL) for forward in forwards)
    assert one.shape == (1, 4, 4, 5, 6)
    for mean in others:
        torch.testing.assert_close(mean, one, rtol=1e-5, atol=1e-6)
    names = ("a", "b", "c")
    assert [forward.agreement(names) for forward in forwards[1:]] == [forwards[0].agreement(names)] * 2


def test_fewer_images_at_once_if_memory_runs_out(caplog: pytest.LogCaptureFixture) -> None:
    """The number that fits is kept for the next windows; a single image that doesn't fit is an error."""
    caplog.set_level(logging.INFO, "gynbtnet")
    plain, sizes, room = network(3, 0), [], 3

    def limited(images: Tensor) -> Tensor:
        sizes.append(len(images))
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(images)

    window = torch.randn(1, 2, 4, 5, 6, dtype=torch.float64)
    forward = AveragedForward([limited], (0, 1, 2), images_at_once=8)
    expected = AveragedForward([plain], (0, 1, 2))(window, CELL)
    for _ in range(2):
        torch.testing.assert_close(forward(window, CELL), expected, rtol=1e-5, atol=1e-6)
    assert sizes == [8, 4, *[2] * 4, *[2] * 4]
    assert len(caplog.messages) == 2
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        forward(window, CELL)


@pytest.mark.parametrize("overlapping", [False, True])
def test_nothing_is_read_from_the_device(overlapping: bool) -> None:
    """On PyTorch's meta device, whose tensors have no values."""
    window = torch.zeros(1, 2, 4, 5, 6, device="meta")
    forward = AveragedForward([lambda images: 2 * images], (0, 1, 2), overlapping=overlapping, images_at_once=8)
    assert forward(window, CELL).device.type == "meta"
