"""Training loop of all stages: set up, train an epoch, validate, save a checkpoint."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import cast

import psutil
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from gynbtnet.runtime.errors import BadInput, Diverged, Paused
from gynbtnet.runtime.measured_choice import MeasuredChoice
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import console, progress_bar, write_log_line
from gynbtnet.training.allocator import keep_freed_memory
from gynbtnet.training.checkpoint import (
    Progress,
    averaged_weights,
    load_checkpoint,
    read_progress,
    save_checkpoint,
    save_weights,
    whole_state,
    whole_weights,
)
from gynbtnet.training.context import TrainingContext
from gynbtnet.training.cost.cost_meter import CostMeter, UsedTime
from gynbtnet.training.cost.run_clock import RunClock
from gynbtnet.training.data.batches import Batch, load_batches, move_batch
from gynbtnet.training.devices import check_budget, explain_ended_process
from gynbtnet.training.memory import explain_out_of_memory, micro_batch_size, split_batch
from gynbtnet.training.network_form import candidate_forms, choose_form, compiled_only_on_request, in_form
from gynbtnet.training.optimisation.averaged_weights import AveragedWeights
from gynbtnet.training.optimisation.optimiser import make_optimiser
from gynbtnet.training.recording.run_log import RunLog
from gynbtnet.training.recording.training_pictures import save_figure
from gynbtnet.training.run_folder import note_environment
from gynbtnet.training.trained_parameters import encoder_parameters, parameter_groups

_LOG = logging.getLogger(__name__)
_SMOOTHING = 0.9  # weight of the earlier epochs in the smoothed validation score, as in nnU-Net
_PATCHES_IN_PICTURE = 3
_STEPS_PER_NOTE = 50  # between two readings of the loss from a GPU
_ENDLESS = 2**62  # batches of a run whose budget is in seconds
_METRICS = (
    *("step", "learning_rate", "loss", "seconds", "cpu_seconds", "gpu_seconds"),
    *("images_per_second", "data_wait_share", "memory_gb"),
)


@dataclass(frozen=True)
class _Learner:
    """Network and optimiser, as they are and as they are wrapped for the devices.

    Attributes:
        network: the objective's network, wrapped.
        optimizer: optimiser of the network's parameters.
        wrapped_optimizer: the same optimiser, wrapped.
        patches_at_once: patches of a batch that a device computes together.
        averaged: average of the weights; None if the run averages none.
        encoder: parameters that aren't trained in ``decoder_first_share``; empty without it.
        form: form in which the network computes, or the choice between several.
    """

    network: nn.Module
    optimizer: Optimizer
    wrapped_optimizer: Optimizer
    patches_at_once: int
    averaged: AveragedWeights | None
    encoder: Sequence[nn.Parameter]
    form: MeasuredChoice

    def with_averages(self) -> AbstractContextManager[None]:
        """Give the network the averaged weights inside of the context, if the run averages them."""
        return nullcontext() if self.averaged is None else self.averaged.in_use()


def fit(context: TrainingContext) -> None:
    """Train the objective's network from the newest checkpoint to the last epoch, or until patience ends.

    An interrupted run that is started again ends with the same weights as an uninterrupted one, bit for bit on a CPU.
    Batches, masks and learning rate are functions of seed and step, and everything else is in the checkpoint. A
    finished run stays unchanged. Without validation, the best weights are those of the lowest training loss.

    Args:
        context: the objects of the run.

    Raises:
        BadInput: If a scan can't be read, memory runs out, the checkpoint is damaged or another process has ended.
        Diverged: If the loss is no longer finite.
        Paused: If ``settings.time_budget_hours`` are used up before the run has ended.
    """
    progress = read_progress(context.run.state)
    if progress.ended:
        return
    check_budget(context.settings.budget, context.settings.accelerator)
    if context.is_over(progress):
        raise BadInput(
            f"The checkpoint in {context.run.state} is damaged: epoch {progress.epoch} is the end of the run, but the "
            "run is not marked as ended. Delete it to start the run again, or give another output folder."
        )
    if progress.epoch == 0:
        progress = replace(progress, used=UsedTime(0.0, 0.0 if context.fabric.device.type == "cuda" else None))
    with (
        explain_ended_process(context.fabric),
        explain_out_of_memory(context.global_batch_size, context.batches.augmentation.patch_size),
    ):
        _train(context, progress)


def _train(context: TrainingContext, progress: Progress) -> None:
    fabric, objective, settings, run = context.fabric, context.objective, context.settings, context.run
    keep_freed_memory()
    learner = _setup(context, progress)
    if fabric.is_global_zero:
        parameters = sum(parameter.numel() for parameter in objective.network.parameters())
        machine = {"device": str(fabric.device), "processes": fabric.world_size, "parameters": parameters}
        note_environment(run, epochs_done=progress.epoch, **machine)
    stream = _remaining_batches(context, progress)
    columns = (*_METRICS, *objective.score_names)
    clock = RunClock(settings.time_budget_hours)
    cost = CostMeter(fabric, context.clock, progress.used)
    used = context.used(context.steps_done(progress), progress.used)
    with (
        RunLog(run.path, columns, progress.epoch, training=_METRICS) if fabric.is_global_zero else nullcontext() as log,
        progress_bar(objective.title, math.ceil(context.length), int(used), steps_per_line=0) as advance,
        compiled_only_on_request(learner.form),
    ):
        if progress.epoch and fabric.is_global_zero:
            console.print(
                f"{objective.title}: resumed after epoch {_position(context, progress)}; checkpoints are in {run.state}"
            )
        while not progress.ended:
            with cost.running():
                metrics = _train_epoch(context, learner, stream, progress, cost, advance)
            progress = replace(
                progress,
                epoch=progress.epoch + 1,
                patches_at_once=learner.patches_at_once,
                loss_scale=fabric.strategy.precision.state_dict(),
                used=cost.used(),
                network_form=learner.form.chosen,
            )
            metrics |= {name: value for name, value in asdict(progress.used).items() if value is not None}
            _check_loss(context, progress, metrics["loss"])
            if context.runs_validation:
                with learner.with_averages():
                    scores = _validate(context, progress)
                metrics |= scores
                progress = _judge(progress, _score(context, scores, metrics["loss"]), context)
            progress, out_of_time = fabric.broadcast((progress, clock.is_over()))
            if log is not None:
                log.append(progress.epoch, metrics)
                write_log_line(_log_line(context, progress, metrics))
            with learner.with_averages():
                picture = _save_picture(context, progress)
            if log is not None and picture is not None:
                log.add_picture(progress.epoch, picture)
            _save_weights(context, learner, progress, out_of_time=out_of_time)
            if out_of_time and not progress.ended:
                raise Paused(
                    f"The time budget of {settings.time_budget_hours:g} h is used up after "
                    f"{_epochs_done(context, progress)} of the run in {run.path}; run the same command again to "
                    "continue it."
                )


def _setup(context: TrainingContext, progress: Progress) -> _Learner:
    """Wrap the network and its optimiser for the devices, and load the newest checkpoint into them."""
    fabric, settings, network = context.fabric, context.settings, context.objective.network
    patches_at_once = _patches_at_once(context, progress)
    if fabric.world_size > 1 and settings.strategy == "ddp":
        for parameter in filter(attrgetter("requires_grad"), network.parameters()):
            parameter.register_hook(partial(_with_strides_of, parameter))  # type: ignore[no-untyped-call]
    forms = candidate_forms(network, settings, fabric.device, context.total_steps)
    form = choose_form(network, forms, progress.network_form, fabric.device, fabric.broadcast)
    wrapped = fabric.setup_module(torch.compile(network) if settings.compile else network)  # type: ignore[arg-type]
    groups = parameter_groups(network, settings, encoder_rate=context.encoder_rate, head_rate=context.head_rate)
    loss_is_scaled = getattr(fabric.strategy.precision, "scaler", None) is not None
    optimizer = make_optimiser(groups, settings, loss_is_scaled=loss_is_scaled)
    wrapped_optimizer = cast(Optimizer, fabric.setup_optimizers(optimizer))
    averaged = None if settings.ema is None else AveragedWeights(network, settings.ema)
    encoder = [] if context.trains_encoder(0) else encoder_parameters(network)
    load_checkpoint(context.run.state, network, optimizer, averaged)
    if progress.loss_scale:
        fabric.strategy.precision.load_state_dict(dict(progress.loss_scale))
    return _Learner(wrapped, optimizer, wrapped_optimizer, patches_at_once, averaged, encoder, form)


def _patches_at_once(context: TrainingContext, progress: Progress) -> int:
    """Return how many patches of a device's batch are computed together: all, or as many as fit if this is set.

    A resumed run takes as many as before, so that its sums are rounded the same way.
    """
    batches, settings = context.batches, context.settings
    if not settings.auto_micro_batch:
        return batches.batch_size
    if progress.patches_at_once is not None:
        return math.gcd(progress.patches_at_once, batches.batch_size)
    patches = micro_batch_size(context.fabric, context.objective, batches[0], settings.micro_batch_memory_gb)
    _LOG.info("Memory holds %d of the %d patches of a batch at a time.", patches, batches.batch_size)
    return patches


def _with_strides_of(parameter: nn.Parameter, gradient: torch.Tensor) -> torch.Tensor:
    """Return the gradient with the strides of DDP's buckets; autograd leaves those of axes of length 1 undefined."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def _remaining_batches(context: TrainingContext, progress: Progress) -> Iterator[Batch]:
    """Yield the batches of all optimiser steps that the run has not done yet."""
    per_step = context.settings.gradient_accumulation_steps
    end = _ENDLESS if context.total_steps is None else context.total_steps * per_step
    numbers = range(context.steps_done(progress) * per_step, end)
    return load_batches(context.batches, numbers, context.settings.workers)


