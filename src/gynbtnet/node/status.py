"""Status of a node, as rows without identifiers of patients."""

import time
from dataclasses import dataclass

from gynbtnet.node.queue import Queue, Series, State

_WAITING = (State.complete, State.running)


@dataclass(frozen=True)
class StatusRow:
    """Status of a series.

    Attributes:
        key: hash of the SeriesInstanceUID.
        state: see :class:`~gynbtnet.node.queue.State`.
        caller: AE title of the sender.
        instances: number of received instances.
        minutes: minutes since the last change.
        details: reason, place in the queue, or state of the deliveries.
    """

    key: str
    state: State
    caller: str
    instances: int
    minutes: float
    details: str


def status_rows(queue: Queue) -> tuple[StatusRow, ...]:
    """Return the status of all series in the order of arrival.

    Args:
        queue: queue of the node.

    Returns:
        A row for each series.
    """
    now, expected = time.time(), queue.expected_seconds()
    rows = queue.series()
    waiting = [row.key for row in rows if row.state == State.running]
    waiting += [row.key for row in rows if row.state == State.complete]
    return tuple(
        StatusRow(
            key=row.key,
            state=row.state,
            caller=row.caller,
            instances=row.instances,
            minutes=max(0.0, (now - row.changed) / 60),
            details=_details(row, waiting, expected, queue),
        )
        for row in rows
    )


def _details(row: Series, waiting: list[str], expected: float | None, queue: Queue) -> str:
    if row.state in _WAITING:
        place = waiting.index(row.key) + 1
        until = "" if expected is None else f", about {max(1, round(place * expected / 60))} min until the result"
        return f"number {place} in the queue{until}"
    deliveries = [delivery for delivery in queue.deliveries() if delivery.key == row.key]
    sentences = [row.reason] if row.reason else []
    for delivery in deliveries:
        if delivery.version != row.version or delivery.reason == row.reason != "":
            continue
        reason = f" ({delivery.reason} {delivery.attempts}×)" if delivery.state == "waiting" and delivery.reason else ""
        sentences.append(f"{delivery.destination}: {delivery.state}{reason}")
    return "; ".join(sentences)
