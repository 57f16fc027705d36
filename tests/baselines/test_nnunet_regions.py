"""nnU-Net on a cohort whose structures overlap: trained by regions, and scored as all other models."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from gynbtnet.baselines import nnunet_training
from gynbtnet.baselines.nnunet_library import DATASET
from gynbtnet.baselines.nnunet_model import NnUNetModel
from gynbtnet.baselines.nnunet_training import RECORD, _initialise, train_nnunet
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.datasets import Cohort, Split, read_contours, split_patients
from gynbtnet.evaluation import evaluate
from gynbtnet.imaging import OverlappingSegmentation, read_volume
from gynbtnet.inference import MASKS_FOLDER, PredictionRequest, PredictionSettings, predict_scan
from gynbtnet.runtime import BadInput

from .test_nnunet import own_prediction

TINY = {"epochs": 1, "steps_per_epoch": 4, "validation_steps": 1, "workers": 0, "spacing": (6.0, 5.0, 5.0)}
QUICK = {**TINY, "patch_size": (16, 32, 32), "network": "gynbtnet", "learning_rate": 3e-3, "optimiser": "adamw"}


@pytest.fixture(scope="module")
def split(overlapping_cohort: Cohort) -> Split:
    return split_patients(overlapping_cohort, test=1, folds=2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # nnU-Net's own
def test_from_an_overlapping_cohort_to_scores(overlapping_cohort: Cohort, split: Split, tmp_path: Path) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")
    cohort, out = overlapping_cohort, tmp_path / "run"
    fold = train_nnunet(cohort, split, 0, NnUNetSettings(**QUICK), out)
    dataset = json.loads((out / "raw" / DATASET / "dataset.json").read_text())
    order = ["uterus", "bladder", "hr_ctv", "gtv_res"]  # targets are painted last
    assert list(dataset["labels"]) == ["background", *order]
    assert dataset["regions_class_order"] == [cohort.structures.index(name) + 1 for name in order]
    for case in cohort.of_patients(set(split.patients).difference(split.test)).cases:
        raw = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "raw" / DATASET / "labelsTr" / f"{case.id}.nii.gz")))
        truth = read_contours(case, cohort.structures)
        for name in order:
            np.testing.assert_array_equal(np.isin(raw, dataset["labels"][name]), truth.mask(name))

    model, test = NnUNetModel.load(fold, device="cpu"), cohort.of_patients(split.test)
    (case,) = test.cases
    assert (model.structures, model.outputs) == (cohort.structures, tuple(order))
    segmentation = model.segment([read_volume(case.image)], PredictionSettings()).segmentation
    assert isinstance(segmentation, OverlappingSegmentation)
    labels = own_prediction(out, [0], case.image, tmp_path / "theirs", probabilities=True)
    probabilities = np.load(f"{tmp_path / 'theirs'}.npz")["probabilities"]
    for name, probability in zip(order, probabilities, strict=True):
        np.testing.assert_array_equal(segmentation.mask(name), probability > 0.5)
    np.testing.assert_array_equal(segmentation.labels.array, labels)
    assert segmentation.covered().any()

    request = PredictionRequest.from_path(model, case.image, tmp_path / "predictions" / case.id, check=False)
    predict_scan(model, request)
    assert (tmp_path / "predictions" / case.id / MASKS_FOLDER).is_dir()
    scores = evaluate(test, tmp_path / "predictions", tmp_path / "evaluation").scores
    truth = read_contours(case, cohort.structures)
    for score in scores:
        mask, predicted = truth.mask(score.structure), segmentation.mask(score.structure)
        assert score.dsc == pytest.approx(2 * (mask & predicted).sum() / (mask.sum() + predicted.sum()))
        assert score.truth_cm3 == pytest.approx(truth.volume_cm3(score.structure))


@pytest.mark.parametrize(
    ("changes", "regions"),
    [
        ({}, True),
        ({"outputs": "exclusive"}, False),
        ({"overlap_share": 1.0}, False),
        ({"outputs": "overlapping"}, True),
    ],
)
def test_the_recipe_or_the_overlaps_decide(
    overlapping_cohort: Cohort,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    regions: bool,
) -> None:
    pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")

    def stop(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(nnunet_training, "_plan_and_preprocess", stop)
    with pytest.raises(KeyboardInterrupt):
        train_nnunet(overlapping_cohort, split, 0, NnUNetSettings(**{**TINY, **changes}), tmp_path / "run")
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    assert ("regions" in record) == regions
    if regions:
        del record["regions"]
        (tmp_path / "run" / RECORD).write_text(json.dumps(record))
        with pytest.raises(BadInput, match=r"made from other inputs \(regions\)"):
            train_nnunet(overlapping_cohort, split, 0, NnUNetSettings(**{**TINY, **changes}), tmp_path / "run")


def test_a_trainer_that_needs_a_softmax_is_refused() -> None:
    class Trainer:
        label_manager = SimpleNamespace(has_regions=True)

        def initialize(self) -> None:
            raise AssertionError("regions not supported by this trainer")

    with pytest.raises(BadInput, match="Trainer can't learn structures that overlap; use another trainer"):
        _initialise(Trainer())
