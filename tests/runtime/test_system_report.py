from pathlib import Path

import psutil
import pytest

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.system_report import needed_libraries, system_report, version


def test_the_rows_agree_with_the_machine(tmp_path: Path) -> None:
    rows = dict(system_report(tmp_path))
    assert rows["memory"].startswith(f"{psutil.virtual_memory().total / 1e9:.1f} GB")
    assert rows["torch"] == version("torch")
    assert rows[f"disk at {tmp_path}"].endswith("GB free")
    assert rows["devices"]


def test_a_missing_library_is_reported() -> None:
    assert version("no-such-distribution") == "missing: pip install no-such-distribution"


def test_every_library_that_the_package_needs_is_looked_at(tmp_path: Path) -> None:
    assert {"torch", "pydicom", "safetensors", "simpleitk"} <= set(needed_libraries())
    assert "pytest" not in needed_libraries()
    assert set(needed_libraries()) <= set(dict(system_report(tmp_path)))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no folder"):
        system_report(tmp_path / "nowhere")
