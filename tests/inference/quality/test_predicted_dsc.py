"""Predicted DSC, the regression that is used, and the texts of a review."""

import math
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any, cast

import numpy as np
import pytest
import torch

from gynbtnet.imaging import Geometry, Segmentation, Volume
from gynbtnet.inference.engine.mirroring import tta_signature
from gynbtnet.inference.engine.segmenter import SegmentationResult, Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.ensemble import Ensemble
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_archive import write_archive
from gynbtnet.inference.models.model_loading import load_model
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.quality.dsc_regression import CalibratedDSC, Line, WithoutPatient
from gynbtnet.inference.quality.predicted_dsc import (
    Quality,
    StructureQuality,
    agreement_feature,
    shape_features,
)
from gynbtnet.inference.quality.structure_features import StructureFeatures
from gynbtnet.inference.review import review_segmentation, rules_sha256
from gynbtnet.preparation import Plan, PostprocessingRule, StructureVolume, load_plan, save_plan
from gynbtnet.runtime import BadInput

VOLUME = StructureVolume("bladder", 20, 100.0, 0.5)
WHOLE = StructureFeatures("bladder", 100.0, 1, 1.0, ())
PLAN = Plan(
    structures=("hr_ctv", "bladder"),
    spacing=(2.0, 2.0, 2.0),
    normalisation="zscore",
    intensities=None,
    patch_size=(16, 32, 32),
    batch_size=2,
    preset="XS",
    strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    volumes=(VOLUME,),
    postprocessing=(PostprocessingRule("bladder", largest_component=True),),
)
PASSES, FEW = (tta_signature(PredictionSettings(mirroring=mirroring), PLAN) for mirroring in (True, False))
MANY = tta_signature(PredictionSettings(), PLAN, members=5)


def calibrated(intercept: float, *slopes: float) -> CalibratedDSC:
    line = Line(intercept, slopes)
    return CalibratedDSC(line, tuple(WithoutPatient(line, (0.5,)) for _ in range(12)))


def quality(**changed: Any) -> Quality:
    shape, agreement = calibrated(2.0, -0.5, -4.0, -0.1), calibrated(3.0, -1.0, 0.0, 0.0, 0.0)
    bladder = StructureQuality("bladder", 12, VOLUME, shape, agreement)
    target = StructureQuality("hr_ctv", 3, None, None, None)
    return replace(Quality(PASSES, (target, bladder)), **changed)


def test_features_that_look_bad() -> None:
    assert shape_features(WHOLE, VOLUME) == (0, 0, 0)
    odd = StructureFeatures("bladder", 100 * math.exp(-0.75), 3, 0.9, ("inferior",))
    assert shape_features(odd, VOLUME) == pytest.approx((1.5, 0.1, 1))
    assert shape_features(replace(odd, volume_cm3=1e-3), VOLUME)[0] == 5
    assert shape_features(odd, None)[0] == 0
    assert agreement_feature(0.9) == pytest.approx(-math.log(9))
    assert agreement_feature(1.0) == pytest.approx(-math.log(99))


def test_agreement_is_used_if_passes_are_those_of_the_calibration() -> None:
    def dsc(agreement: float, passes: str) -> float:
        prediction = quality().predict(WHOLE, agreement, passes)
        assert prediction is not None
        assert prediction.low < prediction.dsc < prediction.high
        return prediction.dsc

    by_shape, by_agreement = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-3 - math.log(9)))
    assert dsc(0.9, PASSES) == pytest.approx(by_agreement)
    assert dsc(0.9, MANY) == pytest.approx(by_shape)
    assert dsc(math.nan, PASSES) == pytest.approx(by_shape)


def test_empty_or_uncalibrated_structures_have_no_predicted_dsc() -> None:
    assert quality().predict(replace(WHOLE, volume_cm3=0.0), 0.9, PASSES) is None
    assert quality().predict(replace(WHOLE, structure="hr_ctv"), 0.9, PASSES) is None
    assert quality().predict(replace(WHOLE, structure="sigmoid"), 0.9, PASSES) is None


def test_json_round_trip_and_damage(tmp_path: Path) -> None:
    assert Quality.load(tmp_path) is None
    quality().save(tmp_path)
    assert Quality.load(tmp_path) == quality()
    (tmp_path / "quality.json").write_text('{"passes": "x", "structures": [{}]}')
    with pytest.raises(BadInput, match=r"quality\.json is damaged"):
        Quality.load(tmp_path)


def model_output(passes: str = FEW) -> SegmentationResult:
    """No target; a bladder of 96 cm³ with 8 cm³ next to it, reaching the lowest slice."""
    labels = np.zeros((16, 12, 12), np.uint8)
    labels[:12, 2:4, 2:6] = 2
    labels[14, 8, 3:11] = 2
    segmentation = Segmentation(Volume(labels, Geometry(labels.shape, (10, 10, 10))), PLAN.structures)
    return SegmentationResult(segmentation, {"bladder": 0.6}, passes)


def model(plan: Plan, calibration: Quality | None, folder: Path = Path("fold_0")) -> Model:
    return Model(
        folder=folder,
        weights="weights_last.safetensors",
        sha256="0" * 64,
        plan=plan,
        network=torch.nn.Identity(),
        device=torch.device("cpu"),
        quality=calibration,
    )


