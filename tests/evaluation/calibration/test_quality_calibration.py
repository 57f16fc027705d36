"""Calibration of the predicted DSC on out-of-fold predictions with known errors."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import Case, Cohort, Source, Split
from gynbtnet.evaluation.calibration.quality_calibration import calibrate_quality, measure_structures
from gynbtnet.imaging import (
    NO_NESTING,
    Geometry,
    Nesting,
    Segmentation,
    StructureMasks,
    Volume,
    paint_masks,
    write_mask_folder,
    write_volume,
)
from gynbtnet.inference import postprocess, structure_features
from gynbtnet.preparation import PostprocessingRule, structure_volumes

GRID = Geometry((10, 12, 20), (10.0, 10.0, 10.0))  # voxels of 1 cm³
PATIENTS = 10
PASSES = "1, mirrored zyx"
SPLIT = Split((), tuple(tuple(f"p{n}" for n in range(PATIENTS) if n % 2 == fold) for fold in range(2)), 0)


def shift(number: int) -> int:
    return number % 4


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Write two fractions per patient; predictions are shifted by n % 4 voxels, which lowers the agreement."""
    folder = tmp_path_factory.mktemp("cohort")
    cases = []
    for number in range(PATIENTS):
        for fraction in (1, 2):
            name = f"p{number}_f{fraction}"
            truth, predicted = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape, np.uint8)
            truth[2:8, 2:8, 4 : 12 + number % 3] = 1
            predicted[2:8, 2:8, 4 + shift(number) : 12 + number % 3 + shift(number)] = 1
            labels, image = folder / "labelsTr" / f"{name}.nii.gz", folder / "imagesTr" / f"{name}_0000.nii.gz"
            write_volume(Volume(truth, GRID), labels)
            target = folder / "predictions" / name
            write_volume(Volume(predicted, GRID), target / "labels.nii.gz")
            manifest = {"structures": ["bladder"], "agreement": {"bladder": 0.95 - 0.1 * shift(number)}}
            (target / "prediction.json").write_text(json.dumps(manifest))
            volumes = {"bladder": float(truth.sum())}
            cases.append(Case(f"p{number}", fraction, name, (image,), labels, Source(), GRID, volumes_cm3=volumes))
    return Cohort("boxes", ("bladder",), tuple(cases), folder)


def test_measured_structures(cohort: Cohort) -> None:
    measured = measure_structures(cohort, SPLIT, cohort.folder / "predictions", (), NO_NESTING)["bladder"]
    assert len(measured) == 2 * PATIENTS
    for structure in measured:
        number = int(structure.patient[1:])
        length = 8 + number % 3
        assert structure.dsc == pytest.approx((length - shift(number)) / length)
        assert structure.agreement == pytest.approx(0.95 - 0.1 * shift(number))
        others = cohort.of_patients(SPLIT.folds[1 - number % 2])
        assert (
            structure.training_volume == structure_volumes(others)[0]
        )  # volumes of the training patients of this fold


def test_a_shift_lowers_the_agreement_and_keeps_the_shape(cohort: Cohort) -> None:
    quality = calibrate_quality(cohort, SPLIT, cohort.folder / "predictions", (), NO_NESTING, tta_signature=PASSES)
    (bladder,) = quality.structures
    assert bladder.patients == PATIENTS
    assert bladder.volume == structure_volumes(cohort)[0]
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:8, 2:8, 4:13] = 1
    (features,) = structure_features(Segmentation(Volume(labels, GRID), ("bladder",)))
    sure, unsure = (quality.predict(features, agreement, PASSES) for agreement in (0.95, 0.65))
    assert sure is not None
    assert unsure is not None
    assert sure.dsc > 0.9 > 0.75 > unsure.dsc
    assert unsure.low < unsure.dsc < unsure.high
    blind = quality.predict(features, 0.65, "others")
    assert blind is not None
    assert blind.high - blind.low > unsure.high - unsure.low


