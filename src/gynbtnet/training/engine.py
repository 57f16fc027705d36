"""One training loop for every stage: set up, train, validate, save."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import cast

import psutil
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import AdamW

from gynbtnet.runtime.errors import BadInput, Paused
from gynbtnet.runtime.progress import progress_bar, write_log_line
from gynbtnet.training.allocator import keep_freed_memory
from gynbtnet.training.checkpoint import (
    Progress,
    is_sharded,
    load_checkpoint,
    read_progress,
    save_checkpoint,
    save_weights,
    whole_state,
    whole_weights,
)
from gynbtnet.training.data.batches import Batch, Batches, load_batches
from gynbtnet.training.memory import explain_out_of_memory, micro_batch_size, split_batch
from gynbtnet.training.objectives.objective import Objective
from gynbtnet.training.run_folder import RunFolder, note_environment
from gynbtnet.training.run_log import RunLog
from gynbtnet.training.schedule import cosine_with_warm_up
from gynbtnet.training.settings import TrainingSettings
from gynbtnet.training.trained_parameters import parameter_groups
from gynbtnet.training.training_pictures import save_figure

_LOG = logging.getLogger(__name__)
_SMOOTHING = 0.9  # nnU-Net's weight of the past in the smoothed validation score
_PICTURED = 3  # validation patches in a picture
_FIGURES = ("step", "learning_rate", "loss", "seconds", "images_per_second", "data_wait_share", "memory_gb")


def fit(
    fabric: Fabric,
    objective: Objective,
    batches: Batches,
    validation: Batches | None,
    settings: TrainingSettings,
    run: RunFolder,
) -> None:
    """Train ``objective.network`` from the newest checkpoint in ``run`` to the end of ``settings.epochs``, or patience.

    A run that was killed and is called again ends with the weights of an uninterrupted one, to the bit on a CPU:
    batches, masks and learning rate are functions of seed and step, and the rest is in the checkpoint. A finished run
    is left alone. Without ``validation`` the best weights are those of the lowest training loss.

    Raises:
        BadInput: where the loss is no longer a number, a scan can't be read, or memory runs out.
        Paused: where ``settings.time_budget_hours`` are over before the run has ended.
    """
    progress = read_progress(run.state)
    if not progress.ended and progress.epoch >= settings.epochs:
        raise BadInput(
            f"The checkpoint in {run.state} is of epoch {progress.epoch} of {settings.epochs}, and doesn't say that "
            "the run has ended: it is damaged; delete it to start the run again, or give another output folder."
        )
    if not progress.ended:
        with explain_out_of_memory(batches.batch_size * batches.devices, batches.augmentation.patch_size):
            _train(fabric, objective, batches, validation, settings, run)


def _train(
    fabric: Fabric,
    objective: Objective,
    batches: Batches,
    validation: Batches | None,
    settings: TrainingSettings,
    run: RunFolder,
) -> None:
    keep_freed_memory()
    shown = batches.batch_size * batches.devices * settings.gradient_accumulation_steps
    steps_per_epoch = settings.steps_per_epoch or math.ceil(len(batches.cases) / shown)
    steps = settings.epochs * steps_per_epoch
    warm_up = settings.warm_up_epochs * steps_per_epoch or min(round(settings.warm_up_share * steps), steps - 1)
    progress = read_progress(run.state)
    at_once = _patches_at_once(fabric, objective, batches, settings, progress)
    parts_per_step = settings.gradient_accumulation_steps * (batches.batch_size // at_once)

    if fabric.world_size > 1 and settings.strategy == "ddp":
        for parameter in filter(attrgetter("requires_grad"), objective.network.parameters()):
            parameter.register_hook(partial(_laid_out_as, parameter))  # type: ignore[no-untyped-call]
    network = fabric.setup_module(torch.compile(objective.network) if settings.compile else objective.network)  # type: ignore[arg-type]
    optimizer = AdamW(parameter_groups(objective.network, settings), settings.learning_rate)
    wrapped_optimizer = cast(AdamW, fabric.setup_optimizers(optimizer))
    load_checkpoint(run.state, objective.network, optimizer)
    if progress.loss_scale:
        fabric.strategy.precision.load_state_dict(dict(progress.loss_scale))
    if fabric.is_global_zero:
        note_environment(run, epochs_done=progress.epoch, device=str(fabric.device), processes=fabric.world_size)

    done = progress.epoch * steps_per_epoch
    stream = load_batches(
        batches,
        range(done * settings.gradient_accumulation_steps, steps * settings.gradient_accumulation_steps),
        settings.workers,
    )
    columns = (*_FIGURES, *objective.score_names)
    clock = _Clock(settings.time_budget_hours)
    with (
        RunLog(run.path, columns, progress.epoch) if fabric.is_global_zero else nullcontext() as log,
        progress_bar(objective.title, steps, done, steps_per_line=0) as advance,
    ):
        while not progress.ended:
            meter = _Meter(fabric, stream)
            network.train()
            for step in range(progress.epoch * steps_per_epoch, (progress.epoch + 1) * steps_per_epoch):
                learning_rate = cosine_with_warm_up(step, steps, settings.learning_rate, warm_up)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate
                parts = (
                    part
                    for _ in range(settings.gradient_accumulation_steps)
                    for part in split_batch(meter.next_batch(), at_once)
                )
                for number, part in enumerate(parts, start=1):
                    with fabric.no_backward_sync(network, enabled=number < parts_per_step):
                        loss = objective.loss(network, part)
                        fabric.backward(loss / parts_per_step)
                    meter.add(loss)
                if settings.max_grad_norm is not None:
                    fabric.clip_gradients(
                        network, wrapped_optimizer, max_norm=settings.max_grad_norm, error_if_nonfinite=False
                    )
                wrapped_optimizer.step()
                wrapped_optimizer.zero_grad()
                advance(note=f"loss {meter.mean_loss:.3f}")

            progress = replace(
                progress,
                epoch=progress.epoch + 1,
                patches_at_once=at_once,
                loss_scale=fabric.strategy.precision.state_dict(),
            )
            figures = {"step": step + 1, "learning_rate": learning_rate, **meter.figures()}
            if not math.isfinite(figures["loss"]):
                raise BadInput(
                    f"The loss became {figures['loss']} in epoch {progress.epoch} of the run in {run.path}; start it "
                    "again in another folder with a lower learning_rate, or with precision 32-true."
                )
            if fabric.is_global_zero or is_sharded(objective.network):  # which computes on all devices or not at all
                scores = _validate(fabric, objective, validation, settings, progress)
                figures |= scores
                progress = _judge(progress, _score(objective, validation, scores, figures["loss"]), settings)
            progress, out_of_time = fabric.broadcast((progress, clock.is_over()))
            if log is not None:
                log.append(progress.epoch, figures)
                write_log_line(_line(objective, settings, progress, figures))
            _draw(fabric, objective, validation, settings, progress, run)
            _keep(fabric, objective, optimizer, settings, progress, run, out_of_time)
            if out_of_time and not progress.ended:
                raise Paused(
                    f"The time budget of {settings.time_budget_hours:g} h is used up after {progress.epoch} of "
                    f"{settings.epochs} epochs of the run in {run.path}; the same command goes on from there."
                )


def _line(objective: Objective, settings: TrainingSettings, progress: Progress, figures: Mapping[str, float]) -> str:
    """An epoch for a log without a terminal: its loss, the first of its scores if it has any, and its seconds."""
    shown = [name for name in ("loss", *objective.score_names[:1]) if name in figures]
    values = ", ".join(f"{name} {figures[name]:.3f}" for name in shown)
    return f"{objective.title}: epoch {progress.epoch}/{settings.epochs}, {values}, {figures['seconds']:.1f} s"


def _patches_at_once(
    fabric: Fabric, objective: Objective, batches: Batches, settings: TrainingSettings, progress: Progress
) -> int:
    """Patches of a device's batch whose gradients are computed together: all, or where it is asked, as many as fit.

    A run that goes on takes as many as before, so that its sums round as they did.
    """
    if not settings.auto_micro_batch:
        return batches.batch_size
    if progress.patches_at_once is not None:
        return math.gcd(progress.patches_at_once, batches.batch_size)
    at_once = micro_batch_size(fabric, objective, batches[0], settings.micro_batch_memory_gb)
    _LOG.info("Memory holds %d of the %d patches of a batch at a time.", at_once, batches.batch_size)
    return at_once


def _laid_out_as(parameter: nn.Parameter, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient with the strides of DDP's buckets, also along axes of length 1, where autograd lets them be any."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def _validate(
    fabric: Fabric,
    objective: Objective,
    validation: Batches | None,
    settings: TrainingSettings,
    progress: Progress,
) -> dict[str, float]:
    """The scores of this epoch by name; none if it isn't one to validate."""
    if validation is None or (
        progress.epoch != settings.epochs and progress.epoch % settings.validation_interval_epochs
    ):
        return {}
    objective.network.eval()
    with torch.no_grad(), fabric.autocast():
        patches = (fabric.to_device(validation[number]) for number in range(settings.validation_patches))
        return objective.validate(patches)


