"""A small model with everything that its card can be filled from: settings, cohort, split, evaluation."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file

from gynbtnet.datasets import Case, Cohort, Source, Split
from gynbtnet.imaging import Geometry
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, PostprocessingRule, StructureVolume, save_plan
from gynbtnet.runtime import write_json
from gynbtnet.training import TrainingData

STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
PATIENT = "DOE-JANE-19470911"
"""PatientID that the source of each case names."""


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    plan = Plan(
        structures=("bladder", "rectum"),
        spacing=(2.0, 2.0, 2.0),
        normalisation="zscore",
        intensities=None,
        patch_size=(16, 32, 32),
        batch_size=2,
        preset="XS",
        strides=STRIDES,
        volumes=(StructureVolume("bladder", 12, 90.0, 0.4), StructureVolume("rectum", 3, 60.0, 0.3)),
        postprocessing=(PostprocessingRule("bladder", largest_component=True),),
        notes=("rectum has no contours in 3 scans of patient-007.",),
    )
    folder = tmp_path / "task"
    save_plan(plan, folder)
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=3, strides=STRIDES).state_dict(), folder / "weights_last.safetensors")
    TrainingData(20, 12, synthetic=False).save(folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"settings": {"learning_rate": 0.006, "seed": 3}}))
    write_json([{"device": "cuda:0", "torch": "2.8.0", "platform": "host-of-the-clinic"}], folder / "environment.json")
    return folder


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Twelve patients to learn from and two to test, one scan each; one has another applicator."""
    folder = tmp_path / "cohort"
    (folder / "imagesTr").mkdir(parents=True)
    cases = []
    for number in range(1, 15):
        image = folder / "imagesTr" / f"{PATIENT}-{number}_0000.nii.gz"
        image.touch()
        case = Case(
            f"patient-{number:03d}",
            1,
            f"{PATIENT}-{number}",
            (image,),
            None,
            Source(Path("/archive") / PATIENT, series_uid=f"1.2.3.{number}"),
            Geometry((8, 8, 8), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
            volumes_cm3={"bladder": 80.0} | ({"rectum": 50.0} if number < 4 else {}),
            applicator="tandem+ring" if number == 1 else "tandem+ovoids",
        )
        cases.append(case)
    made = Cohort("cohort of the clinic", ("bladder", "rectum"), tuple(cases), folder)
    made.save()
    return made


@pytest.fixture
def split(cohort: Cohort, tmp_path: Path) -> Path:
    patients = cohort.patients
    Split(patients[12:], (patients[:6], patients[6:12]), 0).save(tmp_path / "split.json")
    return tmp_path / "split.json"


@pytest.fixture
def evaluation(cohort: Cohort, tmp_path: Path) -> Path:
    """Scores of six patients, of which two lack the rectum."""
    rows = []
    for number, case in enumerate(cohort.cases[:6]):
        for structure in ("bladder", "rectum")[: 2 if number < 4 else 1]:
            scores = {"dsc": 0.8 + 0.01 * number, "hd95_mm": 4.0, "asd_mm": 1.0, "surface_dsc": 0.9}
            scores |= {"hausdorff_mm": 9.0, "volume_difference_cm3": 1.0, "centroid_shift_mm": 1.0}
            scores |= {
                "added_path_length_mm": 10.0,
                "added_path_length_share": 0.1,
                "added_path_length_1_voxel_mm": 5.0,
            }
            scores |= {"added_path_length_1_voxel_share": 0.05}
            names = {"case": case.id, "patient": case.patient, "structure": structure, "missing_in": "none"}
            volumes = {"truth_cm3": 80.0, "prediction_cm3": 81.0}
            settings = {"missing_structure_policy": "worst", "tolerance_mm": 2.0, "surface": "voxels"}
            rows.append(names | scores | volumes | settings)
    folder = tmp_path / "evaluation"
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
    return folder


@pytest.fixture
def synthetic_cohort(cohort: Cohort) -> Cohort:
    """The same cohort, marked as synthetic."""
    cases = tuple(replace(case, source=replace(case.source, synthetic=True)) for case in cohort.cases)
    made = replace(cohort, cases=cases)
    made.save()
    return made