def test_without_agreement_only_the_shape_is_calibrated(cohort: Cohort, tmp_path: Path) -> None:
    manifest = {"structures": ["bladder"], "agreement": {"bladder": None}}
    for case in cohort.cases:
        source, target = cohort.folder / "predictions" / case.id, tmp_path / case.id
        target.mkdir()
        (target / "labels.nii.gz").write_bytes((source / "labels.nii.gz").read_bytes())
        (target / "prediction.json").write_text(json.dumps(manifest))
    (bladder,) = calibrate_quality(cohort, SPLIT, tmp_path, (), NO_NESTING, tta_signature=PASSES).structures
    assert bladder.from_agreement is None
    assert bladder.from_shape is not None
    assert math.isnan(measure_structures(cohort, SPLIT, tmp_path, (), NO_NESTING)["bladder"][0].agreement)


def test_eight_patients_are_not_calibrated(cohort: Cohort) -> None:
    fewer = Split((), tuple(fold[:4] for fold in SPLIT.folds), 0)
    seen = cohort.of_patients(fewer.patients)
    (bladder,) = calibrate_quality(
        seen, fewer, cohort.folder / "predictions", (), NO_NESTING, tta_signature=PASSES
    ).structures
    assert (bladder.from_shape, bladder.from_agreement, bladder.patients) == (None, None, 8)


def test_contours_are_measured_as_they_are_delivered(tmp_path: Path) -> None:
    """A rule removes a part of the uterus; the part of the cervix inside of it is then removed, too."""
    names, nesting = ("uterus", "cervix"), Nesting((("cervix", "uterus"),))
    uterus, cervix = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    uterus[2:8, 2:8, 2:10], cervix[3:6, 3:6, 3:6] = True, True
    truth = StructureMasks.of({"uterus": uterus, "cervix": cervix}, GRID)
    uterus[2:5, 2:5, 15:18] = cervix[2:4, 2:4, 15:17] = True
    predicted = StructureMasks.of({"uterus": uterus, "cervix": cervix}, GRID)
    cases = []
    for number in range(2):
        name = f"p{number}_f1"
        labels, masks = tmp_path / f"{name}.nii.gz", tmp_path / f"{name}_masks.nii.gz"
        write_volume(paint_masks(truth).labels, labels)
        write_volume(truth.bits, masks)
        write_mask_folder(paint_masks(predicted), tmp_path / "predictions" / name / "masks")
        (tmp_path / "predictions" / name / "prediction.json").write_text(json.dumps({"structures": names}))
        case = Case(f"p{number}", 1, name, (tmp_path / name,), labels, Source(), GRID)
        cases.append(replace(case, masks=masks, masked=truth.structures))
    rules = (PostprocessingRule("uterus", largest_component=True),)
    cohort, split = Cohort("nested", names, tuple(cases), tmp_path), Split((), (("p0",), ("p1",)), 0)
    measured = measure_structures(cohort, split, tmp_path / "predictions", rules, nesting)
    delivered = postprocess(paint_masks(predicted), rules, nesting)
    assert delivered.mask("cervix").sum() == 27
    for features in structure_features(delivered):
        assert [one.features for one in measured[features.structure]] == [features] * 2
        assert [one.dsc for one in measured[features.structure]] == [1.0, 1.0]


def test_postprocessing_is_applied_first_and_unknown_structures_are_excluded(cohort: Cohort) -> None:
    removed = (PostprocessingRule("bladder", minimum_cm3=350),)  # the longest, 360 cm³, are kept
    measured = measure_structures(cohort, SPLIT, cohort.folder / "predictions", removed, NO_NESTING)["bladder"]
    assert {int(structure.patient[1:]) % 3 for structure in measured} == {2}
    unknown = replace(cohort, cases=tuple(replace(case, missing=("bladder",)) for case in cohort.cases))
    assert measure_structures(unknown, SPLIT, cohort.folder / "predictions", (), NO_NESTING)["bladder"] == []
