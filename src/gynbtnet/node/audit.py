"""Audit log of a node: JSON lines without identifiers of patients."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

_MOST_BYTES = 10 * 2**20
_MOST_FILES = 20


class AuditLog:
    """A file to which events are appended; a file of 10 MiB is set aside, and the 20 last files are kept.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._logger = logging.Logger(f"audit of {path}", logging.INFO)  # not among the program's loggers
        handler = RotatingFileHandler(path, maxBytes=_MOST_BYTES, backupCount=_MOST_FILES, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._logger.addHandler(handler)

    def note(self, event: str, **details: str | float | int | bool | None) -> None:
        """Append an event.

        Args:
            event: name of the event, one word or a few.
            **details: AE titles, hashes of UIDs, digests, verdicts; no identifier of a patient.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._logger.info(json.dumps({"time": now, "event": event} | details, ensure_ascii=False))

    def close(self) -> None:
        """Close the file."""
        for handler in self._logger.handlers[:]:
            self._logger.removeHandler(handler)
            handler.close()
