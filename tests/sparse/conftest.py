"""The device that a sparse test computes on."""

import pytest
import torch


@pytest.fixture(
    scope="session",
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here"),
        ),
    ],
)
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="session", autouse=True)
def exact_on_cuda():
    """TensorFloat-32 keeps ten bits of a factor, too few for these tests; some sums of cuDNN have no fixed order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        patch.setattr(torch.backends.cudnn, "deterministic", True)
        yield
