"""Prediction settings that a model was evaluated with, stored in its folder, so that it is used as it was evaluated."""

from pathlib import Path

from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model_archive import open_archive
from gynbtnet.runtime.json_files import read_json, write_json

EVALUATED_SETTINGS = "prediction_settings.json"
"""Name of the file in a model's folder."""

_OF_THE_CONTOURS = {"overlap", "mirroring", "mirrored_axes", "roi", "weights", "review_dsc_threshold"}


def save_evaluated_settings(settings: PredictionSettings, folder: Path) -> None:
    """Write the settings that change the contours into a model's folder, atomically.

    Args:
        settings: settings of the predictions that were scored.
        folder: run folder, or folder of a cross-validation.
    """
    write_json(settings.model_dump(mode="json", include=_OF_THE_CONTOURS), folder / EVALUATED_SETTINGS)


def evaluated_settings(model: Path) -> PredictionSettings | None:
    """Return the prediction settings that a model was evaluated with; None if it has none.

    Args:
        model: run folder, folder of a cross-validation, or a zip file of either.

    Raises:
        BadInput: If the file is damaged.
    """
    if model.is_file():
        with open_archive(model) as unpacked:
            return evaluated_settings(unpacked)
    path = model / EVALUATED_SETTINGS
    return read_json(PredictionSettings, path, "delete it to predict with the defaults") if path.is_file() else None