def _score(objective: Objective, validation: Batches | None, scores: Mapping[str, float], loss: float) -> float | None:
    """What the best weights are chosen by, higher is better: without validation the loss; None without scores."""
    if validation is None:
        return -loss
    return objective.score(scores) if scores else None


def _judge(progress: Progress, score: float | None, settings: TrainingSettings) -> Progress:
    """Smooth ``score`` (higher is better) into ``progress`` and see whether the run has ended."""
    if score is not None and not math.isnan(score):
        past = progress.smoothed
        smoothed = score if past is None else _SMOOTHING * past + (1 - _SMOOTHING) * score
        progress = replace(progress, smoothed=smoothed)
        if progress.best is None or smoothed > progress.best:
            progress = replace(progress, best=smoothed, best_epoch=progress.epoch)
    waited = 0 if progress.best is None else progress.epoch - progress.best_epoch
    out_of_patience = settings.patience is not None and waited >= settings.patience
    return replace(progress, ended=out_of_patience or progress.epoch == settings.epochs)


def _draw(
    fabric: Fabric,
    objective: Objective,
    validation: Batches | None,
    settings: TrainingSettings,
    progress: Progress,
    run: RunFolder,
) -> None:
    """A picture of the first validation patches, where this epoch is one for it."""
    due = progress.ended or progress.epoch % settings.picture_interval_epochs == 0
    if validation is None or not due or not (fabric.is_global_zero or is_sharded(objective.network)):
        return
    objective.network.eval()
    with torch.no_grad(), fabric.autocast():
        patches = range(min(settings.validation_patches, _PICTURED))
        picture = objective.picture([fabric.to_device(validation[number]) for number in patches])
    if fabric.is_global_zero:
        save_figure(picture, run.pictures / f"epoch_{progress.epoch:04d}.png")


