from pathlib import Path

import psutil

from gynbtnet.doctor import examine, version


def test_the_rows_agree_with_the_machine(tmp_path: Path) -> None:
    rows = dict(examine(tmp_path))
    assert rows["memory"].startswith(f"{psutil.virtual_memory().total / 1e9:.1f} GB")
    assert rows["torch"] == version("torch")
    assert rows[f"disk at {tmp_path}"].endswith("GB free")
    assert rows["devices"]


def test_what_is_missing_is_said() -> None:
    assert version("no-such-distribution") == "missing: pip install no-such-distribution"
