"""Rules of each kind of device: which implementation a sparse layer uses, and how much it computes at a time."""

from dataclasses import dataclass, replace
from functools import cache
from math import inf, prod

import torch

from gynbtnet.runtime.array_types import Triple
from gynbtnet.sparse.active_blocks import divide_exactly
from gynbtnet.sparse.kernels.gathered_convolution import GatheredConvolution
from gynbtnet.sparse.kernels.interfaces import ConvolutionKernels, NormKernels
from gynbtnet.sparse.kernels.norm_at_once import NormAtOnce
from gynbtnet.sparse.kernels.norm_by_segment import NormBySegment
from gynbtnet.sparse.kernels.pair_convolution import PairConvolution
from gynbtnet.sparse.kernels.tile_convolution import TileConvolution
from gynbtnet.sparse.triton_kernels.self_check import checked_convolution, checked_norm


@dataclass(frozen=True)
class ConvolutionRule:
    """An implementation, and the layers that it is used for.

    Attributes:
        kernels: The implementation.
        max_halo: Largest ratio of a block's voxels with and without a halo of one voxel, at the input.
        max_output_halo: The same ratio at the output.
        max_weights: The layer has fewer input × output channels than this.
        min_weights: The layer has at least so many input × output channels.
        only_unit_stride: If true, the layer has stride 1.
    """

    kernels: ConvolutionKernels
    max_halo: float = inf
    max_output_halo: float = inf
    max_weights: float = inf
    min_weights: float = 0
    only_unit_stride: bool = False

    def applies_to(self, block: Triple, output_block: Triple, weights: int) -> bool:
        """Return whether the rule is for such blocks and a weight of so many input × output channels."""
        fits = halo_ratio(block) <= self.max_halo and halo_ratio(output_block) <= self.max_output_halo
        fits = fits and (block == output_block or not self.only_unit_stride)
        return fits and self.min_weights <= weights < self.max_weights


def halo_ratio(block: Triple) -> float:
    """Return the ratio of a block's voxels with and without a halo of one voxel."""
    return prod(n + 2 for n in block) / prod(block)


@dataclass(frozen=True)
class DeviceRules:
    """Implementations and chunk sizes of the sparse layers on one kind of device.

    Attributes:
        convolutions: Rules for 3×3×3 convolutions; the first that applies to a layer is used.
        norm: Implementation of the norms with their activation and shortcut.
        values_per_chunk: Values that other layers gather at a time.
    """

    convolutions: tuple[ConvolutionRule, ...]
    norm: NormKernels
    values_per_chunk: int

    def convolution(self, block: Triple, stride: Triple, weight_shape: torch.Size) -> ConvolutionKernels:
        """Return the implementation for blocks of this shape and a weight (C_out, C_in, 3, 3, 3)."""
        layer = block, divide_exactly(block, stride), weight_shape[0] * weight_shape[1]
        return next(rule.kernels for rule in self.convolutions if rule.applies_to(*layer))


CPU_RULES = DeviceRules(
    convolutions=(
        ConvolutionRule(TileConvolution(2**23), max_halo=2.0),
        ConvolutionRule(TileConvolution(2**23), max_halo=4.0, max_weights=128 * 256),
        ConvolutionRule(PairConvolution()),
    ),
    norm=NormBySegment(),
    values_per_chunk=2**23,
)
"""Rules for a CPU, measured on one.

Blocks with edges of 8 and more are always tiled, edges of 4 below 128 → 256 channels. Tiles of 2²³ values, 32 MB in
single precision, are gathered at a time."""


def cuda_rules(values_per_chunk: int = 2**29) -> DeviceRules:
    """Return rules for CUDA: few operators, since each costs some microseconds even if it computes little.

    Layers whose output blocks have edges of 4 and more are tiled, others gathered for one matrix product. These rules
    come from counted operators and have not been measured on a GPU.

    Args:
        values_per_chunk: Values that are gathered, or converted to single precision, at a time.

    Returns:
        The rules.
    """
    return DeviceRules(
        convolutions=(
            ConvolutionRule(TileConvolution(values_per_chunk, flips=True), max_output_halo=4.0),
            ConvolutionRule(GatheredConvolution(values_per_chunk)),
        ),
        norm=NormAtOnce(values_per_chunk),
        values_per_chunk=values_per_chunk,
    )


MEMORY_SHARE = 1 / 32
"""Share of a GPU's free memory that a chunk of single-precision values may use."""


def values_per_chunk(free_bytes: int) -> int:
    """Return how many values are computed at a time on a device with so much free memory.

    Args:
        free_bytes: Free memory of the device in bytes.

    Returns:
        A power of two between 2²³ and 2³⁰, so that a little more or less free memory doesn't change the result.
    """
    values = max(1, int(free_bytes * MEMORY_SHARE / 4))
    return 1 << min(max(values.bit_length() - 1, 23), 30)


@cache
def rules_for(device: torch.device) -> DeviceRules:
    """Return the rules for a device.

    Args:
        device: The device of the features. A GPU's free memory is read once per process, before the first step.

    Returns:
        Rules for CUDA if it is a CUDA device, with the Triton kernels that agree there; otherwise those for a CPU.
    """
    if device.type != "cuda":
        return CPU_RULES
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return with_triton_kernels(cuda_rules(values_per_chunk(free_bytes)), device)


def with_triton_kernels(rules: DeviceRules, device: torch.device) -> DeviceRules:
    """Return rules that use each Triton kernel if it agrees with PyTorch on the device, and otherwise these rules.

    The convolution is used at stride 1 for blocks with edges of 8 and more. A layer of one channel keeps its rule: a
    product of matrices would compute 16. What is used, and why, is logged once per process.

    Args:
        rules: Rules that use PyTorch only.
        device: Device on which the kernels are checked.

    Returns:
        The rules.
    """
    convolution = checked_convolution(rules.convolution(*_LARGE_LAYER), device)  # type: ignore[arg-type]  # hashable
    if convolution is not None:
        rule = ConvolutionRule(convolution, max_halo=2.0, min_weights=256, only_unit_stride=True)
        rules = replace(rules, convolutions=(rule, *rules.convolutions))
    norm = checked_norm(rules.norm, device)  # type: ignore[arg-type]  # all kernels are frozen, and hashable
    return replace(rules, norm=norm or rules.norm)


_LARGE_LAYER = (16, 16, 16), (1, 1, 1), torch.Size((64, 64, 3, 3, 3))
"""Block, stride and weight of a layer that the Triton convolution is for."""
