"""The worker: a separate process that predicts one series after the other, with the models in its memory.

The process that listens never imports PyTorch, so that it starts at once and stays small. If the worker dies, the
listener lives on, and a new worker is started for the next job.
"""

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection

from gynbtnet.node.jobs import Job, JobResult
from gynbtnet.runtime.errors import BadInput, traceback_without_message

PREDICT = "gynbtnet.node.prediction_job:predict_job"
"""Function that the worker calls with a job, as ``module:name``."""

_LOG = logging.getLogger(__name__)


class Worker:
    """A process that does one job at a time.

    Args:
        predict: function that does a job, as ``module:name``; it raises BadInput for a scan that it refuses.
        limit_seconds: duration after which a job counts as hung, and its process is killed.
    """

    def __init__(self, predict: str = PREDICT, limit_seconds: float = 3600.0) -> None:
        self._predict = predict
        self._limit = limit_seconds
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._job: Job | None = None
        self._began = 0.0

    @property
    def job(self) -> Job | None:
        """The job that is being done."""
        return self._job

    def submit(self, job: Job) -> None:
        """Begin a job; the process is started if there is none.

        Raises:
            RuntimeError: If another job is being done.
        """
        if self._job is not None:
            raise RuntimeError("the worker has a job")
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._pipe is not None
        self._job, self._began = job, time.monotonic()
        self._pipe.send(job)

    def result(self) -> JobResult | None:
        """Return the result of the job once it has ended; None before that, or if there is no job."""
        if self._job is None or self._process is None or self._pipe is None:
            return None
        job, seconds = self._job, time.monotonic() - self._began
        try:
            if self._pipe.poll():
                refused: str | None = self._pipe.recv()
                self._job = None
                return JobResult(job, refused, seconds)
        except (EOFError, OSError):
            return self._died(f"The worker's process ended (exit code {self._exit_code()}).", seconds)
        if not self._process.is_alive():
            return self._died(f"The worker's process ended (exit code {self._exit_code()}).", seconds)
        if seconds > self._limit:
            return self._died(f"The prediction took more than {self._limit / 60:.0f} minutes.", seconds)
        return None

    def stop(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = self._job = None

    def _start(self) -> None:
        self.stop()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._predict), daemon=True, name="gynbtnet-worker")
        self._process.start()
        theirs.close()

    def _exit_code(self) -> int | None:
        assert self._process is not None
        self._process.join(5)
        return self._process.exitcode

    def _died(self, reason: str, seconds: float) -> JobResult:
        job = self._job
        assert job is not None
        self.stop()
        return JobResult(job, reason, seconds, died=True)


def _work(pipe: Connection, predict: str) -> None:
    """Do jobs until the other end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which ends this process
    module, _, name = predict.partition(":")
    function: Callable[[Job], None] = getattr(import_module(module), name)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            function(job)
            refused = None
        except BadInput as problem:
            refused = str(problem)
        except Exception as error:  # the next series must be predicted all the same
            _LOG.debug("job failed: %s", traceback_without_message(error))
            refused = f"An unexpected error stopped the prediction ({type(error).__name__})."
        pipe.send(refused)
