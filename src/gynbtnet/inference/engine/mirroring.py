"""Axes that test-time augmentation mirrors: those that were mirrored in training, or some of them."""

from collections.abc import Sequence

from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import ALL_AXES, Axis
from gynbtnet.runtime.errors import BadInput


def tta_axes(settings: PredictionSettings, trained: Sequence[Axis], model: str) -> tuple[Axis, ...]:
    """Return the mirrored axes, in the order z, y, x.

    Args:
        settings: turns mirroring on or off, and may restrict the axes.
        trained: axes that were mirrored in training.
        model: name of the model in a message.

    Raises:
        BadInput: If the settings ask for an axis that was not mirrored in training.
    """
    if not settings.mirroring:
        return ()
    axes = trained if settings.mirrored_axes is None else settings.mirrored_axes
    if any(axis not in trained for axis in axes):
        raise BadInput(
            f"mirrored_axes asks for {', '.join(axes)}, but {model} was trained with "
            f"{', '.join(trained) or 'no axis'} mirrored; leave mirrored_axes out, or set mirroring to false."
        )
    return tuple(axis for axis in ALL_AXES if axis in axes)


def with_tta_axes(settings: PredictionSettings, trained: Sequence[Axis], model: str) -> PredictionSettings:
    """Return settings with the axes that are in fact mirrored, for the record of a prediction.

    Raises:
        BadInput: If the settings ask for an axis that was not mirrored in training.
    """
    axes = tta_axes(settings, trained, model)
    return settings.model_copy(update={"mirroring": bool(axes), "mirrored_axes": axes or None})


def tta_signature(settings: PredictionSettings, plan: Plan, members: int = 1) -> str:
    """Describe the forward passes that are averaged, such as "1, mirrored zyx": members and mirrored axes.

    The agreement of forward passes depends on which they are. Two agreements are comparable only if their signatures
    are equal.

    Args:
        settings: test-time augmentation.
        plan: plan of the model.
        members: number of networks that are averaged.

    Raises:
        BadInput: If the settings ask for an axis that was not mirrored in training.
    """
    axes = "".join(tta_axes(settings, plan.mirror_axes, "the model"))
    return f"{members}, mirrored {axes or 'nothing'}"
