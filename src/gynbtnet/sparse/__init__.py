"""Block-sparse submanifold convolution, and the masked autoencoder of stage 1 that uses it.

The encoder of :mod:`gynbtnet.networks` computes on visible blocks only, with the parameters that it has as a dense
network.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.sparse.active_blocks import ActiveBlocks
    from gynbtnet.sparse.dense_masked_autoencoder import DenseMaskedAutoencoder
    from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
    from gynbtnet.sparse.masking import draw_active_blocks
    from gynbtnet.sparse.sparse_encoder import sparse_encode

__all__ = [
    "ActiveBlocks",
    "DenseMaskedAutoencoder",
    "MaskedAutoencoder",
    "draw_active_blocks",
    "sparse_encode",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "active_blocks": ["ActiveBlocks"],
        "masking": ["draw_active_blocks"],
        "sparse_encoder": ["sparse_encode"],
        "masked_autoencoder": ["MaskedAutoencoder"],
        "dense_masked_autoencoder": ["DenseMaskedAutoencoder"],
    },
)
