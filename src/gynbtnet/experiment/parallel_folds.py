"""Training of several folds in parallel, each in a process."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Queue, active_children, get_context
from pathlib import Path

import torch

from gynbtnet.runtime.errors import BadInput, Paused
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import progress_bar, without_progress
from gynbtnet.training.run_folder import RunFolder

_POLL_SECONDS = 2.0  # interval between two updates of the progress bar


def run_folds_in_parallel(
    run_fold: Callable[[int], None], runs: Mapping[int, Path], jobs: int, epochs: int | None
) -> None:
    """Run every fold in a process, ``jobs`` at a time, with one progress bar for all.

    Args:
        run_fold: function that trains the fold with a given number; must be picklable.
        runs: run folder of each fold, by its number.
        jobs: number of processes.
        epochs: number of epochs per fold, which the progress bar counts; None: a budget ends them, and it counts folds.

    Raises:
        BadInput: If a process was killed.
        Paused: If the time budget is used up before all folds have ended.
    """
    context = get_context("spawn")  # CUDA and PyTorch's threads don't survive a fork
    gpus = _visible_gpus()
    assigned_gpus = context.Queue()
    for job in range(jobs):
        assigned_gpus.put(gpus[job % len(gpus)] if gpus else None)
    pool = ProcessPoolExecutor(jobs, context, initializer=_set_up_process, initargs=(assigned_gpus, jobs))
    done = _count_done(runs.values(), epochs)
    try:
        futures = [pool.submit(_run_without_progress, run_fold, fold) for fold in runs]
        with progress_bar("Folds", (epochs or 1) * len(runs), done, steps_per_line=1) as advance:
            while wait(futures, timeout=_POLL_SECONDS).not_done:
                before, done = done, _count_done(runs.values(), epochs)
                advance(done - before)
            advance(_count_done(runs.values(), epochs) - done)
    except BaseException:
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    _raise_first_error(futures)


def _raise_first_error(futures: Sequence[Future[None]]) -> None:
    """Raise the first error of any fold; a used-up time budget is only raised if there is no other error."""
    errors = [error for future in futures if (error := future.exception())]
    paused = [error for error in errors if isinstance(error, Paused)]
    for error in errors:
        if isinstance(error, BrokenProcessPool):
            raise BadInput(
                "The system killed a process that trained a fold, probably because memory ran out; train fewer folds "
                "in parallel with a lower --jobs. The same command resumes from the checkpoints."
            ) from error
        if error not in paused:
            raise error
    if paused:
        raise Paused(
            f"The time budget is used up with {len(paused)} of {counted(len(futures), 'fold')} unfinished; the same "
            "command resumes the run."
        )


def _run_without_progress(run_fold: Callable[[int], None], fold: int) -> None:
    """Run a fold without its progress bars, since those of parallel folds would overwrite one another."""
    with without_progress():
        run_fold(fold)


def _set_up_process(assigned_gpus: "Queue[str | None]", jobs: int) -> None:
    """Give this process a GPU, if there is one, and its share of the CPU cores."""
    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    gpu = assigned_gpus.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def _visible_gpus() -> list[str]:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = range(torch.cuda.device_count()) if listed is None else filter(None, listed.split(","))
    return [str(name).strip() for name in names]


def _count_done(runs: Iterable[Path], epochs: int | None) -> int:
    """Return the number of logged epochs; of trained folds if their number of epochs isn't known."""
    if epochs is None:
        return sum(RunFolder(run).last_weights.is_file() for run in runs)
    logs = [RunFolder(run).log for run in runs]
    return sum(max(0, len(log.read_text().splitlines()) - 1) for log in logs if log.is_file())
