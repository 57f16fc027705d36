"""``run`` takes a clinic's export, an ingested cohort and an nnU-Net raw dataset, with the split of the dataset."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.datasets import Cohort, Split, ingest
from gynbtnet.experiment.folders import Experiment
from gynbtnet.experiment.report import report_experiment
from gynbtnet.experiment.scans import Scans, ingest_scans
from gynbtnet.imaging import read_volume, write_volume
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.recipes import load_recipe, save_recipe
from gynbtnet.runtime import BadInput


def ingested(source: Path, out: Path, **options: object) -> Cohort:
    recipe = load_recipe("smoke", ["supervised=null", "pretraining=null", "structures=[bladder]"])
    return ingest_scans(recipe, Scans(source, **options), Experiment(out)).cohort  # type: ignore[arg-type]


@pytest.mark.slow
def test_run_takes_an_export_a_cohort_and_a_dataset(tmp_path: Path) -> None:
    export = tmp_path / "export"
    write_brachytherapy(export, patients=4, fractions=1, spacing=(12, 10, 10), matrix=(16, 32, 40))
    cohort = ingest(export, tmp_path / "cohort", structures=("bladder",)).cohort
    from_export, from_cohort = ingested(export, tmp_path / "a"), ingested(cohort.folder, tmp_path / "b")
    assert [case.id for case in from_export.cases] == [case.id for case in from_cohort.cases]
    assert [case.source.series_uid for case in from_export.cases] == [
        case.source.series_uid for case in from_cohort.cases
    ]
    assert [case.volumes_cm3 for case in from_export.cases] == [case.volumes_cm3 for case in from_cohort.cases]
    raw = tmp_path / "Dataset001"
    for number, case in enumerate(cohort.cases):
        write_volume(read_volume(case.image), raw / "imagesTr" / f"gyn_{number:03d}_0000.nii.gz")
        write_volume(read_volume(case.labels), raw / "labelsTr" / f"gyn_{number:03d}.nii.gz")
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "Bladder": 1}, "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps(description))
    names = [f"gyn_{number:03d}" for number in range(4)]
    folds = [{"train": names[:2], "val": names[2:3]}, {"train": names[1:3], "val": names[:1]}]
    folds.append({"train": [names[0], names[2]], "val": names[1:2]})
    (tmp_path / "splits_final.json").write_text(json.dumps(folds))
    from_dataset = ingested(raw, tmp_path / "c", split=tmp_path / "splits_final.json")
    assert [case.id for case in from_dataset.cases] == names
    split = Split.load(Experiment(tmp_path / "c").split)
    assert (split.test, split.folds) == (("gyn_003",), (("gyn_002",), ("gyn_000",), ("gyn_001",)))
    with pytest.raises(BadInput, match="was begun with another split"):
        ingested(raw, tmp_path / "c")
    folds[0]["train"].append("gyn_003")
    folds[1]["train"].append("gyn_003")
    folds[2]["train"].append("gyn_003")
    (tmp_path / "splits_final.json").write_text(json.dumps([*folds, {"train": names[:3], "val": names[3:]}]))
    with pytest.raises(BadInput, match="holds out no patient for the test"):
        ingested(raw, tmp_path / "d", split=tmp_path / "splits_final.json")
    with pytest.raises(BadInput, match="--rtstruct selects among the RTSTRUCTs of a DICOM export"):
        ingested(raw, tmp_path / "e", rtstruct=("latest",))


def test_a_recipe_that_holds_out_no_patient_is_refused_before_training(cohort: Cohort, tmp_path: Path) -> None:
    changes = ["supervised=null", "pretraining=null", "structures=[ball]", "split.test=0"]
    experiment = Experiment(tmp_path / "experiment")
    with pytest.raises(BadInput, match="holds out no patient for the test"):
        ingest_scans(load_recipe("smoke", changes), Scans(cohort.folder), experiment)
    assert not experiment.recipe.exists()


def test_a_report_on_no_test_patient_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "experiment")
    save_recipe(load_recipe("smoke", ["structures=[ball]"]), experiment.recipe)
    shutil.copytree(cohort.folder, experiment.cohort("task"))
    Split((), (cohort.patients[:2], cohort.patients[2:]), 0).save(experiment.split)
    with pytest.raises(BadInput, match="holds out no patient for the test"):
        report_experiment(experiment)


@pytest.mark.parametrize("brightness", [0, 1])
def test_a_scan_of_a_test_patient_is_refused_in_stage_2(cohort: Cohort, tmp_path: Path, brightness: int) -> None:
    """Under another name, as organ data sets have them; a scan with other voxels is accepted."""
    recipe = load_recipe("smoke", ["pretraining=null", "structures=[ball]", "supervised.structures=[urinary_bladder]"])
    held_out = ingest_scans(
        recipe.model_copy(update={"supervised": None}), Scans(cohort.folder), Experiment(tmp_path / "first")
    ).test.cases[0]
    image, scan = read_volume(held_out.image), tmp_path / "organs" / "s0004"
    write_volume(replace(image, array=image.array + brightness), scan / "ct.nii.gz")
    bladder = np.zeros(image.array.shape, np.uint8)
    bladder[1:3, 1:3, 1:3] = 1
    write_volume(replace(image, array=bladder), scan / "segmentations" / "urinary_bladder.nii.gz")
    scans = Scans(cohort.folder, supervised=tmp_path / "organs")
    if brightness:
        organs = ingest_scans(recipe, scans, Experiment(tmp_path / "run")).organs
        assert organs is not None and len(organs.cases) == 1
    else:
        with pytest.raises(BadInput, match=r"scans of stage 2 include 1 scan of patients held out .* first in .*s0004"):
            ingest_scans(recipe, scans, Experiment(tmp_path / "run"))