def reviewed(threshold: float = 0.7, calibration: Quality | None = None) -> Prediction:
    settings = PredictionSettings(review_dsc_threshold=threshold)
    return review_segmentation(model(PLAN, calibration), model_output(), settings)


class ThirdParty:
    """The part of a third-party model that a review reads."""

    plan = None
    quality = None


def test_a_review_postprocesses_flags_and_predicts() -> None:
    prediction = reviewed(0.7, quality())
    assert prediction.segmentation.volume_cm3("bladder") == pytest.approx(96)
    assert [(flag.structure, flag.kind) for flag in prediction.flags] == [
        ("hr_ctv", "missing"),
        ("bladder", "edge"),
        ("bladder", "disagreement"),
    ]
    expected = prediction.predicted_dsc["bladder"]
    level = 2.0 - 0.5 * abs(math.log(0.96) / 0.5) - 0.1  # one component, at the edge
    assert expected is not None
    assert (expected.dsc, expected.low, expected.high) == pytest.approx(
        [1 / (1 + math.exp(-value)) for value in (level, level - 0.5, level + 0.5)]
    )
    assert prediction.predicted_dsc["hr_ctv"] is None


def test_structures_below_the_threshold_or_empty_need_review() -> None:
    prediction = reviewed(0.7, quality())
    assert prediction.needs_review("bladder") is False
    assert prediction.needs_review("hr_ctv") is True
    assert reviewed(0.9, quality()).needs_review("bladder") is True
    assert reviewed(0.7).needs_review("bladder") is None


def test_the_texts() -> None:
    prediction = reviewed(0.9, quality())
    assert prediction.remarks["bladder"] == (
        "REVIEW. Predicted DSC 0.87 (likely 0.80 to 0.91). Bladder reaches the inferior edge of the scan. Its volume "
        "and dose beyond it are unknown. Bladder is uncertain: the averaged predictions agree with their mean "
        "only to a Dice coefficient of 0.60. Check its whole border."
    )
    assert prediction.remarks["hr_ctv"].startswith("REVIEW. HR-CTV was not found.")
    assert prediction.summary == "Review: HR-CTV, Bladder. Flagged: HR-CTV, Bladder."


def test_without_plan_and_quality_there_are_only_flags() -> None:
    prediction = review_segmentation(cast(Segmenter, ThirdParty()), model_output(), PredictionSettings())
    assert prediction.segmentation.volume_cm3("bladder") == pytest.approx(104)
    assert {flag.kind for flag in prediction.flags} == {"missing", "fragmented", "edge", "disagreement"}
    assert prediction.summary.endswith("No predicted DSC: Bladder.")


def test_an_ensemble_uses_the_rules_of_its_cross_validation(tmp_path: Path) -> None:
    """Rules and quality are those of the cross-validation; the agreement of more forward passes isn't used."""
    fold = replace(PLAN, postprocessing=(), volumes=())
    two = tta_signature(PredictionSettings(), PLAN, 2)
    member = model(fold, None, tmp_path / "fold_0")
    ensemble = Ensemble.combine(tmp_path, (member, member), PLAN, quality(passes=two))
    fold_alone = review_segmentation(ensemble.members[0], model_output(), PredictionSettings())
    assert fold_alone.segmentation.volume_cm3("bladder") == pytest.approx(104)
    assert fold_alone.predicted_dsc == {"hr_ctv": None, "bladder": None}
    prediction = review_segmentation(ensemble, model_output(two), PredictionSettings(review_dsc_threshold=0.2))
    assert prediction.needs_review("bladder") is False
    assert prediction.segmentation.volume_cm3("bladder") == pytest.approx(96)
    by_agreement = prediction.predicted_dsc["bladder"]
    by_shape = review_segmentation(ensemble, model_output(PASSES), PredictionSettings(folds=1))
    assert by_agreement is not None
    assert by_agreement.dsc == pytest.approx(1 / (1 + math.exp(-3 - math.log(0.6 / 0.4))))
    assert by_shape.predicted_dsc["bladder"] != by_agreement
    assert len({rules_sha256(variant) for variant in (ensemble, member, replace(ensemble, plan=fold))}) == 3


def test_an_ensemble_loads_rules_and_quality_of_its_cross_validation(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "crossvalidation"
    for number in range(2):
        copytree(model_folder, folder / f"fold_{number}")
    assert load_model(folder).plan == load_plan(model_folder)
    rules = (PostprocessingRule("rectum", fill_holes=True),)
    save_plan(replace(load_plan(model_folder), postprocessing=rules, volumes=(VOLUME,)), folder)
    quality().save(folder)
    archive = write_archive(folder, tmp_path / "model.zip", weights="last")
    for path in (folder, archive):
        loaded = load_model(path)
        assert isinstance(loaded, Ensemble)
        assert (loaded.plan.postprocessing, loaded.plan.volumes, loaded.quality) == (rules, (VOLUME,), quality())
    save_plan(replace(load_plan(model_folder), spacing=(3.0, 2.0, 2.0)), folder)
    with pytest.raises(BadInput, match="another plan than that of the folds"):
        load_model(folder)
