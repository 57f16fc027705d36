"""Help at 80 columns: no name of an option is cut, and the version and log options work."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

import gynbtnet as package
from gynbtnet.cli import app
from gynbtnet.imaging import Geometry, Volume, write_ct_series

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_option_names_are_complete_at_80_columns(gynbtnet, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = gynbtnet(command, "--help")
    assert result.code == 0
    words = set(re.findall(r"--[\w-]+", result.out))
    expected = {name for parameter in COMMANDS[command].params for name in parameter.opts if name.startswith("--")}
    assert expected <= words
    assert "Example: `gynbtnet" in " ".join(result.out.split())


def test_the_commands_are_listed_in_groups(gynbtnet) -> None:
    result = gynbtnet("--help")
    assert result.code == 0
    assert set(COMMANDS) <= set(re.findall(r"[\w-]+", result.out))


def test_verbose_prints_what_the_log_file_has(gynbtnet, tmp_path: Path) -> None:
    assert gynbtnet("--verbose", "--log-file", tmp_path / "log", "doctor", tmp_path).code == 0


def test_the_package_has_a_version() -> None:
    assert re.match(r"\d+\.\d+", package.__version__)


def test_a_series_shows_no_identifier(tmp_path: Path) -> None:
    """Notebooks print the last value of a cell."""
    ct = write_ct_series(
        Volume(np.zeros((3, 4, 5), np.int16), Geometry((3, 4, 5), (3.0, 1.0, 1.0))),
        tmp_path,
        patient_id="SECRET",
        study_description="test",
        series_description="test",
        seed=0,
    )
    assert repr(ct) == "CTSeries(3×4×5 voxels of 3×1×1 mm, 3 slices)"
