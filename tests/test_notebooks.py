"""The notebooks of the docs run from top to bottom, on a synthetic scan with a network of known output."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.imaging import Geometry, Volume, write_ct_series
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
GRID = Geometry((16, 18, 20), (3.0, 3.0, 3.0))


def notebook(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    return content


def run_cells(name: str) -> dict[str, Any]:
    """Run the code cells in their order; return the variables."""
    variables: dict[str, Any] = {}
    for cell in notebook(name)["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name}, {cell['id']}", "exec"), variables)
    return variables


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the demo with one scan and a model that takes every voxel for bladder."""
    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    model = tmp_path / "demo" / "experiment" / "runs" / "task"
    save_plan(Plan(("bladder", "rectum"), GRID.spacing, "zscore", None, (16, 32, 32), 2, "XS", strides), model)
    torch.manual_seed(0)
    weights = GynBTNet("XS", outputs=3, strides=strides).state_dict()
    heads = [name for name in weights if name.startswith("decoder.heads.")]
    assert heads
    for name in heads:
        weights[name] = torch.zeros_like(weights[name])
        if name.endswith("bias"):
            weights[name][1] = 1
    save_file(weights, model / "weights_last.safetensors")
    scan = np.random.default_rng(0).normal(0, 50, GRID.shape).astype(np.int16)
    folder = tmp_path / "demo" / "phantom" / "brachytherapy" / "PHANTOM-001" / "fraction-1"
    write_ct_series(
        Volume(scan, GRID),
        folder,
        patient_id="P",
        study_description="SYNTHETIC",
        series_description="SYNTHETIC",
        seed=1,
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def test_the_first_contour(demo: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    with torch.no_grad():
        variables = run_cells("first_contour.ipynb")
    pyplot.close("all")
    voxels = np.prod(GRID.shape)
    assert variables["volumes"] == {"bladder": pytest.approx(voxels * 0.027), "rectum": 0}
    edited = variables["edited"].mask("bladder")
    assert edited[:-1].all() and not edited[-1].any()  # without the uppermost slice
    again = variables["again"].volume_cm3("bladder")
    assert again == pytest.approx(variables["edited"].volume_cm3("bladder"), rel=0.1)
    contours = pydicom.dcmread(demo / "RS_edited.dcm")
    assert [roi.ROIName for roi in contours.StructureSetROISequence] == ["Bladder", "Rectum"]
    assert contours.ApprovalStatus == "UNAPPROVED"
    assert not contours.StructureSetROISequence[0].ROIGenerationAlgorithm


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    content = notebook(path.name)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    for cell in content["cells"]:
        assert cell.keys() >= {"id", "cell_type", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_every_notebook_is_run() -> None:
    assert sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")) == ["first_contour.ipynb"]
