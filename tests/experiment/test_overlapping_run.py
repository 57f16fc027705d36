"""A whole experiment with nested structures: masks, RTSTRUCT, SEG, scores and pages of one prediction agree."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from gynbtnet.datasets import Cohort
from gynbtnet.evaluation import evaluate, read_compared_case, read_prediction, read_truth
from gynbtnet.experiment import Scans, run_experiment
from gynbtnet.imaging import (
    Nesting,
    OverlappingSegmentation,
    StructureNames,
    read_ct_series,
    read_rtstruct,
    read_seg,
    read_volume,
)
from gynbtnet.inference import (
    LABELS_FILE,
    MASKS_FOLDER,
    PREVIEW_FILE,
    RTSTRUCT_FILE,
    SEG_FILE,
    SLICER_FILE,
    Model,
    PredictionRequest,
    PredictionSettings,
    predict_scan,
)
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.recipes import load_recipe

STRUCTURES = ("hr_ctv", "bladder", "uterus", "gtv_res", "ir_ctv")
RELATION = "gtv_res < hr_ctv < ir_ctv"
RECIPE = {
    "name": "overlapping",
    "description": "A few steps with structures that overlap.",
    "structures": STRUCTURES,
    "split": {"test": 1, "folds": 2},
    "task": {
        "plan": {
            "spacing": [6, 5, 5],
            "normalisation": "zscore",
            "patch_size": [16, 32, 32],
            "batch_size": 2,
            "preset": "XS",
            "nesting": [RELATION],
        },
        "training": {
            "epochs": 2,
            "steps_per_epoch": 12,
            "learning_rate": 3e-3,
            "validation_patches": 1,
            "checkpoint_interval_epochs": 1,
        },
    },
    "prediction": {"overlap": 0, "mirroring": False},
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlapping_run")
    write_brachytherapy(
        folder / "export", patients=3, fractions=1, spacing=(6, 5, 5), matrix=(24, 48, 56), seed=7, nested=True
    )
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "structures": list(STRUCTURES)}))
    run_experiment(load_recipe(folder / "recipe.yaml"), Scans(folder / "export", allow_overlap=True), folder / "out")
    return folder / "out"


@pytest.mark.slow
def test_all_files_of_a_prediction_have_the_same_overlapping_masks(experiment: Path, tmp_path: Path) -> None:
    cohort = Cohort.load(experiment / "cohorts" / "task")
    (folder,) = (experiment / "predictions" / "test").iterdir()
    case, nesting, names = cohort.case(folder.name), Nesting.parse([RELATION]), StructureNames.load()
    assert not (folder / LABELS_FILE).exists()
    automatic = read_prediction(case, folder.parent, STRUCTURES)
    assert isinstance(automatic, OverlappingSegmentation)

    model = Model.load(experiment / "runs" / "task", device="cpu")
    assert model.plan.overlapping
    assert model.plan.nesting == nesting
    assert case.source.ct_folder
    settings = PredictionSettings(
        overlap=0, mirroring=False, contour_style="exact", outputs=("rtstruct", "seg", "nifti", "slicer")
    )
    request = PredictionRequest.from_path(
        model, case.source.ct_folder, tmp_path / case.id, settings=settings, check=False, synthetic=True
    )
    predict_scan(model, request)
    written = {path.name for path in (tmp_path / case.id).iterdir()}
    assert {MASKS_FOLDER, RTSTRUCT_FILE, SEG_FILE, SLICER_FILE, PREVIEW_FILE} <= written
    predicted = read_prediction(case, tmp_path, STRUCTURES)
    assert isinstance(predicted, OverlappingSegmentation)
    assert nesting.broken_voxels(predicted.own) == 0
    assert sum(int(predicted.mask(name).sum()) for name in STRUCTURES) > predicted.covered().sum()  # something overlaps

    ct = read_ct_series(case.source.ct_folder)
    for path, read in ((RTSTRUCT_FILE, read_rtstruct), (SEG_FILE, read_seg)):
        segmentation, _ = read(tmp_path / case.id / path, ct, STRUCTURES, names)
        for name in STRUCTURES:
            np.testing.assert_array_equal(segmentation.mask(name), predicted.mask(name), err_msg=f"{path} {name}")


@pytest.mark.slow
def test_scores_and_pages_are_those_of_the_masks(experiment: Path, tmp_path: Path) -> None:
    cohort = Cohort.load(experiment / "cohorts" / "task")
    (folder,) = (experiment / "predictions" / "test").iterdir()
    case = cohort.case(folder.name)
    truth, predicted = read_truth(case, STRUCTURES), read_prediction(case, folder.parent, STRUCTURES)
    scores = evaluate(cohort.of_patients([case.patient]), folder.parent, tmp_path / "evaluation").scores
    for score in scores:
        masks = truth.mask(score.structure), predicted.mask(score.structure)
        assert score.truth_cm3 == pytest.approx(masks[0].sum() * case.geometry.voxel_volume / 1000)
        if masks[1].any():
            assert score.dsc == pytest.approx(2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()))
    compared = read_compared_case(cohort, case.id, {"model": folder.parent})
    wrong = np.zeros(len(read_volume(case.image).array), int)
    differ = np.zeros(truth.labels.array.shape, bool)
    for name in STRUCTURES:
        differ |= truth.mask(name) != predicted.mask(name)
    wrong = differ.sum(axis=(1, 2))
    z_mm = truth.labels.geometry.to_world((int(wrong.argmax()), 0, 0))[2]
    worst = compared.worst_slice()
    assert worst.positions_mm == (pytest.approx(z_mm),)
    index = int(wrong.argmax())
    for kind, segmentation in (("reference", truth), ("model", predicted)):
        for name in STRUCTURES:
            drawn = worst.outlines[kind][name] != ("",)
            assert drawn == segmentation.mask(name)[index].any(), f"{kind} {name}"
    page = (experiment / "report.html").read_text(encoding="utf-8")
    assert "GTV-res" in page
