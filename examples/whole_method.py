"""The method from Python, step by step, on a handful of synthetic patients: python examples/whole_method.py [FOLDER]

Takes about a minute on two cores. The training is a few steps long: it shows the way, it learns nothing.
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
    # A clinic's export: DICOM CT and RTSTRUCT, one folder per fraction. This one is synthetic; replace it with yours.
    write_brachytherapy(folder / "export", patients=4, fractions=1, spacing=(6, 5, 5), matrix=(32, 64, 80), seed=7)

    # Convert scans and contours to one format, and split the patients; a patient's fractions stay together.
    recipe = load_recipe("smoke")
    cohort = ingest(folder / "export", folder / "cohort", structures=recipe.structures).cohort
    split = split_patients(cohort, test=1, folds=2)
    seen = cohort.of_patients(split.training_patients(0) + split.validation_patients(0))

    # Stage 1: the encoder learns to fill in what is masked. Scans only.
    unlabelled = prepare(seen, make_plan(seen, recipe.pretraining.plan), folder / "prepared" / "pretraining")
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
    prepared = prepare(seen, make_plan(seen, recipe.task.plan), folder / "prepared" / "task")
    run = finetune(
        prepared,
        recipe.task.training,
        folder / "runs" / "task",
        training_ids=training_ids,
        validation_ids=validation_ids,
        start=pretrained,
    )

    # Contours on the scans of the patient whom nobody has seen, and back into the clinic on the original CT.
    model = Model.load(run)
    test = cohort.of_patients(split.test)
    for case in test.cases:
        ct = read_ct_series(case.source.ct_folder, case.source.series_uid)
        contours = predict(model, ct.volume, recipe.prediction)
        out = folder / "predictions" / case.id
        write_volume(contours.labels, out / "labels.nii.gz")
        write_rtstruct(
            contours,
            ct,
            out / "RS.dcm",
            names=StructureNames.load(),
            label="GynBTNet",
            description="SYNTHETIC. Research use only, not reviewed",
            software_version="example",
            force=True,
        )

    # How good they are.
    print(evaluate(test, folder / "predictions", folder / "evaluation").summary)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example"))
