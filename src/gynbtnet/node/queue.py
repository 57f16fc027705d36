"""Queue of a node: the state of every series and of every delivery, in an SQLite database."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from threading import RLock
from typing import Any

from gynbtnet.node.folders import REVIEW
from gynbtnet.runtime.errors import BadInput

UNFINISHED = ("waiting", "refused")
"""States of a delivery that keep its series from being sent."""

_BUSY_SECONDS = 30.0  # another thread or `gynbtnet node --retry` may be writing

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', instances INTEGER NOT NULL DEFAULT 0,
    caller TEXT NOT NULL DEFAULT '', received REAL NOT NULL, changed REAL NOT NULL, content TEXT NOT NULL DEFAULT '',
    repeats INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, model TEXT NOT NULL DEFAULT '',
    destinations TEXT NOT NULL DEFAULT '', seconds REAL, released INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS deliveries (
    key TEXT NOT NULL, version TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL, reason TEXT NOT NULL DEFAULT '', changed REAL NOT NULL,
    PRIMARY KEY (key, version, destination)
);
CREATE TABLE IF NOT EXISTS watched (path TEXT PRIMARY KEY, mark TEXT NOT NULL);
"""


class State(StrEnum):
    """State of a series."""

    receiving = "receiving"
    complete = "complete"
    running = "running"
    produced = "produced"
    sent = "sent"
    held = "held"
    failed = "failed"
    ignored = "ignored"
    deleted = "deleted"


@dataclass(frozen=True)
class Series:
    """Row of a series.

    Attributes:
        key: hash of the SeriesInstanceUID.
        state: see :class:`State`.
        reason: reason of a state that needs a person, or of ignoring.
        instances: number of received instances; 0 after the scan was deleted.
        caller: AE title of the sender, or ``watch`` or ``web``.
        received: time of the first instance, in seconds since 1970.
        changed: time of the last new instance or, later, of the last change of the state.
        content: digest of the instances that the result is or will be made from.
        repeats: how often a person asked for another result of the same content.
        attempts: how often a worker died on it.
        model: name of the model.
        destinations: names of the receivers.
        seconds: duration of the prediction.
        released: a person accepted the slices as they are.
    """

    key: str
    state: State
    reason: str
    instances: int
    caller: str
    received: float
    changed: float
    content: str
    repeats: int
    attempts: int
    model: str
    destinations: tuple[str, ...]
    seconds: float | None
    released: bool

    @property
    def version(self) -> str:
        """Name of the result of this content."""
        return f"{self.content}-{self.repeats}" if self.repeats else self.content

    def is_current(self, version: str) -> bool:
        """Return whether a version is that of the present result, or of a review of it."""
        return _is_result_or_review(version, self.version)


@dataclass(frozen=True)
class Delivery:
    """A result on its way to a destination.

    Attributes:
        key: series.
        version: version of the result.
        destination: name of the receiver.
        state: "waiting", "sent", "refused" or "replaced".
        attempts: number of failed attempts.
        due: time of the next attempt, in seconds since 1970.
        reason: why the last attempt failed.
        changed: time of the last change.
    """

    key: str
    version: str
    destination: str
    state: str
    attempts: int
    due: float
    reason: str
    changed: float


