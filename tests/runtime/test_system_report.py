from pathlib import Path

import psutil
import pytest
import torch

import gynbtnet.runtime.system_report as system_report_module
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


@pytest.mark.parametrize(
    ("number", "version", "low"),
    [(None, None, False), (8902, "8.9.2", True), (91002, "9.10.2", True), (91500, "9.15.0", False)],
)
def test_the_version_of_cudnn_is_named_and_an_old_one_is_low(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int | None, version: str | None, low: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: number)
    monkeypatch.setattr(system_report_module, "devices", lambda: "a GPU")
    value = dict(system_report(tmp_path))["cuDNN"]
    assert value.startswith("low: ") == low
    assert value.startswith("none") if version is None else version in value
    assert ("Install version 9.15.0 or later" in value) == low


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_there_is_no_cudnn(tmp_path: Path) -> None:
    assert dict(system_report(tmp_path))["cuDNN"].startswith("none")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no folder"):
        system_report(tmp_path / "nowhere")