def _train_epoch(
    context: TrainingContext,
    learner: _Learner,
    stream: Iterator[Batch],
    progress: Progress,
    cost: CostMeter,
    advance: Callable[..., None],
) -> dict[str, float]:
    """Do the optimiser steps of the next epoch, until the run has used its budget, and return its metrics."""
    meter = _Meter(context.fabric, stream)
    learner.network.train()
    step, epoch_end = context.steps_done(progress), context.steps_done(progress) + context.steps_per_epoch
    used = context.used(step, progress.used)
    while step < epoch_end and used < context.length:
        learning_rate = context.learning_rate(used)
        for group in learner.optimizer.param_groups:
            group["lr"] = learning_rate * group["rate_factor"]
        for parameter in learner.encoder:
            parameter.requires_grad_(context.trains_encoder(used))
        _optimise(context, learner, meter)
        if learner.averaged is not None:
            learner.averaged.update(step + 1)
        step, before = step + 1, used
        used = context.used(step, cost.used() if context.total_steps is None else progress.used)
        advance(int(used) - int(before), note=meter.note)
    return {"step": step, "learning_rate": learning_rate, **meter.metrics()}


def _optimise(context: TrainingContext, learner: _Learner, meter: "_Meter") -> None:
    """Accumulate the gradients of the next batches and do one optimiser step."""
    fabric, settings, network = context.fabric, context.settings, learner.network
    parts_per_step = settings.gradient_accumulation_steps * (context.batches.batch_size // learner.patches_at_once)
    parts = (
        part
        for _ in range(settings.gradient_accumulation_steps)
        for part in split_batch(meter.next_batch(), learner.patches_at_once)
    )
    for number, part in enumerate(parts, start=1):
        with (
            fabric.no_backward_sync(network, enabled=number < parts_per_step),  # type: ignore[arg-type]
            learner.form.timed() as form,
            in_form(form, part) as formed,
        ):
            loss = context.objective.loss(network, formed)
            fabric.backward(loss / parts_per_step)
        meter.add(loss)
    learner.form.end_step()
    if settings.max_grad_norm is not None:
        fabric.clip_gradients(
            network,
            learner.wrapped_optimizer,
            max_norm=settings.max_grad_norm,
            error_if_nonfinite=False,
        )
    learner.wrapped_optimizer.step()
    learner.wrapped_optimizer.zero_grad()


def _check_loss(context: TrainingContext, progress: Progress, loss: float) -> None:
    if not math.isfinite(loss):
        raise Diverged(
            f"The loss became {loss} in epoch {progress.epoch} of the run in {context.run.path}; start it again in "
            "another folder with a lower learning_rate, or with precision 32-true."
        )


def _validate(context: TrainingContext, progress: Progress) -> dict[str, float]:
    """Return the validation scores by name; an empty dict if this epoch isn't validated."""
    settings, validation = context.settings, context.validation
    due = context.is_over(progress) or progress.epoch % settings.validation_interval_epochs == 0
    if validation is None or not due:
        return {}
    context.objective.network.eval()
    with torch.no_grad(), context.fabric.autocast():
        move = context.fabric.to_device
        patches = (move_batch(validation[number], move) for number in range(settings.validation_patches))
        return context.objective.validate(patches)


def _score(context: TrainingContext, scores: Mapping[str, float], loss: float) -> float | None:
    """Return the score that selects the best weights, higher is better; None if this epoch has none.

    Without validation, it is the negative training loss.
    """
    if context.validation is None:
        return -loss
    return context.objective.score(scores) if scores else None


def _judge(progress: Progress, score: float | None, context: TrainingContext) -> Progress:
    """Return the progress with the smoothed score updated, and marked as ended if the run has ended."""
    settings = context.settings
    if score is not None and not math.isnan(score):
        past = progress.smoothed
        smoothed = score if past is None else _SMOOTHING * past + (1 - _SMOOTHING) * score
        progress = replace(progress, smoothed=smoothed)
        if progress.best is None or smoothed > progress.best:
            progress = replace(progress, best=smoothed, best_epoch=progress.epoch)
    epochs_since_best = 0 if progress.best is None else progress.epoch - progress.best_epoch
    out_of_patience = settings.patience is not None and epochs_since_best >= settings.patience
    return replace(progress, ended=out_of_patience or context.is_over(progress))


def _log_line(context: TrainingContext, progress: Progress, metrics: Mapping[str, float]) -> str:
    """Describe an epoch for a log without a terminal: loss, first validation score, its seconds, and the time left."""
    objective = context.objective
    names = [name for name in ("loss", *objective.score_names[:1]) if name in metrics]
    values = ", ".join(f"{name} {metrics[name]:.3f}" for name in names)
    line = f"{objective.title}: epoch {_position(context, progress)}, {values}, {metrics['seconds']:.1f} s"
    epochs_left = 0 if context.settings.budget or progress.ended else context.settings.epochs - progress.epoch
    return f"{line}, left {timedelta(seconds=round(epochs_left * metrics['seconds']))}" if epochs_left > 0 else line


def _position(context: TrainingContext, progress: Progress) -> str:
    """Return the number of the epoch with that of all epochs or, with a budget, with the used share."""
    if context.settings.budget is None:
        return f"{progress.epoch}/{context.settings.epochs}"
    share = min(1, context.used(context.steps_done(progress), progress.used) / context.length)
    return f"{progress.epoch}, {share:.0%} of the budget"


def _epochs_done(context: TrainingContext, progress: Progress) -> str:
    if context.settings.budget is None:
        return f"{progress.epoch} of {counted(context.settings.epochs, 'epoch')}"
    return counted(progress.epoch, "epoch")


def _save_picture(context: TrainingContext, progress: Progress) -> Path | None:
    """Save a picture of the first validation patches if one is due in this epoch; return its path in one process."""
    settings, validation = context.settings, context.validation
    due = progress.ended or progress.epoch % settings.picture_interval_epochs == 0
    if validation is None or not due or not context.runs_validation:
        return None
    context.objective.network.eval()
    with torch.no_grad(), context.fabric.autocast():
        numbers = range(min(settings.validation_patches, _PATCHES_IN_PICTURE))
        patches = [move_batch(validation[number], context.fabric.to_device) for number in numbers]
        picture = context.objective.picture(patches)
    if not context.fabric.is_global_zero:
        return None
    path = context.run.pictures / f"epoch_{progress.epoch:04d}.png"
    save_figure(picture, path)
    return path


def _save_weights(context: TrainingContext, learner: _Learner, progress: Progress, *, out_of_time: bool) -> None:
    """Save the best weights, the last weights and the checkpoint, each if it is due in this epoch."""
    fabric, settings, run = context.fabric, context.settings, context.run
    network = context.objective.network
    if progress.best_epoch == progress.epoch:
        weights = averaged_weights(network, learner.averaged) if learner.averaged else whole_weights(network)
        if fabric.is_global_zero:
            save_weights(weights, run.best_weights)
    if progress.ended or out_of_time or progress.epoch % settings.checkpoint_interval_epochs == 0:
        state = whole_state(network, learner.optimizer, learner.averaged)
        if fabric.is_global_zero:
            if progress.ended:  # not earlier: the presence of these weights marks a finished run
                save_weights(state.averaged or state.weights, run.last_weights)
            save_checkpoint(run.state, state, progress)
    fabric.barrier()


class _Meter:
    """Loss, speed and memory of one epoch; it fetches the batches to measure the time spent waiting for them."""

    def __init__(self, fabric: Fabric, stream: Iterator[Batch]) -> None:
        self._fabric, self._stream = fabric, stream
        self._losses: list[torch.Tensor] = []
        self._note = ""
        self._waited, self._images = 0.0, 0
        self._start = time.perf_counter()

    def next_batch(self) -> Batch:
        start = time.perf_counter()
        batch = move_batch(next(self._stream), self._fabric.to_device)
        self._waited += time.perf_counter() - start
        self._images += len(batch["image"]) * self._fabric.world_size
        return batch

    def add(self, loss: torch.Tensor) -> None:
        self._losses.append(loss.detach())

    @property
    def note(self) -> str:
        """Mean loss until now; on a GPU that of some steps ago, because reading it makes the GPU wait."""
        if self._fabric.device.type == "cpu" or len(self._losses) % _STEPS_PER_NOTE == 0:
            self._note = f"loss {self._mean_loss:.3f}"
        return self._note

    @property
    def _mean_loss(self) -> float:
        losses = torch.stack(self._losses).tolist()
        return float(sum(losses) / len(losses))

    def metrics(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._start
        loss = cast(torch.Tensor, self._fabric.all_reduce(torch.tensor(self._mean_loss), reduce_op="mean"))
        cuda = self._fabric.device.type == "cuda"
        used = torch.cuda.max_memory_allocated() if cuda else psutil.Process().memory_info().rss
        return {
            "loss": loss.item(),
            "seconds": seconds,
            "images_per_second": self._images / seconds,
            "data_wait_share": self._waited / seconds,
            "memory_gb": used / 1e9,
        }