def _keep(
    fabric: Fabric,
    objective: Objective,
    optimizer: AdamW,
    settings: TrainingSettings,
    progress: Progress,
    run: RunFolder,
    out_of_time: bool,
) -> None:
    """Write the best and the last weights and the checkpoint, each where this epoch is one for it."""
    if progress.best_epoch == progress.epoch:
        weights = whole_weights(objective.network)
        if fabric.is_global_zero:
            save_weights(weights, run.best_weights)
    if progress.ended or out_of_time or progress.epoch % settings.checkpoint_interval_epochs == 0:
        state = whole_state(objective.network, optimizer)
        if fabric.is_global_zero:
            if progress.ended:  # and not before: who finds these weights may take the run for finished
                save_weights(state.weights, run.last_weights)
            save_checkpoint(run.state, state, progress)
    fabric.barrier()


class _Clock:
    """Whether the hours that a run has been given, from the start of this process, leave time for another epoch."""

    def __init__(self, hours: float | None) -> None:
        self._end = math.inf if hours is None else psutil.Process().create_time() + 3600 * hours
        self._last, self._longest = time.time(), 0.0

    def is_over(self) -> bool:
        """Asked at the end of each epoch: whether one as long as the longest so far would end too late."""
        now = time.time()
        self._last, self._longest = now, max(self._longest, now - self._last)
        return now + self._longest > self._end


class _Meter:
    """Loss, speed and memory of one epoch; hands out its batches to know how long they were waited for."""

    def __init__(self, fabric: Fabric, stream: Iterator[Batch]) -> None:
        self._fabric, self._stream = fabric, stream
        self._losses: list[float] = []
        self._waited, self._images = 0.0, 0
        self._start = time.perf_counter()

    def next_batch(self) -> Batch:
        asked = time.perf_counter()
        batch: Batch = self._fabric.to_device(next(self._stream))
        self._waited += time.perf_counter() - asked
        self._images += len(batch["image"]) * self._fabric.world_size
        return batch

    def add(self, loss: torch.Tensor) -> None:
        self._losses.append(loss.item())

    @property
    def mean_loss(self) -> float:
        return sum(self._losses) / len(self._losses)

    def figures(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._start
        loss = cast(torch.Tensor, self._fabric.all_reduce(torch.tensor(self.mean_loss), reduce_op="mean"))
        cuda = self._fabric.device.type == "cuda"
        used = torch.cuda.max_memory_allocated() if cuda else psutil.Process().memory_info().rss
        return {
            "loss": loss.item(),
            "seconds": seconds,
            "images_per_second": self._images / seconds,
            "data_wait_share": self._waited / seconds,
            "memory_gb": used / 1e9,
        }
