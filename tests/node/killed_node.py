"""Runs a node whose process kills itself at a given moment: ``killed_node.py SETTINGS_JSON MOMENT``."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))

from fake_prediction import DirectWorker  # type: ignore[import-not-found]

import gynbtnet.node.service as service
from gynbtnet.node.configuration import NodeConfiguration
from gynbtnet.node.delivery import send
from gynbtnet.node.inbox import Inbox
from gynbtnet.node.outgoing import write_outgoing
from gynbtnet.node.queue import Queue


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


def main(settings: str, moment: str) -> None:
    third = iter(range(1, 100))
    match moment:
        case "stored":  # the third instance is on the disk, but the queue doesn't know it
            mock.patch.object(Inbox, "store", killing(Inbox.store, when=lambda *_: next(third) == 3)).start()
        case "arrived":
            mock.patch.object(Queue, "arrived", killing(Queue.arrived, when=lambda *_: next(third) == 3)).start()
        case "complete" | "held" | "ignored":
            mock.patch.object(Queue, "complete", killing(Queue.complete)).start()
        case "running":
            mock.patch.object(Queue, "set", killing(Queue.set, when=lambda *a, **_: a[2] == "running")).start()
        case "failed":
            mock.patch.object(Queue, "set", killing(Queue.set, when=lambda *a, **_: a[2] == "failed")).start()
        case "predicted":
            mock.patch.object(Queue, "produced", killing(Queue.produced, before=True)).start()
        case "produced":
            mock.patch.object(Queue, "produced", killing(Queue.produced)).start()
        case "outgoing":
            mock.patch.object(service, "write_outgoing", killing(write_outgoing)).start()
        case "received":
            mock.patch.object(service, "send", killing(send)).start()
        case "sent":
            mock.patch.object(Queue, "delivered", killing(Queue.delivered)).start()
    configuration = NodeConfiguration.model_validate_json(settings)
    service.Node(configuration, DirectWorker()).run(Event(), lambda: print("ready", flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
