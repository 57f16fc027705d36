"""A batch norm while torch.distributed runs: two processes with a sample each are one process with both."""

import subprocess
import sys
from datetime import timedelta

import pytest
import torch
from torch import distributed, nn

from gynbtnet.networks import Encoder, Preset
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.sparse_encoder import sparse_encode

SCRIPT = """
import sys
import torch

sys.path.insert(0, sys.argv[1])
from test_batch_norm_over_processes import encode_one

torch.save(encode_one(1, sys.argv[2]), f"{sys.argv[2]}/1.pt")
"""


def encode(samples):
    """Features and gradients of some of two samples, which see unequal numbers of cells; the norms' buffers."""
    torch.manual_seed(0)
    encoder = Encoder(Preset((3, 4, 5), 2, (1, 2, 2)), norm="batch").double()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    image = torch.randn(2, 1, 8, 8, 16, dtype=torch.float64)
    mask = torch.rand(2, 2, 2, 4) < torch.tensor([0.3, 0.8]).view(2, 1, 1, 1)
    features = sparse_encode(encoder, image[samples], ActiveBlocks(mask[samples]))
    torch.stack([packed.rows.sin().sum() for packed in features]).sum().backward()
    gradients = {name: parameter.grad for name, parameter in encoder.named_parameters()}
    return [packed.rows.detach() for packed in features], gradients, dict(encoder.named_buffers())


def encode_one(rank, folder):
    """Return the same of one sample, as one of two processes that meet in a folder."""
    limit = timedelta(seconds=120)
    meeting = f"file://{folder}/meet"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=limit)
    try:
        return encode(slice(rank, rank + 1))
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_are_one_with_the_double_batch(tmp_path):
    """This process is the first of them."""
    command = [sys.executable, "-c", SCRIPT, __file__.rpartition("/")[0], tmp_path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        first = encode_one(0, tmp_path)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    second = torch.load(tmp_path / "1.pt")
    features, gradients, buffers = encode(slice(0, 2))
    for expected, *halves in zip(features, first[0], second[0], strict=True):
        torch.testing.assert_close(torch.cat(halves), expected, rtol=1e-10, atol=1e-10)
    for name, gradient in gradients.items():
        torch.testing.assert_close(first[1][name] + second[1][name], gradient, rtol=1e-10, atol=1e-10)
    for half in (first, second):
        for name, values in buffers.items():
            torch.testing.assert_close(half[2][name], values, rtol=1e-12, atol=1e-12)
