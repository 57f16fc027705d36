"""Export of a model with its card, in any format."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from gynbtnet.exports.bundle.bundle_export import export_bundle
from gynbtnet.exports.card.model_card import CardInputs, make_card
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.encoder_export import export_encoder
from gynbtnet.inference.models.evaluated_settings import evaluated_settings
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_archive import CARD, open_archive, write_archive
from gynbtnet.inference.models.model_loading import load_model, run_folders
from gynbtnet.inference.models.nnunet_export import export_nnunet
from gynbtnet.inference.models.onnx_export import export_onnx
from gynbtnet.inference.models.stu_net_export import export_stu_net
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput


class ExportFormat(StrEnum):
    """Format of an exported model."""

    zip = "zip"
    nnunet = "nnunet"
    onnx = "onnx"
    stunet = "stunet"
    encoder = "encoder"
    bundle = "bundle"


@dataclass(frozen=True)
class ExportedModel:
    """Files of an exported model.

    Attributes:
        path: the model, a file or a folder.
        card: path of the model card; in a zip, that of the zip.
        open: missing parts of the card.
    """

    path: Path
    card: Path
    open: tuple[str, ...]


def export_model(
    model: Path,
    out: Path,
    to: ExportFormat,
    *,
    weights: Literal["last", "best"] | None = None,
    force: bool = False,
    inputs: CardInputs | None = None,
) -> ExportedModel:
    """Export a model with its card.

    Folders and zips contain the card as ``model_card.md``. Next to a single file there is one with its name, such as
    ``model.onnx`` and ``model.model_card.md``.

    Args:
        model: run folder, folder of a cross-validation (zip only), or a zip file of a run folder.
        out: file or folder to write.
        to: format.
        weights: "last": end of the training; "best": best validation score; None: those that the model was evaluated
            with, otherwise the last ones.
        force: replace an earlier export.
        inputs: files that fill in the card; None: only what the model's own folder contains.

    Returns:
        The paths, and the missing parts of the card.

    Raises:
        BadInput: If the model can't be exported in this format, ``out`` exists and ``force`` is not set, or an input of
            the card doesn't belong to the model. Also if a zip would lack the weights that its settings name.
    """
    if to is ExportFormat.zip and model.is_file():
        raise BadInput(f"{model} is a file already; copy it, or export the folder that it was made of.")
    evaluated = evaluated_settings(model)
    chosen = weights or (evaluated.weights if evaluated else "last")
    if to is ExportFormat.zip and chosen == "last" and evaluated is not None and evaluated.weights == "best":
        raise BadInput(
            f"{model} was evaluated with its best weights, which a zip file with --weights last lacks; leave --weights "
            "out."
        )
    with _opened(model) as folder:
        runs = run_folders(folder)
        if to is not ExportFormat.zip and runs != [folder]:
            raise BadInput(
                f"{model} is a cross-validation of {len(runs)} networks, and this format takes one; export each fold, "
                f"such as {runs[0].name}, or all of them with --to zip."
            )
        card = make_card(folder, inputs, weights=chosen, library="monai" if to is ExportFormat.bundle else "gynbtnet")
    if to is ExportFormat.zip:
        load_model(model, PredictionSettings(weights=chosen, device="cpu"))
        write_archive(model, out, weights=chosen, force=force, card=card.text)
        return ExportedModel(out, out, card.open)
    if to is ExportFormat.encoder:
        export_encoder(model, out, weights=chosen, force=force, card=card.text)
        return ExportedModel(out, out / CARD, card.open)
    loaded = Model.load(model, weights=chosen, device="cpu")
    if to is ExportFormat.nnunet:
        export_nnunet(loaded, out, force=force, card=card.text)
        return ExportedModel(out, out / CARD, card.open)
    if to is ExportFormat.bundle:
        export_bundle(loaded, out, card, settings=evaluated, force=force)
        return ExportedModel(out, out / CARD, card.open)
    beside = out.with_name(f"{out.stem}.{CARD}")
    if beside.exists() and not force:
        raise BadInput(f"{beside} exists already; replace it with --force, or give another name.")
    write = export_onnx if to is ExportFormat.onnx else export_stu_net
    write(loaded, out, force=force)
    with atomic_write(beside) as partial:
        partial.write_text(card.text, encoding="utf-8")
    return ExportedModel(out, beside, card.open)


@contextmanager
def _opened(model: Path) -> Iterator[Path]:
    """Yield the folder of a model, that of a zip file extracted for the time of the context."""
    if model.is_file():
        with open_archive(model) as folder:
            yield folder
    else:
        yield model
