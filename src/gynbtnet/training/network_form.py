"""Forms in which a GPU computes a dense network: as it is, channels last, or compiled. The fastest is measured."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from gynbtnet.networks.unet import GynBTNet
from gynbtnet.runtime.measured_choice import MeasuredChoice
from gynbtnet.sparse.channels_last import as_channels_last
from gynbtnet.training.settings import TrainingSettings

if TYPE_CHECKING:
    from gynbtnet.training.data.batches import Batch  # needs libraries that a prediction doesn't

_LOG = logging.getLogger(__name__)
_STEPS_WORTH_COMPILING = 2000  # compilation takes as long as some hundred steps of preset L


def candidate_forms(
    network: nn.Module, settings: TrainingSettings, device: torch.device, steps: int | None
) -> tuple[str, ...]:
    """Return the forms that a run compares, or the only one that it may use.

    Args:
        network: network of the objective. Only a ``GynBTNet`` has several forms: stage 1 is sparse.
        settings: settings of the run.
        device: device of the run.
        steps: optimiser steps of the whole run; None if its budget is in seconds.

    Returns:
        Names of the forms: ``plain``, ``channels_last`` and ``compiled``.
    """
    if not isinstance(network, GynBTNet) or settings.compile:
        return ("plain",)
    if settings.network_form != "auto":
        return (settings.network_form,)
    if device.type == "cpu":
        return ("plain",)
    compiles = settings.strategy != "fsdp" and steps is not None and steps >= _STEPS_WORTH_COMPILING
    return ("plain", "channels_last", *["compiled"] * (compiles and can_compile(device)))


def choose_form(
    network: nn.Module,
    candidates: tuple[str, ...],
    remembered: str | None,
    device: torch.device,
    agree: Callable[[str], str] = str,
) -> MeasuredChoice:
    """Return the choice between the forms, and prepare the network for them, in place.

    Args:
        network: network of the objective, before it is wrapped for the devices.
        candidates: forms to compare.
        remembered: form that an earlier part of the run chose; it is used without another measurement.
        device: device of the run.
        agree: as for :class:`~gynbtnet.runtime.measured_choice.MeasuredChoice`.

    Returns:
        The choice.
    """
    ways = (remembered,) if remembered in candidates and remembered is not None else candidates
    if "compiled" in ways:
        for region in (cast(GynBTNet, network).encoder, cast(GynBTNet, network).decoder):
            region.compile()
    return MeasuredChoice("Time of a step", ways, clock=device_clock(device), agree=agree)


def device_clock(device: torch.device) -> Callable[[], float]:
    """Return a clock that waits for the work that the device was given.

    Args:
        device: device of the run.

    Returns:
        A function that returns seconds.
    """

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


@contextmanager
def compiled_only_on_request(choice: MeasuredChoice) -> Iterator[None]:
    """Compute compiled regions as they are, except in :func:`in_form`; validation isn't worth a compilation."""
    if choice.chosen in ("plain", "channels_last"):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def in_form(form: str, batch: "Batch") -> Iterator["Batch"]:
    """Compute the network in a form inside of the context, and give the batch that it needs for this."""
    if form == "compiled":
        with torch.compiler.set_stance("default"):
            yield batch
    elif form == "channels_last":
        yield cast("Batch", {**batch, "image": as_channels_last(batch["image"])})
    else:
        yield batch


def can_compile(device: torch.device) -> bool:
    """Return whether torch.compile works for a device; the reason why it doesn't is logged.

    Args:
        device: device of the run.
    """
    try:
        x = torch.ones(8, device=device, requires_grad=True)
        torch.compile(_double)(x).sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # a missing compiler, Triton or driver fails in many ways
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        _LOG.warning("Networks aren't compiled on %s, because torch.compile fails: %s", device, reason)
        return False
    return True


def _double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x
