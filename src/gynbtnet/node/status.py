"""Status of a node, as rows without identifiers of patients."""

import time
from dataclasses import dataclass

from gynbtnet.node.folders import REVIEW
from gynbtnet.node.queue import UNFINISHED, Delivery, Queue, Series, State

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
    """Return the status of all series that aren't deleted, in the order of arrival.

    Args:
        queue: queue of the node.

    Returns:
        A row for each series.
    """
    now, expected = time.time(), queue.expected_seconds()
    rows = queue.series(*(state for state in State if state != State.deleted))
    waiting = [row.key for row in rows if row.state == State.running]
    waiting += [row.key for row in rows if row.state == State.complete]
    deliveries: dict[str, list[Delivery]] = {}
    for delivery in queue.deliveries():
        deliveries.setdefault(delivery.key, []).append(delivery)
    return tuple(
        StatusRow(
            key=row.key,
            state=row.state,
            caller=row.caller,
            instances=row.instances,
            minutes=max(0.0, (now - row.changed) / 60),
            details=_details(row, waiting, expected, deliveries.get(row.key, [])),
        )
        for row in rows
    )


def _details(row: Series, waiting: list[str], expected: float | None, deliveries: list[Delivery]) -> str:
    if row.state in _WAITING:
        place = waiting.index(row.key) + 1
        until = "" if expected is None else f", about {max(1, round(place * expected / 60))} min until the result"
        return f"number {place} in the queue{until}"
    sentences = [row.reason] if row.reason else []
    for delivery in deliveries:
        if delivery.reason == row.reason != "":
            continue
        if row.is_current(delivery.version) or delivery.state in UNFINISHED:
            sentences.append(_sentence(row, delivery))
    return "; ".join(sentences)


def _sentence(row: Series, delivery: Delivery) -> str:
    review = delivery.version.partition(REVIEW)[2]
    what = f", review {review}" if review else ""
    what = what if row.is_current(delivery.version) else f"{what}, earlier result"
    times = f" {delivery.attempts}×" if delivery.state == "waiting" else ""
    reason = f" ({delivery.reason}{times})" if delivery.state in UNFINISHED and delivery.reason else ""
    return f"{delivery.destination}{what}: {delivery.state}{reason}"
