"""Stock nnU-Net and scans that we prepared with regions, and scans with regions that stock nnU-Net prepared."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.datasets import Cohort, read_contours
from gynbtnet.imaging import Regions, Volume, read_volume, write_volume
from gynbtnet.preparation.foreground import foreground_voxels
from gynbtnet.preparation.nnunet_preprocessed import import_nnunet
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.nnunet_names import nnunet_labels, nnunet_outputs, parse_structures
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.preparation.store import VOXELS, PreparedCohort
from gynbtnet.runtime import BadInput

PATCH = (16, 32, 32)
SETTINGS = PlanSettings(spacing=(6, 5, 5), normalisation="zscore", patch_size=PATCH, batch_size=2, preset="XS")


@pytest.fixture(scope="module")
def prepared(overlapping_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    plan = make_plan(overlapping_cohort, SETTINGS)
    assert plan.overlapping
    return prepare(overlapping_cohort, plan, tmp_path_factory.mktemp("regions") / "Dataset500_Regions")


def files(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return json.loads((folder / "GynBTNetPlans.json").read_text()), json.loads((folder / "dataset.json").read_text())


def voxels_of(locations: Mapping[Any, np.ndarray], region: tuple[int, ...]) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(locations[region])[:, 1:].tolist()))


def test_voxels_to_centre_patches_on_are_those_of_whole_structures(
    overlapping_cohort: Cohort, prepared: PreparedCohort
) -> None:
    for case, stored in zip(overlapping_cohort.cases, prepared.cases, strict=True):
        truth = read_contours(case, overlapping_cohort.structures)  # on the plan's grid already
        assert sorted(stored.foreground) == [1, 2, 3, 4]
        for number, name in enumerate(truth.structures, start=1):
            np.testing.assert_array_equal(stored.foreground[number], np.argwhere(truth.mask(name)))


def test_a_structure_without_voxels_has_no_entry() -> None:
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[0, 0, 0], labels[2, 1, 1] = 1, 4
    regions = Regions(("a", "b", "c"), ((1, 4), (2,), (3, 4)))
    found = foreground_voxels(labels, regions)
    assert {number: voxels.tolist() for number, voxels in found.items()} == {
        1: [[0, 0, 0], [2, 1, 1]],
        3: [[2, 1, 1]],
    }


def test_stock_nnunet_reads_the_regions_and_trains(prepared: PreparedCohort) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("nnunetv2")
    from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, dataset = files(prepared.folder)
    manager = PlansManager(plans).get_label_manager(dataset)
    assert manager.has_regions
    assert manager.num_segmentation_heads == 4
    outputs = nnunet_outputs(dataset)
    stock = infer_dataset_class(str(prepared.folder / VOXELS))(str(prepared.folder / VOXELS))
    assert prepared.plan.regions
    for case in prepared.cases:
        _, seg, _, properties = stock.load_case(case.id)
        theirs = DefaultPreprocessor._sample_foreground_locations(seg[:], manager.foreground_regions)
        assert theirs.keys() == properties["class_locations"].keys()
        for region in theirs:
            assert voxels_of(theirs, region) <= voxels_of(properties["class_locations"], region)
        labels = torch.from_numpy(np.asarray(seg[:]))
        by_region = ConvertSegmentationToRegionsTransform(manager.foreground_regions)._apply_to_segmentation(labels)
        for name, mask in zip(outputs, by_region.numpy(), strict=True):
            own = prepared.plan.regions.labels[prepared.structures.index(name)]
            np.testing.assert_array_equal(mask, np.isin(seg[0], own))
    loader = nnUNetDataLoader(stock, 2, PATCH, PATCH, manager, oversample_foreground_percent=1.0)
    assert (next(loader)["target"] > 0).flatten(1).any(1).all()


@pytest.mark.parametrize("structures", [("hr_ctv",), ("hr_ctv", "bladder")])
def test_structures_that_never_meet_are_regions_too(structures: tuple[str, ...]) -> None:
    pytest.importorskip("nnunetv2")
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    regions = Regions.of(structures, ())
    dataset = nnunet_labels(structures, regions)
    manager = LabelManager(dataset["labels"], dataset["regions_class_order"])
    assert manager.has_regions
    assert manager.num_segmentation_heads == len(structures)
    assert parse_structures(dataset) == (structures, regions)


@pytest.fixture
def by_nnunet(overlapping_cohort: Cohort, prepared: PreparedCohort, tmp_path: Path) -> Path:
    """Three glioma-like regions, prepared by nnU-Net's own preprocessor: whole ⊃ core ⊃ enhancing."""
    pytest.importorskip("nnunetv2")
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, dataset = files(prepared.folder)
    folder = tmp_path / "Dataset501_Glioma"
    plans |= {"plans_name": "nnUNetPlans", "dataset_name": folder.name, "image_reader_writer": "SimpleITKIO"}
    plans["configurations"]["3d_fullres"] |= {"data_identifier": "nnUNetPlans_3d_fullres"}
    dataset |= {
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
        "regions_class_order": [1, 2, 3],
    }
    (folder / "nnUNetPlans_3d_fullres").mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    manager = PlansManager(json.loads(json.dumps(plans)))
    for case in overlapping_cohort.cases:
        labels = read_volume(Path(str(case.labels)))
        nested = Volume(np.minimum(labels.array, 3), labels.geometry)
        write_volume(nested, tmp_path / f"{case.id}.nii.gz")
        DefaultPreprocessor(verbose=False).run_case_save(
            str(folder / "nnUNetPlans_3d_fullres" / case.id),
            [str(path) for path in case.images],
            str(tmp_path / f"{case.id}.nii.gz"),
            manager,
            manager.get_configuration("3d_fullres"),
            dataset,
        )
    return folder


@pytest.mark.filterwarnings("ignore")  # nnU-Net's own
def test_datasets_with_regions_are_imported(by_nnunet: Path, tmp_path: Path) -> None:
    plan = load_plan(by_nnunet, preset="XS")
    assert plan.structures == ("whole", "core", "enhancing")
    imported = import_nnunet(by_nnunet, plan, tmp_path / "imported")
    reopened = PreparedCohort.open(tmp_path / "imported")
    assert reopened == imported
    assert imported.plan.regions
    assert imported.plan.mirrored_labels
    for case in imported.cases:
        _, labels = case.crop((0, 0, 0), case.shape)
        assert labels is not None
        for number, least in ((1, 1), (2, 2), (3, 3)):
            np.testing.assert_array_equal(case.foreground[number], np.argwhere(labels >= least))
    other: Plan = replace(plan, regions=None)
    with pytest.raises(BadInput, match=r"with the labels .* The plan has structures \('whole'.*make the plan from"):
        import_nnunet(by_nnunet, other, tmp_path / "other")
