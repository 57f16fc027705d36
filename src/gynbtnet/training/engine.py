"""One training loop for every stage: set up, train, validate, save."""

import math
import time
from collections.abc import Iterator
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

from gynbtnet.errors import BadInput
from gynbtnet.progress import advancing
from gynbtnet.training.allocator import keep_freed_memory
from gynbtnet.training.batches import Batch, Batches, load
from gynbtnet.training.checkpoint import Progress, finished_epochs, load_checkpoint, save_checkpoint, save_weights
from gynbtnet.training.objective import Objective
from gynbtnet.training.pictures import save_figure
from gynbtnet.training.run_folder import RunFolder, note_environment
from gynbtnet.training.run_log import RunLog
from gynbtnet.training.schedule import cosine
from gynbtnet.training.settings import TrainingSettings

_SMOOTHING = 0.9  # nnU-Net's weight of the past in the smoothed validation score
_PICTURED = 3  # validation patches in a picture
_FIGURES = ("step", "learning_rate", "loss", "seconds", "images_per_second", "data_wait_share", "memory_gb")


def start_devices(settings: TrainingSettings) -> Fabric:
    """The processes, devices and number format that a run asks for, or the best this machine has.

    Raises:
        BadInput: where CUDA is asked for and absent, or bfloat16 on a CPU.
    """
    cuda = torch.cuda.is_available() and settings.accelerator != "cpu"
    if settings.accelerator == "cuda" and not cuda:
        raise BadInput(
            "accelerator is cuda, but PyTorch sees no CUDA device here; set it to auto, or install a CUDA build."
        )
    precision = settings.precision
    if precision == "auto":
        precision = "bf16-mixed" if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if precision == "bf16-mixed" and not cuda:
        # torch 2.13 with oneDNN: the weight's gradient of a 3×3×3 convolution on a grid of 2×4×4 is wrong or NaN
        raise BadInput(
            "precision bf16-mixed needs a GPU: on a CPU, PyTorch's convolutions get gradients wrong in bfloat16 on "
            "small grids, and are slow in it; set precision to auto."
        )
    fabric = Fabric(accelerator="cuda" if cuda else "cpu", devices=settings.devices, precision=precision)
    fabric.launch()
    return fabric


def fit(
    fabric: Fabric,
    objective: Objective,
    batches: Batches,
    validation: Batches | None,
    settings: TrainingSettings,
    run: RunFolder,
) -> None:
    """Train ``objective.network`` to the end of ``settings.epochs``, from the newest checkpoint in ``run``.

    A run that was killed and is called again ends with the weights of an uninterrupted one, to the bit on a CPU:
    batches, masks and learning rate are functions of seed and step, and the rest is in the checkpoint. A finished run
    is left alone. Without ``validation`` the best weights are those of the lowest training loss.

    Raises:
        BadInput: where the loss is no longer a number, or a scan can't be read.
    """
    if finished_epochs(run.state) == settings.epochs:
        return
    keep_freed_memory()
    shown = batches.batch_size * batches.devices * settings.accumulate
    steps_per_epoch = settings.steps_per_epoch or math.ceil(len(batches.cases) / shown)
    steps, warm_up = settings.epochs * steps_per_epoch, settings.warm_up_epochs * steps_per_epoch
    bare_optimizer = AdamW(objective.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    if fabric.world_size > 1:
        for parameter in filter(attrgetter("requires_grad"), objective.network.parameters()):
            parameter.register_hook(partial(_laid_out_as, parameter))  # type: ignore[no-untyped-call]
    network, optimizer = fabric.setup(objective.network, bare_optimizer)
    progress = load_checkpoint(run.state, objective.network, bare_optimizer)
    if fabric.is_global_zero:
        note_environment(run, epochs_done=progress.epoch, device=str(fabric.device), processes=fabric.world_size)

    done = progress.epoch * steps_per_epoch
    stream = load(batches, range(done * settings.accumulate, steps * settings.accumulate), settings.workers)
    columns = (*_FIGURES, *objective.score_names)
    with (
        RunLog(run.path, columns, progress.epoch) if fabric.is_global_zero else nullcontext() as log,
        advancing(objective.title, steps, done) as advance,
    ):
        for epoch in range(progress.epoch, settings.epochs):
            meter = _Meter(fabric, stream)
            network.train()
            for step in range(epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch):
                learning_rate = cosine(step, steps, settings.learning_rate, warm_up)
                for group in bare_optimizer.param_groups:
                    group["lr"] = learning_rate
                for part in range(1, settings.accumulate + 1):
                    batch = meter.next_batch()
                    with fabric.no_backward_sync(network, enabled=part < settings.accumulate):
                        loss = objective.loss(network, batch)
                        fabric.backward(loss / settings.accumulate)
                    meter.add(loss)
                if settings.clip is not None:
                    fabric.clip_gradients(network, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
                optimizer.step()
                optimizer.zero_grad()
                advance(note=f"loss {meter.mean_loss:.3f}")

            progress = replace(progress, epoch=epoch + 1)
            figures = {"step": step + 1, "learning_rate": learning_rate, **meter.figures()}
            if not math.isfinite(figures["loss"]):
                raise BadInput(
                    f"The loss became {figures['loss']} in epoch {progress.epoch} of the run in {run.path}; start it "
                    "again in another folder with a lower learning_rate, or with precision 32-true."
                )
            if log is not None:
                progress = _close_epoch(fabric, objective, validation, settings, run, progress, figures)
                log.append(progress.epoch, figures)
                ended = progress.epoch == settings.epochs
                if ended:  # and not before: who finds these weights may take the run for finished
                    save_weights(objective.network, run.last_weights)
                if ended or progress.epoch % settings.checkpoint_every == 0:
                    save_checkpoint(run.state, objective.network, bare_optimizer, progress)
            fabric.barrier()


def _laid_out_as(parameter: nn.Parameter, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient with the strides of DDP's buckets, also along axes of length 1, where autograd lets them be any."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def _close_epoch(
    fabric: Fabric,
    objective: Objective,
    validation: Batches | None,
    settings: TrainingSettings,
    run: RunFolder,
    progress: Progress,
    figures: dict[str, float],
) -> Progress:
    """Validate, draw and keep the best weights where this epoch is one for it; scores are added to ``figures``."""
    last = progress.epoch == settings.epochs
    if validation is None:
        return _keep_best(-figures["loss"], progress, objective.network, run)
    patches = range(settings.validation_patches)
    with torch.no_grad(), fabric.autocast():
        objective.network.eval()
        if last or progress.epoch % settings.picture_every == 0:
            picture = objective.picture([fabric.to_device(validation[number]) for number in patches[:_PICTURED]])
            save_figure(picture, run.pictures / f"epoch_{progress.epoch:04d}.png")
        if last or progress.epoch % settings.validate_every == 0:
            figures |= objective.validate(fabric.to_device(validation[number]) for number in patches)
            progress = _keep_best(objective.score(figures), progress, objective.network, run)
    return progress


def _keep_best(score: float, progress: Progress, network: nn.Module, run: RunFolder) -> Progress:
    """Smooth ``score`` (higher is better) into ``progress`` and write the weights where it is the best so far."""
    if math.isnan(score):
        return progress
    smoothed = score if progress.smoothed is None else _SMOOTHING * progress.smoothed + (1 - _SMOOTHING) * score
    if progress.best is not None and smoothed <= progress.best:
        return replace(progress, smoothed=smoothed)
    save_weights(network, run.best_weights)
    return replace(progress, smoothed=smoothed, best=smoothed)


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
