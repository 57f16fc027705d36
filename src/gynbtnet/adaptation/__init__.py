"""Adaptation of a model to one patient, by the reviewed contours of her earlier fractions.

The last levels of the decoder are trained for at most a minute. The model stays as it is. A structure is taken from the
adapted network only if it was better on an earlier fraction that was left out.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.adaptation.adapt import adapt_model
    from gynbtnet.adaptation.adapted_model import AdaptedModel
    from gynbtnet.adaptation.earlier_scans import read_earlier_fractions
    from gynbtnet.adaptation.patches import EarlierFraction
    from gynbtnet.adaptation.settings import AdaptationSettings

__all__ = [
    "AdaptationSettings",
    "AdaptedModel",
    "EarlierFraction",
    "adapt_model",
    "read_earlier_fractions",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "adapt": ["adapt_model"],
        "adapted_model": ["AdaptedModel"],
        "earlier_scans": ["read_earlier_fractions"],
        "patches": ["EarlierFraction"],
        "settings": ["AdaptationSettings"],
    },
)
