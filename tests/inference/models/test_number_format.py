"""The number format that predictions are computed in."""

from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from gynbtnet.inference.models import backends
from gynbtnet.inference.models.backends import number_format, prepare_network


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
