"""Training of structures that overlap: transfer from and to exclusive outputs, resumption, parts of a batch."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gynbtnet.datasets import Cohort
from gynbtnet.imaging import OverlappingSegmentation, Regions, read_volume
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.networks import GynBTNet, write_stu_net
from gynbtnet.preparation import PlanSettings, PreparedCase, PreparedCohort, make_plan, prepare
from gynbtnet.training.objectives.segmentation_objective import SegmentationObjective
from gynbtnet.training.settings import SegmentationSettings
from gynbtnet.training.stages import finetune

QUICK: dict[str, Any] = {"epochs": 2, "steps_per_epoch": 2, "checkpoint_interval_epochs": 1, "validation_patches": 1}
SIDES: dict[str, Any] = {"training_ids": ["p0_f1", "p1_f1"], "validation_ids": ["p2_f1"]}
PLAN: dict[str, Any] = {"spacing": (6, 5, 5), "patch_size": (16, 32, 32), "batch_size": 2, "preset": "XS"}


def train(prepared: PreparedCohort, out: Path, start: Path | None = None, **changes: Any) -> Path:
    return finetune(prepared, SegmentationSettings(**{**QUICK, **changes}), out, **SIDES, start=start)


@pytest.fixture(scope="module")
def prepared(overlapping_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, PreparedCohort]:
    """Return the same scans for both kinds of outputs."""
    folder = tmp_path_factory.mktemp("both")
    return {
        outputs: prepare(
            overlapping_cohort,
            make_plan(overlapping_cohort, PlanSettings(**PLAN, outputs=outputs)),
            folder / outputs,
        )
        for outputs in ("exclusive", "overlapping")
    }


@pytest.fixture(scope="module")
def runs(prepared: Mapping[str, PreparedCohort], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {outputs: train(scans, folder / outputs) for outputs, scans in prepared.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [("exclusive", "overlapping"), ("overlapping", "exclusive")])
def test_everything_but_the_heads_is_transferred(
    prepared: Mapping[str, PreparedCohort], runs: Mapping[str, Path], tmp_path: Path, before: str, after: str
) -> None:
    run = train(prepared[after], tmp_path / "run", runs[before], epochs=1, steps_per_epoch=1, learning_rate=1e-12)
    check_transfer(run, load_file(runs[before] / "weights_last.safetensors"))
    model = Model.load(run, device="cpu")
    assert model.network.state_dict()["decoder.heads.0.weight"].shape[0] == (4 if after == "overlapping" else 5)


def test_a_file_of_stu_nets_starts_an_overlapping_run(prepared: Mapping[str, PreparedCohort], tmp_path: Path) -> None:
    plan = prepared["overlapping"].plan
    with torch.random.fork_rng():
        theirs = GynBTNet(plan.preset, outputs=105, strides=plan.strides)
    write_stu_net(theirs.state_dict(), tmp_path / "published.model")
    changes: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-12}
    run = train(prepared["overlapping"], tmp_path / "run", tmp_path / "published.model", **changes)
    check_transfer(run, theirs.state_dict())
    biases = [values for name, values in run_weights(run).items() if "decoder.heads." in name and name.endswith("bias")]
    assert len(biases) == len(plan.strides) - 1
    assert all(torch.allclose(values.sigmoid(), torch.tensor(0.01)) for values in biases), "structures are rare"


def run_weights(run: Path) -> Mapping[str, torch.Tensor]:
    return load_file(run / "weights_last.safetensors")


def check_transfer(run: Path, before: Mapping[str, torch.Tensor]) -> None:
    report = json.loads((run / "transfer.json").read_text())
    assert report["share"] == 1.0
    assert all("decoder.heads." in name for name in report["skipped"])
    after = load_file(run / "weights_last.safetensors")
    kept = [name for name in after if "decoder.heads." not in name]
    assert kept
    assert all(torch.allclose(after[name], before[name], atol=1e-9) for name in kept)


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_weights(
    prepared: Mapping[str, PreparedCohort], runs: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, count = PreparedCase.crop, 0

    def crop(case: PreparedCase, *where: Any) -> Any:
        nonlocal count
        count += 1
        if count == 8:  # 4 to train and 1 to validate per epoch
            raise KeyboardInterrupt
        return read(case, *where)

    with monkeypatch.context() as patched:
        patched.setattr(PreparedCase, "crop", crop)
        with pytest.raises(KeyboardInterrupt):
            train(prepared["overlapping"], tmp_path / "run")
    run = train(prepared["overlapping"], tmp_path / "run")
    names = ("weights_last.safetensors", "weights_best.safetensors")
    assert all((run / name).read_bytes() == (runs["overlapping"] / name).read_bytes() for name in names)
    with (run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(rows[-1][f"dice_{name}"]) <= 1 for name in prepared["overlapping"].structures)


@pytest.mark.slow
def test_parts_of_a_batch_give_its_step(
    prepared: Mapping[str, PreparedCohort], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gynbtnet.training.engine.micro_batch_size", lambda *_: 1)
    changes: dict[str, Any] = {"epochs": 1, "steps_per_epoch": 1, "optimiser": "sgd", "learning_rate": 0.01}
    whole, parts = (
        load_file(
            train(prepared["overlapping"], tmp_path / str(in_parts), auto_micro_batch=in_parts, **changes)
            / "weights_last.safetensors"
        )
        for in_parts in (False, True)
    )
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, rtol=1e-3, atol=1e-5)


def test_pictures_show_every_structure_of_shared_voxels() -> None:
    regions = Regions.of(("hr_ctv", "uterus"), [("hr_ctv", "uterus")])
    labels = torch.zeros(1, 2, 3, 4)
    labels[0, 1, :, :2], labels[0, 1, :, 1:3], labels[0, 1, :, 1] = 1, 2, 3
    logits = torch.full((1, 2, 2, 3, 4), -1.0)
    logits[0, :, 1, 0] = 1
    objective = SegmentationObjective(Constant(logits), regions.structures, batch_dice=False, regions=regions)
    figure = objective.picture([{"image": torch.rand(1, 1, 2, 3, 4), "labels": labels}])
    shown = [[~np.ma.getmaskarray(image.get_array()) for image in axes.images[1:]] for axes in figure.axes[1:]]
    (hr_ctv, uterus), predicted = shown
    np.testing.assert_array_equal(hr_ctv, [[True, True, False, False]] * 3)
    np.testing.assert_array_equal(uterus, [[False, True, True, False]] * 3)
    for mask in predicted:
        np.testing.assert_array_equal(mask, [[True] * 4, [False] * 4, [False] * 4])
    assert len(predicted) == 2


class Constant(torch.nn.Module):
    """Network with constant logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.logits


@pytest.mark.slow
def test_swin_unetr_learns_and_predicts_overlapping_structures(overlapping_cohort: Cohort, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    settings = PlanSettings(
        **{**PLAN, "patch_size": (16, 32, 64), "network": "swin_unetr", "preset": "F12", "outputs": "overlapping"}
    )
    scans = prepare(overlapping_cohort, make_plan(overlapping_cohort, settings), tmp_path / "prepared")
    run = train(scans, tmp_path / "run", epochs=1, steps_per_epoch=1, deep_supervision=False)
    model = Model.load(run, device="cpu")
    assert model.title == "Swin-UNETR"
    segmentation = predict(
        model, read_volume(overlapping_cohort.cases[3].image), PredictionSettings(mirroring=False, overlap=0)
    )
    assert isinstance(segmentation, OverlappingSegmentation)
    assert segmentation.own.structures == overlapping_cohort.structures
