"""What is predicted, by which regression, and how it is said."""

import math
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch

from gynbtnet.imaging import Geometry, Segmentation, Volume
from gynbtnet.inference.engine.mirroring import tta_signature
from gynbtnet.inference.engine.segmenter import SegmentationResult
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
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan, save_plan
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.preparation.planning.structure_volumes import StructureVolume
from gynbtnet.runtime.errors import BadInput

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


def test_figures_that_look_bad() -> None:
    assert shape_features(WHOLE, VOLUME) == (0, 0, 0)
    odd = StructureFeatures("bladder", 100 * math.exp(-0.75), 3, 0.9, ("inferior",))
    assert shape_features(odd, VOLUME) == pytest.approx((1.5, 0.1, 1))
    assert shape_features(replace(odd, volume_cm3=1e-3), VOLUME)[0] == 5
    assert shape_features(odd, None)[0] == 0
    assert agreement_feature(0.9) == pytest.approx(-math.log(9))
    assert agreement_feature(1.0) == pytest.approx(-math.log(99))


def test_agreement_counts_where_passes_are_those_of_the_calibration() -> None:
    def dsc(agreement: float, passes: str) -> float:
        found = quality().predict(WHOLE, agreement, passes)
        assert found is not None
        assert found.low < found.dsc < found.high
        return found.dsc

    by_shape, by_agreement = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-3 - math.log(9)))
    assert dsc(0.9, PASSES) == pytest.approx(by_agreement)
    assert dsc(0.9, MANY) == pytest.approx(by_shape)
    assert dsc(math.nan, PASSES) == pytest.approx(by_shape)


def test_what_was_not_drawn_or_not_calibrated_has_no_predicted_dsc() -> None:
    assert quality().predict(replace(WHOLE, volume_cm3=0.0), 0.9, PASSES) is None
    assert quality().predict(replace(WHOLE, structure="hr_ctv"), 0.9, PASSES) is None
    assert quality().predict(replace(WHOLE, structure="sigmoid"), 0.9, PASSES) is None


def test_json_keeps_all_and_damage_is_told(tmp_path: Path) -> None:
    assert Quality.load(tmp_path) is None
    quality().save(tmp_path)
    assert Quality.load(tmp_path) == quality()
    (tmp_path / "quality.json").write_text('{"passes": "x", "structures": [{}]}')
    with pytest.raises(BadInput, match=r"quality\.json is damaged"):
        Quality.load(tmp_path)


def drawn(passes: str = FEW) -> SegmentationResult:
    """No target; a bladder of 96 cm³ with 8 cm³ beside it, reaching the lowest slice."""
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
    return review_segmentation(model(PLAN, calibration), drawn(), settings)


class ThirdParty:
    """What a review reads of a model of another program."""

    plan = None
    quality = None


def test_a_review_mends_flags_and_predicts() -> None:
    found = reviewed(0.7, quality())
    assert found.segmentation.volume_cm3("bladder") == pytest.approx(96)
    assert [(flag.structure, flag.kind) for flag in found.flags] == [
        ("hr_ctv", "missing"),
        ("bladder", "edge"),
        ("bladder", "disagreement"),
    ]
    expected = found.predicted_dsc["bladder"]
    level = 2.0 - 0.5 * abs(math.log(0.96) / 0.5) - 0.1  # of one piece, at the edge
    assert expected is not None
    assert (expected.dsc, expected.low, expected.high) == pytest.approx(
        [1 / (1 + math.exp(-value)) for value in (level, level - 0.5, level + 0.5)]
    )
    assert found.predicted_dsc["hr_ctv"] is None


def test_to_review_is_what_may_lie_below_the_limit_or_was_not_drawn() -> None:
    found = reviewed(0.7, quality())
    assert found.needs_review("bladder") is False
    assert found.needs_review("hr_ctv") is True
    assert reviewed(0.9, quality()).needs_review("bladder") is True
    assert reviewed(0.7).needs_review("bladder") is None


def test_the_words() -> None:
    found = reviewed(0.9, quality())
    assert found.remarks["bladder"] == (
        "REVIEW. Predicted DSC 0.87 (likely 0.80 to 0.91). Bladder reaches the inferior edge of the scan. Its volume "
        "and dose beyond it are unknown. Bladder is uncertain: the averaged predictions agree with their mean "
        "only to a Dice coefficient of 0.60. Check its whole border."
    )
    assert found.remarks["hr_ctv"].startswith("REVIEW. HR-CTV was not found.")
    assert found.summary == "Review: HR-CTV, Bladder. Flagged: HR-CTV, Bladder."


def test_without_plan_and_quality_there_are_flags_alone() -> None:
    found = review_segmentation(ThirdParty(), drawn(), PredictionSettings())
    assert found.segmentation.volume_cm3("bladder") == pytest.approx(104)
    assert {flag.kind for flag in found.flags} == {"missing", "fragmented", "edge", "disagreement"}
    assert found.summary.endswith("No predicted DSC: Bladder.")


def test_an_ensemble_goes_by_what_stands_beside_its_folds(tmp_path: Path) -> None:
    """The rules of the cross-validation, and its quality; the agreement of more passes doesn't count."""
    fold = replace(PLAN, postprocessing=(), volumes=())
    two = tta_signature(PredictionSettings(), PLAN, 2)
    member = model(fold, None, tmp_path / "fold_0")
    ensemble = Ensemble.combine(tmp_path, (member, member), PLAN, quality(passes=two))
    fold_alone = review_segmentation(ensemble.members[0], drawn(), PredictionSettings())
    assert fold_alone.segmentation.volume_cm3("bladder") == pytest.approx(104)
    assert fold_alone.predicted_dsc == {"hr_ctv": None, "bladder": None}
    found = review_segmentation(ensemble, drawn(two), PredictionSettings(review_dsc_threshold=0.2))
    assert found.needs_review("bladder") is False
    assert found.segmentation.volume_cm3("bladder") == pytest.approx(96)
    by_agreement = found.predicted_dsc["bladder"]
    by_shape = review_segmentation(ensemble, drawn(PASSES), PredictionSettings(folds=1))
    assert by_agreement is not None
    assert by_agreement.dsc == pytest.approx(1 / (1 + math.exp(-3 - math.log(0.6 / 0.4))))
    assert by_shape.predicted_dsc["bladder"] != by_agreement
    assert len({rules_sha256(one) for one in (ensemble, member, replace(ensemble, plan=fold))}) == 3


def test_an_ensemble_takes_rules_and_quality_from_beside_its_folds(model_folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "crossvalidation"
    for number in range(2):
        copytree(model_folder, whole / f"fold_{number}")
    assert load_model(whole).plan == load_plan(model_folder)
    rules = (PostprocessingRule("rectum", fill_holes=True),)
    save_plan(replace(load_plan(model_folder), postprocessing=rules, volumes=(VOLUME,)), whole)
    quality().save(whole)
    zipped = write_archive(whole, tmp_path / "model.zip", weights="last")
    for place in (whole, zipped):
        loaded = load_model(place)
        assert isinstance(loaded, Ensemble)
        assert (loaded.plan.postprocessing, loaded.plan.volumes, loaded.quality) == (rules, (VOLUME,), quality())
    save_plan(replace(load_plan(model_folder), spacing=(3.0, 2.0, 2.0)), whole)
    with pytest.raises(BadInput, match="another plan than that of the folds"):
        load_model(whole)