class Queue:
    """The database. Every method is one transaction, which a kill leaves done or undone.

    The inbox is the truth about which instances exist: rows follow it, see :meth:`arrived` and :meth:`recover`. So the
    database needn't be flushed to the disk with every instance.

    Args:
        path: file of the database; it is made if it is absent.

    Raises:
        BadInput: If the file isn't a database of a node.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = RLock()  # one connection for all threads
        try:
            self._database = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise BadInput(f"The queue {self.path} can't be opened ({error}); check the node's folder.") from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException as error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                if isinstance(error, sqlite3.DatabaseError):
                    raise BadInput(
                        f"The queue {self.path} can't be used ({error}); check the node's folder."
                    ) from error
                raise

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._database.execute(statement, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise BadInput(f"The queue {self.path} can't be read ({error}); check the node's folder.") from error

    def arrived(self, key: str, caller: str, instances: int = 1) -> None:
        """Note new instances of a series, which were stored before; a finished series begins again."""
        now = time.time()
        with self._transaction() as database:
            database.execute(
                "INSERT INTO series (key, state, instances, caller, received, changed) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET state = excluded.state, instances = instances + excluded.instances, "
                "changed = excluded.changed, reason = '', attempts = 0, released = 0",
                (key, State.receiving, instances, caller, now, now),
            )

    def recover(self, contents: dict[str, tuple[str, int]]) -> None:
        """Make the rows agree with the inbox after a start.

        Args:
            contents: digest and number of the instances of each series in the inbox.
        """
        rows = {row.key: row for row in self.series()}
        for key, (content, instances) in contents.items():
            row = rows.get(key)
            if row is None:
                self.arrived(key, "", instances)
            elif row.instances != instances or (row.state != State.receiving and row.content not in ("", content)):
                self.arrived(key, row.caller, instances - row.instances)
            elif row.state == State.receiving:
                self.set(key, State.receiving)  # the pause while the node didn't run is no sign of completeness
            elif row.state == State.running:
                self.set(key, State.complete)

    def set(self, key: str, state: State, *, unless_changed_from: str | None = None, **values: Any) -> bool:
        """Change the state of a series.

        Args:
            key: series.
            state: the new state.
            unless_changed_from: change nothing if the content is another one or instances are arriving.
            **values: other columns; ``reason`` is emptied if it is not among them.

        Returns:
            Whether the row was changed.
        """
        columns = {"state": state, "reason": "", "changed": time.time()} | values
        assignment = ", ".join(f"{name} = ?" for name in columns)
        condition, parameters = "key = ?", [*columns.values(), key]
        if unless_changed_from is not None:
            condition += " AND content = ? AND state != ?"
            parameters += [unless_changed_from, State.receiving]
        with self._transaction() as database:
            return database.execute(f"UPDATE series SET {assignment} WHERE {condition}", parameters).rowcount > 0

    def complete(self, key: str, seen: float, **values: Any) -> bool:
        """Change the state of a series that was judged, unless an instance has arrived since it was read.

        Args:
            key: series.
            seen: ``changed`` of the row that was judged.
            **values: columns, with ``state``.
        """
        columns = {"reason": "", "changed": time.time()} | values
        if "destinations" in columns:
            columns["destinations"] = json.dumps(columns["destinations"])
        assignment = ", ".join(f"{name} = ?" for name in columns)
        with self._transaction() as database:
            return (
                database.execute(
                    f"UPDATE series SET {assignment} WHERE key = ? AND state = ? AND changed = ?",
                    [*columns.values(), key, State.receiving, seen],
                ).rowcount
                > 0
            )

    def series(self, *states: State) -> tuple[Series, ...]:
        """Return the series in any of the states, or all, in the order of arrival."""
        names = ", ".join(field.name for field in fields(Series))
        condition = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        rows = self._rows(f"SELECT {names} FROM series {condition} ORDER BY received, key", states)
        return tuple(_as_series(row) for row in rows)

    def find(self, key: str) -> Series | None:
        """Return a series by its key or by the beginning of the key; None if there is none or several."""
        found = [row for row in self.series() if row.key.startswith(key)]
        return found[0] if len(found) == 1 else None

    def produced(
        self, key: str, content: str, version: str, destinations: Sequence[str], seconds: float | None
    ) -> bool:
        """Note a finished prediction with its deliveries, unless other instances have arrived meanwhile.

        Deliveries of earlier results, and those to former destinations, are replaced. What was refused waits again.

        Args:
            key: series.
            content: digest of the instances that the prediction was made from.
            version: version of the result.
            destinations: names of the receivers.
            seconds: duration of the prediction; None: the one that was noted before.

        Returns:
            Whether the instances are still the same.
        """
        now = time.time()
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE series SET state = ?, reason = '', seconds = coalesce(?, seconds), changed = ? "
                "WHERE key = ? AND content = ? AND state != ?",
                (State.produced, seconds, now, key, content, State.receiving),
            ).rowcount
            if not changed:
                return False
            unfinished = database.execute(
                "SELECT version, destination FROM deliveries WHERE key = ? AND state IN (?, ?)", (key, *UNFINISHED)
            ).fetchall()
            database.executemany(
                "UPDATE deliveries SET state = 'replaced', changed = ? "
                "WHERE key = ? AND version = ? AND destination = ?",
                [
                    (now, key, other, destination)
                    for other, destination in unfinished
                    if not _is_result_or_review(other, version) or destination not in destinations
                ],
            )
            database.executemany(
                "INSERT INTO deliveries (key, version, destination, state, due, changed) "
                "VALUES (?, ?, ?, 'waiting', ?, ?) ON CONFLICT (key, version, destination) DO UPDATE "
                "SET state = 'waiting', attempts = 0, due = excluded.due, reason = '', "
                "changed = excluded.changed WHERE state = 'replaced'",
                [(key, version, destination, now, now) for destination in destinations],
            )
            database.execute(
                "UPDATE deliveries SET state = 'waiting', attempts = 0, due = ?, reason = '', changed = ? "
                "WHERE key = ? AND state = 'refused'",
                (now, now, key),
            )
            self._finish(database, key, now)
        return True

    def deliver_review(self, key: str, version: str, destinations: Sequence[str]) -> bool:
        """Note the deliveries of a review; return whether they are new. Its series is then not sent any more."""
        now = time.time()
        with self._transaction() as database:
            new = database.executemany(
                "INSERT OR IGNORE INTO deliveries (key, version, destination, state, due, changed) "
                "VALUES (?, ?, ?, 'waiting', ?, ?)",
                [(key, version, destination, now, now) for destination in destinations],
            ).rowcount
            if new > 0:
                database.execute(
                    "UPDATE series SET state = ?, changed = ? WHERE key = ? AND state = ?",
                    (State.produced, now, key, State.sent),
                )
        return new > 0

    def deliveries(self, *states: str) -> tuple[Delivery, ...]:
        """Return the deliveries in any of the states, or all, in the order in which they are due."""
        names = ", ".join(field.name for field in fields(Delivery))
        condition = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        rows = self._rows(f"SELECT {names} FROM deliveries {condition} ORDER BY due, key, destination", states)
        return tuple(Delivery(*row) for row in rows)

    def delivered(self, delivery: Delivery) -> None:
        """Note that a destination has everything; the last one makes the series sent."""
        now = time.time()
        with self._transaction() as database:
            database.execute(
                "UPDATE deliveries SET state = 'sent', due = ?, reason = '', changed = ? "
                "WHERE key = ? AND version = ? AND destination = ?",
                (now, now, delivery.key, delivery.version, delivery.destination),
            )
            self._finish(database, delivery.key, now)

    def postpone(self, delivery: Delivery, due: float, reason: str) -> None:
        """Note a failed attempt and the time of the next one, unless the delivery was replaced meanwhile."""
        with self._transaction() as database:
            self._update_waiting(database, delivery, "waiting", delivery.attempts + 1, due, reason)

    def refuse(self, delivery: Delivery, reason: str) -> None:
        """Note a delivery that must not be sent, unless it was replaced meanwhile; its series has failed."""
        with self._transaction() as database:
            if self._update_waiting(database, delivery, "refused", delivery.attempts, delivery.due, reason):
                database.execute(
                    "UPDATE series SET state = ?, reason = ?, changed = ? WHERE key = ? AND state IN (?, ?)",
                    (State.failed, reason, time.time(), delivery.key, State.produced, State.sent),
                )

    def retry(self, key: str) -> str:
        """Do again what a person asks for; return what that is.

        Waiting deliveries become due. A held or failed series is checked again, and predicted unless it has a result;
        refused deliveries of the result are then tried again. A series whose results are all sent gets another result.

        Args:
            key: key of the series.

        Raises:
            BadInput: If there is no such series, or nothing to do again, or its scan was deleted.
        """
        row = self.find(key)
        if row is None:
            raise BadInput(f"There is no series {key} in the queue, or several; `--status` lists them.")
        with self._transaction() as database:
            waiting = database.execute(
                "UPDATE deliveries SET due = ? WHERE key = ? AND state = 'waiting'", (time.time(), row.key)
            ).rowcount
        is_busy = row.state in (State.receiving, State.complete, State.running)
        if waiting and (is_busy or row.state in (State.produced, State.sent)):
            return "it is sent now"
        if is_busy:
            raise BadInput(f"The series {row.key} is {row.state}; there is nothing to retry.")
        if not row.instances:
            raise BadInput(f"The scan of the series {row.key} was deleted; send it again.")
        if row.state == State.sent:
            self.set(row.key, State.complete, repeats=row.repeats + 1, attempts=0)
            return "it gets another result"
        self.set(row.key, State.receiving, attempts=0, changed=0.0)
        return "it is checked again"

    def release(self, key: str) -> None:
        """Let a held series be predicted although the check of its slices failed; its faults are repaired.

        Raises:
            BadInput: If there is no such series, or it isn't held.
        """
        row = self.find(key)
        if row is None:
            raise BadInput(f"There is no series {key} in the queue, or several; `--status` lists them.")
        if row.state != State.held:
            raise BadInput(f"The series {row.key} is {row.state}, not held; there is nothing to release.")
        self.set(row.key, State.receiving, changed=0.0, released=1)

    def note_deleted(self, row: Series, state: State) -> bool:
        """Note that the scan of a sent series is deleted, unless the series has changed.

        The row stays, so that the same scan makes no second result if it is sent again.

        Args:
            row: the series, as it was read.
            state: sent, or deleted if there are no results either.

        Returns:
            Whether the row was changed.
        """
        with self._transaction() as database:
            return (
                database.execute(
                    "UPDATE series SET state = ?, instances = 0 WHERE key = ? AND state = ? AND changed = ?",
                    (state, row.key, State.sent, row.changed),
                ).rowcount
                > 0
            )

    def watched(self, path: str) -> str | None:
        """Return the mark of a file of the watched folder when it was taken in; None if it wasn't."""
        rows = self._rows("SELECT mark FROM watched WHERE path = ?", (path,))
        return rows[0][0] if rows else None

    def note_watched(self, path: str, mark: str) -> None:
        """Note a file of the watched folder that was taken in."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO watched (path, mark) VALUES (?, ?)", (path, mark))

    def expected_seconds(self) -> float | None:
        """Return the median duration of the last predictions, in seconds; None before the first."""
        rows = self._rows("SELECT seconds FROM series WHERE seconds IS NOT NULL ORDER BY changed DESC LIMIT 21")
        durations = sorted(row[0] for row in rows)
        return durations[len(durations) // 2] if durations else None

    @staticmethod
    def _update_waiting(
        database: sqlite3.Connection, delivery: Delivery, state: str, attempts: int, due: float, reason: str
    ) -> bool:
        changed = database.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, due = ?, reason = ?, changed = ? "
            "WHERE key = ? AND version = ? AND destination = ? AND state = 'waiting'",
            (state, attempts, due, reason, time.time(), delivery.key, delivery.version, delivery.destination),
        )
        return changed.rowcount > 0

    @staticmethod
    def _finish(database: sqlite3.Connection, key: str, now: float) -> None:
        """Make a produced series sent if nothing is left to send."""
        database.execute(
            "UPDATE series SET state = ?, changed = ? WHERE key = ? AND state = ? AND NOT EXISTS "
            "(SELECT 1 FROM deliveries WHERE key = ? AND state IN (?, ?))",
            (State.sent, now, key, State.produced, key, *UNFINISHED),
        )


def _is_result_or_review(version: str, result: str) -> bool:
    return version == result or version.startswith(f"{result}{REVIEW}")


def _as_series(row: tuple[Any, ...]) -> Series:
    values = dict(zip((field.name for field in fields(Series)), row, strict=True))
    return Series(
        **values
        | {
            "state": State(values["state"]),
            "destinations": _as_names(values["destinations"]),
            "released": bool(values["released"]),
        }
    )


def _as_names(text: str) -> tuple[str, ...]:
    """Return the names in a JSON list, or in the comma-separated text of databases of earlier versions."""
    if text.startswith("["):
        with suppress(ValueError):
            return tuple(json.loads(text))
    return tuple(text.split(",")) if text else ()
