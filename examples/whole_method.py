"""The method from Python, step by step, on four synthetic patients: python examples/whole_method.py [FOLDER]

It takes about a minute on two cores. Training has only a few steps: it shows the calls, and the network learns nothing.
"""

import sys
from pathlib import Path

from gynbtnet import (
    Model,
    evaluate,
    finetune,
    ingest,
    load_recipe,
    make_plan,
    predict,
    prepare,
    pretrain,
    read_ct_series,
    split_patients,
    write_rtstruct,
)
from gynbtnet.imaging import StructureNames, write_volume
from gynbtnet.phantom import write_brachytherapy


def main(folder: Path) -> None:
    # The export of a clinic: DICOM CT and RTSTRUCT, one folder per fraction. This one is synthetic; use yours instead.
    write_brachytherapy(folder / "export", patients=4, fractions=1, spacing=(6, 5, 5), matrix=(32, 64, 80), seed=7)

    # Ingest scans and contours, and split by patient, so that all fractions of a patient are on the same side.
    recipe = load_recipe("smoke")
    cohort = ingest(folder / "export", folder / "cohort", structures=recipe.structures).cohort
    split = split_patients(cohort, test=1, folds=2)
    development = cohort.of_patients(split.training_patients(0) + split.validation_patients(0))

    # Stage 1: the encoder learns to reconstruct masked parts of scans, without contours.
    unlabelled = prepare(
        development, make_plan(development, recipe.pretraining.plan), folder / "prepared" / "pretraining"
    )
    training_ids = unlabelled.ids_of(split.training_patients(0))
    validation_ids = unlabelled.ids_of(split.validation_patients(0))
    pretrained = pretrain(
        unlabelled,
        recipe.pretraining.training,
        folder / "runs" / "pretraining",
        training_ids=training_ids,
        validation_ids=validation_ids,
    )

    # Stage 3: the five structures, from the pretrained encoder. (Stage 2 is the same call on another cohort.)
    prepared = prepare(development, make_plan(development, recipe.task.plan), folder / "prepared" / "task")
    run = finetune(
        prepared,
        recipe.task.training,
        folder / "runs" / "task",
        training_ids=training_ids,
        validation_ids=validation_ids,
        start=pretrained,
    )

    # Segment the scans of the test patient, and write an RTSTRUCT on the original CT for the clinic.
    model = Model.load(run)
    test = cohort.of_patients(split.test)
    for case in test.cases:
        ct = read_ct_series(case.source.ct_folder, case.source.series_uid)
        prediction = predict(model, ct.volume, recipe.prediction)
        out = folder / "predictions" / case.id
        write_volume(prediction.labels, out / "labels.nii.gz")
        write_rtstruct(
            prediction,
            ct,
            out / "RS.dcm",
            names=StructureNames.load(),
            label="GynBTNet",
            description="SYNTHETIC. Research use only, not reviewed",
            software_version="example",
            force=True,
        )

    # Compare the predictions with the contours of the clinic.
    print(evaluate(test, folder / "predictions", folder / "evaluation").summary)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example"))
