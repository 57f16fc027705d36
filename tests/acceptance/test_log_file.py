"""The log file of the command line: messages, and tracebacks of errors that nobody expected."""

import logging
from pathlib import Path

import pytest

from gynbtnet.runtime import system_report


def test_the_log_file_keeps_messages(gynbtnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(folder: Path) -> list[tuple[str, str]]:
        log = logging.getLogger("gynbtnet.runtime")
        log.debug("only in the file")
        log.warning("in both")
        return []

    monkeypatch.setattr(system_report, "system_report", report)
    result = gynbtnet("--log-file", tmp_path / "run.log", "doctor", tmp_path)
    assert result.code == 0, result.err
    assert "in both" in result.err and "only in the file" not in result.err
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split(" gynbtnet.runtime: ")[1] for line in lines] == ["only in the file", "in both"]


def test_a_log_file_that_cannot_be_written(gynbtnet, tmp_path: Path) -> None:
    result = gynbtnet("--log-file", tmp_path / "absent" / "run.log", "doctor", tmp_path)
    assert result.code == 2
    assert "can't be written: No such file or directory; name another one." in " ".join(result.err.split())
