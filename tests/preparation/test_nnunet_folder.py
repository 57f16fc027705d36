"""Stock nnU-Net trains on scans that we prepared, and we on scans that stock nnU-Net prepared."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.datasets import load_split
from gynbtnet.experiment import finetune_alone
from gynbtnet.imaging import Geometry
from gynbtnet.preparation.nnunet_preprocessed import import_nnunet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.preparation.store import VOXELS, PreparedCohort
from gynbtnet.recipes import load_recipe
from gynbtnet.runtime import BadInput, ScansFailed
from gynbtnet.training import SegmentationSettings, finetune

from .conftest import WriteCohort

PATCH = (16, 16, 32)
PLAN = Plan(("one", "two"), (1.5, 1.5, 1.5), "zscore", None, PATCH, 2, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))
GRIDS = [Geometry((12, 40, 40), (3.0, 1.0, 1.0)), Geometry((30, 28, 26), (1.0, 1.5, 1.5))] * 2
DATASET = "Dataset500_Known"

nnunet_paths = pytest.importorskip("nnunetv2.paths")
pytestmark = pytest.mark.filterwarnings("ignore")  # nnU-Net's own


@pytest.fixture
def preprocessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder in which nnU-Net searches for datasets."""
    import nnunetv2.training.nnUNetTrainer.nnUNetTrainer as trainer

    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
        path = nnunet_paths.__dict__[name]
        for module in (nnunet_paths, trainer):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, _NnunetPath(tmp_path / name) if hasattr(path, "is_set") else path)
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    yield tmp_path / "nnUNet_preprocessed"


class _NnunetPath(type(Path())):  # type: ignore[misc]
    def is_set(self) -> bool:
        return True


