"""Export of models for other software, each with its model card.

:func:`export_model` writes a model in any format. The card has YAML front matter for the Hugging Face hub and the
sections of the AID-RT card.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.exports.bundle.bundle_export import export_bundle
    from gynbtnet.exports.card.model_card import CardInputs, ModelCard, make_card
    from gynbtnet.exports.model_export import ExportedModel, ExportFormat, export_model

__all__ = ["CardInputs", "ExportFormat", "ExportedModel", "ModelCard", "export_bundle", "export_model", "make_card"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bundle.bundle_export": ["export_bundle"],
        "card.model_card": ["CardInputs", "ModelCard", "make_card"],
        "model_export": ["ExportFormat", "ExportedModel", "export_model"],
    },
)
