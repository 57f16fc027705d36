"""Block-sparse submanifold convolution, and the masked autoencoder of stage 1 that uses it.

The encoder of :mod:`gynbtnet.networks` computes on visible blocks only, with the parameters that it has as a dense
network.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.sparse.active_blocks import ActiveBlocks
    from gynbtnet.sparse.channels_last import as_channels_last, use_channels_last_layers
    from gynbtnet.sparse.dense_masked_autoencoder import DenseMaskedAutoencoder
    from gynbtnet.sparse.device_rules import CPU_RULES, DeviceRules, cuda_rules, rules_for, values_per_chunk
    from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
    from gynbtnet.sparse.masking import draw_active_blocks
    from gynbtnet.sparse.registered_parts import register_decoder, register_mask, register_target
    from gynbtnet.sparse.sparse_encoder import sparse_encode

__all__ = [
    "CPU_RULES",
    "ActiveBlocks",
    "DenseMaskedAutoencoder",
    "DeviceRules",
    "MaskedAutoencoder",
    "as_channels_last",
    "cuda_rules",
    "draw_active_blocks",
    "register_decoder",
    "register_mask",
    "register_target",
    "rules_for",
    "sparse_encode",
    "use_channels_last_layers",
    "values_per_chunk",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "active_blocks": ["ActiveBlocks"],
        "channels_last": ["as_channels_last", "use_channels_last_layers"],
        "device_rules": ["CPU_RULES", "DeviceRules", "cuda_rules", "rules_for", "values_per_chunk"],
        "masking": ["draw_active_blocks"],
        "registered_parts": ["register_decoder", "register_mask", "register_target"],
        "sparse_encoder": ["sparse_encode"],
        "masked_autoencoder": ["MaskedAutoencoder"],
        "dense_masked_autoencoder": ["DenseMaskedAutoencoder"],
    },
)
