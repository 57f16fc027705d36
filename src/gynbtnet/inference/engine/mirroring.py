"""Which mirror images of a window are averaged: of the axes that a model saw mirrored, those that are asked for."""

from collections.abc import Sequence

from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.runtime.errors import BadInput


def tta_axes(settings: PredictionSettings, trained: Sequence[Axis], model: str) -> tuple[Axis, ...]:
    """Give the axes that are mirrored, in the order z, y, x.

    Args:
        settings: whether mirror images are averaged, and of which axes.
        trained: the axes that were mirrored in training.
        model: how a message names the model.

    Raises:
        BadInput: If the settings ask for an axis that was not mirrored in training.
    """
    if not settings.mirroring:
        return ()
    asked = trained if settings.mirrored_axes is None else settings.mirrored_axes
    untrained = [axis for axis in asked if axis not in trained]
    if untrained:
        raise BadInput(
            f"mirrored_axes asks for {', '.join(asked)}, but {model} was trained with "
            f"{', '.join(trained) or 'no axis'} mirrored; leave mirrored_axes out, or set mirroring to false."
        )
    return tuple(axis for axis in ALL_AXES if axis in asked)


def with_tta_axes(settings: PredictionSettings, trained: Sequence[Axis], model: str) -> PredictionSettings:
    """Give the settings that name the axes that are mirrored, for the record of a prediction.

    Raises:
        BadInput: as :func:`tta_axes`.
    """
    axes = tta_axes(settings, trained, model)
    return settings.model_copy(update={"mirroring": bool(axes), "mirrored_axes": axes or None})
