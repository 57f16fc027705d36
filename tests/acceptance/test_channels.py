"""CT with an MRI registered to it, from a raw dataset of nnU-Net's to contours; and many scans on a cluster."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from gynbtnet.imaging import Geometry, Volume, read_volume, write_volume
from gynbtnet.preparation import PreparedCohort, load_plan

from .conftest import CommandResult

GRID = Geometry((20, 40, 40), (2.0, 2.0, 2.0))
RECIPE = """
name: two-channels
structures: [bladder]
task:
  plan: {preset: XS, spacing: [2, 2, 2], patch_size: [16, 32, 32], batch_size: 2}
  training: {epochs: 1, steps_per_epoch: 2, validation_patches: 1, augmentation: none}
"""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Eight scans in nnU-Net's layout whose structure shows in the MRI alone."""
    folder = tmp_path / "Dataset500_Two"
    random = np.random.default_rng(0)
    for number in range(8):
        inside = np.zeros(GRID.shape, bool)
        z, y, x = random.integers((2, 4, 4), (8, 16, 16))
        inside[z : z + 8, y : y + 16, x : x + 16] = True
        ct = random.normal(0, 20, GRID.shape)
        ct[:, :3] = -1000
        mri = random.normal(100, 20, GRID.shape) + 400 * inside
        for channel, image in enumerate((ct, mri)):
            write_volume(Volume(image.astype(np.int16), GRID), folder / f"imagesTr/two_{number}_{channel:04d}.nii.gz")
        write_volume(Volume(inside.astype(np.uint8), GRID), folder / f"labelsTr/two_{number}.nii.gz")
    description = {
        "channel_names": {"0": "CT", "1": "T2"},
        "labels": {"background": 0, "bladder": 1},
        "numTraining": 8,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def ingested(raw: Path, tmp_path: Path, gynbtnet: Callable[..., CommandResult]) -> Path:
    """Folder of the raw dataset's cohort, with a plan next to it."""
    done = gynbtnet("ingest", raw, "--layout", "nnunet", "--out", tmp_path / "cohort")
    assert done.code == 0, done.err
    done = gynbtnet(
        "plan", tmp_path / "cohort", tmp_path / "recipe.yaml", "--stage", "task", "--out", tmp_path / "plan"
    )
    assert done.code == 0, done.err
    return tmp_path / "cohort"


@pytest.mark.slow
def test_two_channels_go_from_scans_to_contours(
    ingested: Path, raw: Path, tmp_path: Path, gynbtnet: Callable[..., CommandResult]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    for command in (
        ["split", ingested, "--folds", "2", "--out", tmp_path / "split.json"],
        ["prepare", ingested, tmp_path / "plan", "--out", tmp_path / "prepared"],
        [
            *("finetune", tmp_path / "prepared", recipe, "--stage", "task"),
            *("--split", tmp_path / "split.json", "--out", tmp_path / "run"),
        ],
        ["predict", tmp_path / "run", raw / "imagesTr" / "two_0_0000.nii.gz", "--out", tmp_path / "predictions"],
    ):
        done = gynbtnet(*command)
        assert done.code == 0, done.err
    assert load_plan(tmp_path / "run").channels == ("CT", "T2")
    case = PreparedCohort.open(tmp_path / "prepared").cases[0]
    image, labels = case.crop((0, 0, 0), case.shape)
    assert image.shape == (2, *GRID.shape)
    assert labels is not None
    assert image[1][labels == 1].mean() > 1 > abs(image[0][labels == 1].mean())
    weights = load_file(tmp_path / "run" / "weights_last.safetensors")
    assert weights["encoder.levels.0.0.conv1.weight"].shape[1] == 2
    (labels_path,) = tmp_path.glob("predictions/*/labels.nii.gz")
    assert read_volume(labels_path).geometry.is_same(GRID)
    (raw / "imagesTr" / "two_0_0001.nii.gz").unlink()
    alone = gynbtnet("predict", tmp_path / "run", raw / "imagesTr" / "two_0_0000.nii.gz", "--out", tmp_path / "more")
    assert alone.code == 2
    assert "reads 2 channels (CT, T2)" in alone.err


@pytest.mark.slow
def test_a_cluster_prepares_what_one_machine_prepares(
    ingested: Path, scheduler: str, tmp_path: Path, gynbtnet: Callable[..., CommandResult]
) -> None:
    folders = tmp_path / "alone", tmp_path / "cluster"
    for folder, options in zip(folders, (["--memory-gb", "4"], ["--cluster", scheduler]), strict=True):
        done = gynbtnet("prepare", ingested, tmp_path / "plan", "--out", folder, *options)
        assert done.code == 0, done.err
    alone, cluster = map(PreparedCohort.open, folders)
    assert [case.key for case in alone.cases] == [case.key for case in cluster.cases]
    for ours, theirs in zip(alone.cases, cluster.cases, strict=True):
        assert np.array_equal(ours.crop((0, 0, 0), ours.shape)[0], theirs.crop((0, 0, 0), theirs.shape)[0])


@pytest.mark.slow
def test_a_scan_that_fails_on_a_cluster_is_listed(
    ingested: Path, scheduler: str, tmp_path: Path, gynbtnet: Callable[..., CommandResult]
) -> None:
    damaged = ingested / "imagesTr" / "two_3_0000.nii.gz"
    assert damaged.is_file()
    damaged.write_bytes(damaged.read_bytes()[:300])
    done = gynbtnet("prepare", ingested, tmp_path / "plan", "--out", tmp_path / "out", "--cluster", scheduler)
    assert done.code == 1
    assert "1 of 8 scans failed" in done.err
    assert "two_3: " in done.err
    assert len(list((tmp_path / "out" / "cases").glob("*.json"))) == 7