def read_nnunet_files(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read plans and dataset.json for nnU-Net, with its own network as configuration ``3d_fullres``."""
    return json.loads((folder / "GynBTNetPlans.json").read_text()), json.loads((folder / "dataset.json").read_text())


def test_stock_nnunet_loads_and_draws_batches(write_cohort: WriteCohort, tmp_path: Path) -> None:
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    prepared = prepare(write_cohort(GRIDS), PLAN, tmp_path / DATASET)
    plans, dataset = read_nnunet_files(prepared.folder)
    assert plans["dataset_name"] == DATASET
    stock = infer_dataset_class(str(prepared.folder / VOXELS))(str(prepared.folder / VOXELS))
    assert stock.identifiers == [case.id for case in prepared.cases]
    for case in prepared.cases:
        image, labels = case.crop((0, 0, 0), case.shape)
        data, seg, _, properties = stock.load_case(case.id)
        np.testing.assert_array_equal(data[:], image)
        np.testing.assert_array_equal(seg[0], labels)
        assert sorted(properties["class_locations"]) == [1, 2]
        for label, voxels in properties["class_locations"].items():
            assert (seg[:][tuple(voxels.T)] == label).all()
    manager = PlansManager(plans).get_label_manager(dataset)
    loader = nnUNetDataLoader(stock, 2, PATCH, PATCH, manager, oversample_foreground_percent=1.0)
    for _ in range(5):
        batch = next(loader)
        assert batch["data"].shape == batch["target"].shape == (2, 1, *PATCH)
        assert all((patch > 0).any() for patch in batch["target"])


def test_stock_nnunet_trains(write_cohort: WriteCohort, preprocessed: Path) -> None:
    """Run two steps and a validation step of nnU-Net's trainer on the folder without changes."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    prepared = prepare(write_cohort(GRIDS), PLAN, preprocessed / DATASET)
    ids = [case.id for case in prepared.cases]
    (prepared.folder / "splits_final.json").write_text(json.dumps([{"train": ids[:3], "val": ids[3:]}]))
    plans, dataset = read_nnunet_files(prepared.folder)
    plans["continue_training"] = False
    trainer = nnUNetTrainer(plans, "3d_fullres", 0, dataset, device=torch.device("cpu"))
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    losses = [float(trainer.train_step(next(trainer.dataloader_train))["loss"]) for _ in range(2)]
    assert np.isfinite(losses).all()
    trainer.on_validation_epoch_start()
    assert np.isfinite(trainer.validation_step(next(trainer.dataloader_val))["loss"])


@pytest.fixture
def by_nnunet(write_cohort: WriteCohort, tmp_path: Path) -> Path:
    """The same scans, prepared by nnU-Net's own preprocessor by the same plan."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    cohort = write_cohort(GRIDS)
    ours = prepare(cohort, PLAN, tmp_path / "ours")
    plans, dataset = read_nnunet_files(ours.folder)
    folder = tmp_path / DATASET
    plans |= {"plans_name": "nnUNetPlans", "dataset_name": DATASET, "image_reader_writer": "SimpleITKIO"}
    configuration = plans["configurations"]["3d_fullres"]
    configuration |= {"data_identifier": "nnUNetPlans_3d_fullres"}
    (folder / "nnUNetPlans_3d_fullres").mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    manager = PlansManager(json.loads(json.dumps(plans)))
    for case in cohort.cases:
        DefaultPreprocessor(verbose=False).run_case_save(
            str(folder / "nnUNetPlans_3d_fullres" / case.id),
            [str(path) for path in case.images],
            str(case.labels),
            manager,
            manager.get_configuration("3d_fullres"),
            dataset,
        )
    return folder


def test_nnunet_and_we_prepare_the_same_voxels(by_nnunet: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is another dataset"):
        import_nnunet(by_nnunet, PLAN, by_nnunet)
    imported, ours = import_nnunet(by_nnunet, PLAN, tmp_path / "imported"), PreparedCohort.open(tmp_path / "ours")
    assert PreparedCohort.open(tmp_path / "imported") == imported
    assert [case.id for case in imported.cases] == [case.id for case in ours.cases]
    for theirs, case in zip(imported.cases, ours.cases, strict=True):
        assert theirs.shape == case.shape
        assert theirs.foreground_labels == case.foreground_labels
        (image, labels), (expected, expected_labels) = (
            prepared.crop((0, 0, 0), case.shape) for prepared in (theirs, case)
        )
        assert image.dtype == np.float32
        assert labels is not None
        assert labels.dtype == np.uint8
        for label in (1, 2):
            mask, expected_mask = labels == label, expected_labels == label
            assert 2 * (mask & expected_mask).sum() / (mask.sum() + expected_mask.sum()) >= 0.995
            assert (labels[tuple(theirs.foreground[label].T)] == label).all()
        # nnU-Net normalises before resampling, GynBTNet after it: equal except for the scale of the whole scan
        scaled = np.polyfit(expected.ravel(), image.ravel(), 1)
        assert np.abs(np.polyval(scaled, expected) - image).max() < 0.02


def test_we_train_on_scans_that_nnunet_prepared(by_nnunet: Path, tmp_path: Path) -> None:
    imported = import_nnunet(by_nnunet, PLAN, tmp_path / "imported")
    ids = [case.id for case in imported.cases]
    settings = SegmentationSettings(epochs=1, steps_per_epoch=2, workers=0, accelerator="cpu", validation_patches=1)
    run = finetune(imported, settings, tmp_path / "run", training_ids=ids[:3], validation_ids=ids[3:])
    assert (run / "weights_last.safetensors").is_file()


def test_scans_that_nnunet_prepared_train_by_their_own_plan_and_nnunets_folds(by_nnunet: Path, tmp_path: Path) -> None:
    """A recipe with other plan settings changes nothing, and splits_final.json names the cases."""
    imported = import_nnunet(by_nnunet, PLAN, tmp_path / "imported")
    assert imported.imported and not PreparedCohort.open(tmp_path / "ours").imported
    ids = [case.id for case in imported.cases]
    folds = [{"train": ids[2:], "val": ids[:2]}, {"train": ids[:2], "val": ids[2:]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(folds))
    split = load_split(tmp_path / "splits_final.json", PreparedCohort.open(tmp_path / "imported").as_cohort())
    assert split.folds == (tuple(sorted(ids[:2])), tuple(sorted(ids[2:])))
    steps = "epochs: 1, steps_per_epoch: 1, validation_patches: 1, workers: 0"
    (tmp_path / "recipe.yaml").write_text(
        "name: other\nstructures: [hr_ctv]\n"
        "task: {plan: {preset: XS, spacing: [9, 9, 9], patch_size: [16, 32, 32], batch_size: 1}, training: {"
        + steps
        + "}}\n"
    )
    recipe = load_recipe(tmp_path / "recipe.yaml")
    run = finetune_alone(imported, recipe, "task", split, None, tmp_path / "run")
    assert load_plan(run).spacing == PLAN.spacing
    with pytest.raises(BadInput, match=r"The recipe has structures = "):
        finetune_alone(PreparedCohort.open(tmp_path / "ours"), recipe, "task", split, None, tmp_path / "other")


def test_unsuitable_datasets_are_refused_and_nothing_is_unpickled(by_nnunet: Path, tmp_path: Path) -> None:
    voxels = by_nnunet / "nnUNetPlans_3d_fullres"
    for properties in voxels.glob("*.pkl"):
        properties.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")  # would run a command
    import_nnunet(by_nnunet, PLAN, tmp_path / "imported")
    with pytest.raises(
        BadInput, match=r"spacing \(1\.5, 1\.5, 1\.5\) mm .* The plan has .* spacing \(2\.0, 2\.0, 2\.0\) mm"
    ):
        import_nnunet(by_nnunet, replace(PLAN, spacing=(2.0, 2.0, 2.0)), tmp_path / "other")
    damaged = next(iter(sorted(voxels.glob("*_seg.b2nd"))))
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(ScansFailed, match=r"1 of 4 scans failed.*\n  p0_f1: .*absent or damaged"):
        import_nnunet(by_nnunet, PLAN, tmp_path / "imported")
    with pytest.raises(BadInput, match="interrupted"):
        PreparedCohort.open(tmp_path / "imported")
    shutil.rmtree(voxels)
    with pytest.raises(BadInput, match="There are no scans"):
        import_nnunet(by_nnunet, PLAN, tmp_path / "imported")
    (by_nnunet / "nnUNetPlans.json").unlink()
    with pytest.raises(BadInput, match=r"contains 0 files \*Plans\.json"):
        import_nnunet(by_nnunet, PLAN, tmp_path / "imported")
