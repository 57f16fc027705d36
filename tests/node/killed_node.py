"""Runs a node whose process kills itself at a given moment: ``killed_node.py SETTINGS_JSON MOMENT``."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gynbtnet.node.service as service
from gynbtnet.node.configuration import NodeConfiguration
from gynbtnet.node.inbox import Inbox
from gynbtnet.node.jobs import Job, JobResult
from gynbtnet.node.queue import Queue
from gynbtnet.node.worker import Worker


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killing(function: Callable[..., Any], *, before: bool = False, when: Callable[..., bool] = lambda *_, **__: True):
    def replaced(*arguments: Any, **options: Any) -> Any:
        if before and when(*arguments, **options):
            kill()
        result = function(*arguments, **options)
        if when(*arguments, **options):
            kill()
        return result

    return replaced


class DirectWorker(Worker):
    _result: JobResult | None = None

    def submit(self, job: Job) -> None:
        from fake_prediction import predict_cube

        predict_cube(job)
        self._result = JobResult(job, None, 0.1)

    def result(self) -> JobResult | None:
        result, self._result = self._result, None
        return result


def main(settings: str, moment: str) -> None:
    third = iter(range(1, 100))
    match moment:
        case "stored":  # the third instance is on the disk, but the queue doesn't know it
            Inbox.store = killing(Inbox.store, when=lambda *_: next(third) == 3)
        case "arrived":
            Queue.arrived = killing(Queue.arrived, when=lambda *_: next(third) == 3)
        case "complete":
            Queue.complete = killing(Queue.complete)
        case "running":
            Queue.set = killing(Queue.set, when=lambda *a, **_: a[2] == "running")
        case "predicted":
            Queue.produced = killing(Queue.produced, before=True)
        case "produced":
            Queue.produced = killing(Queue.produced)
        case "outgoing":
            service.write_outgoing = killing(service.write_outgoing)
        case "received":
            service.send = killing(service.send)
        case "sent":
            Queue.delivered = killing(Queue.delivered)
    configuration = NodeConfiguration.model_validate_json(settings)
    service.Node(configuration, DirectWorker()).run(Event(), lambda: print("ready", flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
