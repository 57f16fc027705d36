"""The convolution of an upsampled map, computed on the small map, against the convolution of the large one."""

from itertools import product

import pytest
import torch
from torch.nn.functional import conv3d

from gynbtnet.inference.engine.cpu_optimisation.tuning import CpuTuning
from gynbtnet.inference.engine.cpu_optimisation.upsampled_convolution import convolve_upsampled

STRIDES = list(product((1, 2), repeat=3))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 2), (4, 3, 5)])
@pytest.mark.parametrize("channels", [5, 65])  # interleaved and transposed
@pytest.mark.parametrize("slab_values", [1, 2**22])
def test_the_convolution_equals_that_of_the_upsampled_map_at_every_border(stride, size, channels, slab_values):
    torch.manual_seed(0)
    small = torch.randn(2, 3, *size, dtype=torch.float64)
    weight = torch.randn(channels, 3, 3, 3, 3, dtype=torch.float64)
    large = small
    for axis, step in zip((2, 3, 4), stride, strict=True):
        large = large.repeat_interleave(step, axis)
    expected = conv3d(large, weight, padding=1)
    result = convolve_upsampled(small, weight, stride, CpuTuning(slab_values=slab_values))
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-10)
