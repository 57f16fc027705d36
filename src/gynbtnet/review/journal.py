"""Journal of a review: every stroke is on disk before it counts.

A journal is a text file to which records are only appended. Each line is the CRC-32 of a record, in eight hexadecimal
digits, a space and the record as JSON. A line counts once it has been written whole and flushed to the disk. After a
kill the last line may be cut short at any byte. It was never acknowledged and is removed when the journal is opened
again. A damaged line that ends with a line break can't come from a kill, so that the journal is refused.
"""

import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gynbtnet.runtime.errors import BadInput

JOURNAL_FILE = "journal.jsonl"
"""Name of the journal in the folder of a prediction's reviews."""


class Journal:
    """An open journal.

    Args:
        path: file of the journal; it and its folder are made if absent.

    Raises:
        BadInput: If a record before the last one is damaged.

    Example:
        >>> with Journal(folder / "journal.jsonl") as journal:
        ...     journal.append({"kind": "undo"})
        >>> with Journal(folder / "journal.jsonl") as journal:
        ...     journal.records
        [{'kind': 'undo'}]
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a+b")
        try:
            self._file.seek(0)
            self.records, whole = _read(self._file.read(), path)
            self._file.truncate(whole)
            self._flush()
            _flush_folder(path.parent)
        except BaseException:
            self._file.close()
            raise

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record, and return once it is on the disk.

        Raises:
            OSError: If the disk is full or fails; the journal is then as it was.
        """
        before = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(line_of(record))
            self._flush()
        except OSError:
            self._file = _reopened(self._file, self.path, before)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def line_of(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of the journal."""
    text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _reopened(file: Any, path: Path, length: int) -> Any:
    """Return the file opened again without what could not be written whole."""
    with suppress(OSError):  # it tries to write the rest again
        file.close()
    os.truncate(path, length)
    return path.open("a+b")


def _read(content: bytes, path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records and the length of the part of the file that is whole."""
    records: list[dict[str, Any]] = []
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        record = _parse(content[start:end]) if end >= 0 else None
        if record is None:
            if end >= 0:
                raise BadInput(
                    f"{path} is damaged in record {len(records) + 1}, and not by an interrupted write, which would "
                    "have left an incomplete last line. Restore the file from a backup, or move it away to start again."
                )
            break
        records.append(record)
        start = end + 1
    return records, start


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None if it is damaged."""
    checksum, _, text = line.partition(b" ")
    if len(checksum) != 8 or checksum != b"%08x" % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def _flush_folder(folder: Path) -> None:
    """Make a new file's name permanent; not every system can flush a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
