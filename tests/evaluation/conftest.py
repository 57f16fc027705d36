"""A cohort of three patients and four cases with two structures, predictions with increasing errors, and doses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.dose.agreement import dose_agreements
from gynbtnet.evaluation.dose.course import course_doses
from gynbtnet.evaluation.dose.external_beam import ExternalBeam
from gynbtnet.evaluation.dose.pages.report import DoseContent
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.score import CURVE_COLUMNS, DoseScore
from gynbtnet.evaluation.dose.tables import summarise_dose
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging import Geometry, StructureNames, Volume, write_volume

STRUCTURES = ("bladder", "rectum")
GEOMETRY = Geometry((12, 20, 24), (4.0, 3.0, 3.0), (-36.0, -30.0, 10.0))
SHIFTS = {"p1_f1": 0, "p1_f2": 1, "p2_f1": 2, "p3_f1": 3}


def label_map(shift: int = 0) -> np.ndarray:
    """Return a bladder in front of a rectum, both moved ``shift`` voxels to the left."""
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[4:8, 4:9, 6 + shift : 14 + shift] = 1
    labels[2:10, 12:15, 8 + shift : 12 + shift] = 2
    return labels


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    cases: list[Case] = []
    for name in SHIFTS:
        image, labels = folder / "imagesTr" / f"{name}_0000.nii.gz", folder / "labelsTr" / f"{name}.nii.gz"
        noise = np.random.default_rng([1, len(cases)]).normal(20, 30, GEOMETRY.shape)
        write_volume(Volume(noise.astype(np.int16), GEOMETRY), image)
        write_volume(Volume(label_map(), GEOMETRY), labels)
        volumes = {s: float((label_map() == i).sum()) * 0.036 for i, s in enumerate(STRUCTURES, start=1)}
        source = Source(synthetic=True)
        cases.append(Case(name[:2], int(name[-1]), name, (image,), labels, source, GEOMETRY, volumes_cm3=volumes))
    return Cohort("mini", STRUCTURES, tuple(cases), folder)


@pytest.fixture(scope="session")
def predicted(scanned: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictions")
    for name, shift in SHIFTS.items():
        write_volume(Volume(label_map(shift), GEOMETRY), folder / name / "labels.nii.gz")
    return folder


DOSES = {  # Gy of one fraction, manual and automatic
    "hr_ctv": ("D90", {"p1_f1": (7.0, 7.2), "p1_f2": (7.0, 6.9), "p2_f1": (7.5, 7.5), "p3_f1": (8.0, 7.8)}),
    "bladder": ("D2cc", {"p1_f1": (7.0, 7.5), "p1_f2": (7.0, 6.8), "p2_f1": (7.0, 7.1), "p3_f1": (12.0, 12.5)}),
    "rectum": ("D2cc", {"p1_f1": (5.0, 5.1), "p1_f2": (5.0, 4.8), "p2_f1": (5.0, 5.0), "p3_f1": (5.0, np.nan)}),
}


@pytest.fixture(scope="session")
def dose_content(scanned: Cohort) -> DoseContent:
    """Return the content of a dose report: the prediction lacks one rectum, and changes the verdict of one bladder."""
    scores = [
        DoseScore(
            name, name[:2], int(name[-1]), structure, metric, manual, automatic, automatic - manual,
            automatic_note="no contour" if np.isnan(automatic) else "",
        )
        for structure, (metric, of_cases) in DOSES.items()
        for name, (manual, automatic) in of_cases.items()
    ]  # fmt: skip
    curves = [
        (one.case, one.structure, who, percent, percent / 10, dose * factor)
        for one in scores
        for who, dose in (("manual", one.manual_gy), ("automatic", one.automatic_gy))
        for percent, factor in ((0.25, 2.0), (50.0, 1.0), (100.0, 0.5))
        if not np.isnan(dose)
    ]
    beams, aims = dict.fromkeys(scanned.patients, ExternalBeam(45, 25)), PlanningAims.load()
    return DoseContent(
        cohort=scanned,
        scores=scores,
        summary=summarise_dose(scores, predicted=True),
        courses=course_doses(scores, beams, aims, DoseSettings(), StructureNames.load(), predicted=True),
        aims=aims,
        agreements=dose_agreements(scores, synthetic=True),
        curves=pd.DataFrame(curves, columns=list(CURVE_COLUMNS)),
        settings=(("external beam", "45 Gy in 25 fractions"),),
        predicted=True,
    )
