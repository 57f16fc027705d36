import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.imaging import Geometry, Volume, read_volume, write_volume
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> None:
    monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.slow
def test_the_whole_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("whole_method.py", monkeypatch, tmp_path)
    scores = pd.read_csv(tmp_path / "evaluation" / "scores.csv")
    assert set(scores["structure"]) == {"hr_ctv", "bladder", "rectum", "sigmoid", "uterus"}


def test_contours_on_one_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    structures, grid = ("bladder", "rectum"), Geometry((16, 18, 20), (3.0, 3.0, 3.0))
    save_plan(Plan(structures, grid.spacing, "zscore", None, (16, 32, 32), 2, "XS", strides), tmp_path / "model")
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=3, strides=strides).state_dict(), tmp_path / "model" / "weights_last.safetensors")
    scan = Volume(np.random.default_rng(0).normal(0, 50, grid.shape).astype(np.int16), grid)
    write_volume(scan, tmp_path / "scan.nii.gz")
    run("contour_a_scan.py", monkeypatch, tmp_path / "model", tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz")
    labels = read_volume(tmp_path / "out.nii.gz")
    assert labels.geometry.is_same(grid)
    counted = [(labels.array == label).sum() * 0.027 for label in (1, 2)]
    assert f"bladder: {counted[0]:.1f} cm³\nrectum: {counted[1]:.1f} cm³" in capsys.readouterr().out


def test_arrays_and_images(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nibabel")
    run("arrays_and_images.py", monkeypatch)
    bladder, simpleitk, nibabel = capsys.readouterr().out.splitlines()
    assert float(bladder.split()[1]) == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.05)
    assert "size (64, 48, 20), spacing (1.0, 1.0, 3.0), origin (-32.0, -24.0, 0.0)" in simpleitk
    assert "shape (64, 48, 20), affine [-1. -1.  3.  1.]" in nibabel


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == [
        "arrays_and_images.py",
        "contour_a_scan.py",
        "whole_method.py",
    ]
