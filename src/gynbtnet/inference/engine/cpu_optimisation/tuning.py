"""Sizes from which the memory-lean operations are used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CpuTuning:
    """Sizes from which the memory-lean operations are used; the defaults were measured.

    Attributes:
        slab_values: Values of a slab's input or output, the larger of the two. A convolution runs slab by slab.
        min_norm_voxels: Voxels below which an in-place norm saves too little for its loop over channels.
        min_split_voxels: Voxels of the map below, at or above which a decoder block uses its split form. On smaller
            maps summing the weights costs more than it saves, measured at 256 and 512 channels.
        max_interleaved_channels: Channels up to which eight small convolutions in one are faster than a transposed
            convolution.
    """

    slab_values: int = 2**22
    min_norm_voxels: int = 2**12
    min_split_voxels: int = 256
    max_interleaved_channels: int = 64
