"""The journal survives a kill at any byte, and refuses other damage."""

import os
from pathlib import Path
from typing import Any

import pytest

from gynbtnet.review.journal import Journal, line_of
from gynbtnet.runtime import BadInput

RECORDS: list[dict[str, Any]] = [
    {"kind": "edit", "bits": "QUJD", "text": "ä\n\u2028"},
    {"kind": "undo"},
    {"kind": "view", "slices": [1, 2]},
]


def written(path: Path) -> bytes:
    with Journal(path) as journal:
        for record in RECORDS:
            journal.append(record)
    return path.read_bytes()


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    written(tmp_path / "review" / "journal.jsonl")
    with Journal(tmp_path / "review" / "journal.jsonl") as journal:
        assert journal.records == RECORDS


def test_a_kill_at_any_byte_loses_only_the_record_that_was_being_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    content = written(path)
    ends = [0]
    for record in RECORDS:
        ends.append(ends[-1] + len(line_of(record)))
    assert ends[-1] == len(content)
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = sum(end <= length for end in ends) - 1
        with Journal(path) as journal:
            assert journal.records == RECORDS[:whole]
            if length % 9:
                continue
            journal.append({"kind": "redo"})
        with Journal(path) as journal:
            assert journal.records == [*RECORDS[:whole], {"kind": "redo"}]


def test_damage_before_the_end_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    content = written(path)
    for position in range(len(content) - 1):
        damaged = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"is damaged in record [123]"):
            Journal(path)
        assert path.read_bytes() == damaged


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    content = written(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with Journal(path) as journal:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            journal.append({"kind": "redo"})
        monkeypatch.undo()
        assert path.read_bytes() == content
        journal.append({"kind": "undo"})
    assert path.read_bytes() == content + line_of({"kind": "undo"})
