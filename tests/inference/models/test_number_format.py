"""The number format that predictions are computed in."""

import logging
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from gynbtnet.inference.models import backends
from gynbtnet.inference.models.backends import memory_formats, number_format, prepare_network


def test_float16_on_a_gpu_and_single_precision_elsewhere() -> None:
    assert number_format("cuda") == torch.float16
    assert number_format("cpu") == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_prediction_computes_in_it(dtype: torch.dtype) -> None:
    """On a CPU, asked for each format in turn; on a GPU the rule asks for float16."""
    asked: list[str] = []

    def says(device_type: str) -> torch.dtype:
        asked.append(device_type)
        return dtype

    with patch.object(backends, "number_format", says):
        network = prepare_network(
            nn.Conv3d(1, 2, 1), "eager", torch.device("cpu"), channels=1, outputs=2, window=(4, 4, 4)
        )
        logits: Tensor = network(torch.zeros(1, 1, 4, 4, 4))
    assert asked == ["cpu"]
    assert logits.dtype == dtype


def test_the_memory_formats_whose_times_are_compared() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert memory_formats("eager", cuda) == ("plain", "channels_last")
    assert memory_formats("compiled", cuda) == memory_formats("eager", cpu) == ("plain",)


def test_the_first_windows_are_computed_in_each_memory_format(caplog: pytest.LogCaptureFixture) -> None:
    """Four each in turn, and all others in one of them; the logits are equal."""
    caplog.set_level(logging.INFO, "gynbtnet")
    convolution, formats = nn.Conv3d(2, 3, 3, padding=1), []

    def noted(image: Tensor) -> Tensor:
        formats.append(image.is_contiguous(memory_format=torch.channels_last_3d))
        result: Tensor = convolution(image)
        return result

    window = torch.randn(1, 2, 4, 5, 6)
    with (
        patch.object(backends, "memory_formats", lambda *_: ("plain", "channels_last")),
        patch.object(backends, "optimise_for_cpu", lambda network: noted),
    ):
        network = prepare_network(convolution, "eager", torch.device("cpu"), channels=2, outputs=3, window=(4, 5, 6))
    for _ in range(10):
        torch.testing.assert_close(network(window), convolution(window))
    assert formats[:8] == [False, True] * 4
    assert len(set(formats[8:])) == 1
    assert sum("Time of a window" in message for message in caplog.messages) == 1
