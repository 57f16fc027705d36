"""Adaptation to earlier fractions against the model as it is, on the next fraction of phantom patients.

A small model is trained on some patients of the phantom. For others, it is adapted to the true contours of their first
fractions, and contours the next one. The difference in DSC per structure has a 95 % interval between patients.
“Adapted” are all structures; “checked” are those that helped on the last earlier fraction, as `predict --earlier` does.
All scans are synthetic:

    python benchmarks/earlier_fractions.py [--out FOLDER] [--training 20] [--patients 10] [--earlier 2]
        [--cpu-seconds 300] [--steps 20] [--learning-rate 0.001] [--levels 2] [--jobs 1]

An interrupted training resumes with the same --out. Prints Markdown, and writes one row per patient and structure to
``gains.csv`` in that folder.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from gynbtnet.adaptation import AdaptationSettings, AdaptedModel, EarlierFraction, adapt_model
from gynbtnet.datasets import ingest
from gynbtnet.evaluation import dice, patient_mean
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.phantom import PhantomCase, pelvic_geometry, phantom_case, write_brachytherapy
from gynbtnet.preparation import PlanSettings, make_plan, prepare
from gynbtnet.training import Budget, SegmentationSettings, finetune

SPACING, MATRIX = (5.0, 4.0, 4.0), (40, 72, 96)
SOFT_TISSUE = {"lower": -200, "upper": 300, "mean": 40, "sd": 80}  # HU
PLAN = {
    "spacing": SPACING,
    "normalisation": "ct",
    "ct_scaling": SOFT_TISSUE,
    "patch_size": (32, 48, 48),
    "batch_size": 2,
    "preset": "XS",
}
SETTINGS = {
    "steps_per_epoch": 20,
    "learning_rate": 6e-3,
    "initialisation": "he",
    "augmentation": "light",
    "mirror_axes": ("x",),
    "warm_up_share": 0.05,
    "foreground_rule": "last_of_batch",
    "supervise_coarsest": False,
    "picture_interval_epochs": 1000,
}
PREDICTION = PredictionSettings(mirroring=False)
TEST_SEED = 1
"""Patients of another seed than those of the training."""


@dataclass(frozen=True)
class Gain:
    """DSC of one structure in one patient: of the model as it is, adapted, and adapted if that helped before."""

    patient: str
    structure: str
    unadapted: float
    adapted: float
    checked: float
    helped: bool
    steps: int


def train(folder: Path, patients: int, cpu_seconds: float, jobs: int) -> Path:
    """Train a small model on one scan of each patient, and return its run folder."""
    source = folder / "training"
    options = {"spacing": SPACING, "matrix": MATRIX, "realism": "clinical", "file_format": "nifti"}
    write_brachytherapy(source, patients=patients, fractions=1, jobs=jobs, **options)
    cohort = ingest(source, folder / "cohort", "nnunet").cohort
    prepared = prepare(cohort, make_plan(cohort, PlanSettings(**PLAN)), folder / "prepared")
    settings = SegmentationSettings(**SETTINGS, budget=Budget(cpu_seconds=cpu_seconds))
    run = folder / f"run-{cpu_seconds:g}"
    finetune(prepared, settings, run, training_ids=prepared.ids_of(cohort.patients), validation_ids=[])
    return run


def as_fraction(case: PhantomCase, name: str) -> EarlierFraction:
    """Return a fraction with its true contours."""
    return EarlierFraction((case.scan,), case.structures, (), name)


def measure(run: Path, patient: int, earlier: int, settings: AdaptationSettings) -> list[Gain]:
    """Return the gains on the fraction after the earlier ones."""
    model = Model.load(run, device="cpu")
    geometry = pelvic_geometry(SPACING, MATRIX)
    cases = [phantom_case(TEST_SEED, patient, number, geometry, realism="clinical") for number in range(earlier + 1)]
    fractions = [as_fraction(case, str(number)) for number, case in enumerate(cases[:-1])]
    # without a limit of time, so that the number of steps doesn't depend on the machine
    everywhere = settings.model_copy(update={"least_gain": -1, "seconds": 3600})
    adapted = adapt_model(model, fractions, everywhere, PREDICTION)
    check = adapted.record.check
    helped = tuple(name for name, dsc in check.items() if dsc.adapted >= dsc.unadapted + settings.least_gain)
    checked = AdaptedModel.combine(model, adapted.adapted.network, replace(adapted.record, structures=helped))
    truth, scan = cases[-1].structures, cases[-1].scan
    drawn = [predict(each, scan, PREDICTION) for each in (model, adapted, checked)]
    return [
        Gain(
            str(patient),
            name,
            *(dice(truth.mask(name), own.mask(name)) for own in drawn),
            name in helped,
            adapted.record.steps,
        )
        for name in model.structures
        if truth.mask(name).any()
    ]


def row(name: str, gains: list[Gain]) -> str:
    """Return a row of the table: mean DSC, and mean differences with their intervals between patients."""
    patients = [gain.patient for gain in gains]
    values = np.array([[g.unadapted, g.adapted - g.unadapted, g.checked - g.unadapted, g.helped] for g in gains])
    estimate = patient_mean(values, patients)
    low, high = estimate.interval()
    means = estimate.value
    cells = [f"{means[i]:+.3f} [{low[i]:+.3f}, {high[i]:+.3f}]" for i in (1, 2)]
    return f"| {name} | {means[0]:.3f} | {cells[0]} | {cells[1]} | {int(values[:, 3].sum())} of {len(gains)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Adaptation to earlier fractions against the model as it is.")
    parser.add_argument("--out", type=Path, default=Path("earlier-fractions"))
    parser.add_argument("--training", type=int, default=20, help="patients of the training")
    parser.add_argument("--patients", type=int, default=10, help="patients of the test")
    parser.add_argument("--earlier", type=int, default=2, help="earlier fractions, at least 2")
    parser.add_argument("--cpu-seconds", type=float, default=300, help="of the training")
    parser.add_argument("--steps", type=int, default=20, help="of each adaptation")
    parser.add_argument("--learning-rate", type=float, default=AdaptationSettings().learning_rate)
    parser.add_argument("--levels", type=int, default=AdaptationSettings().levels, help="finest levels of the decoder")
    parser.add_argument("--jobs", type=int, default=1, help="patients at a time")
    options = parser.parse_args()
    run = train(options.out.absolute(), options.training, options.cpu_seconds, options.jobs)
    settings = AdaptationSettings(steps=options.steps, learning_rate=options.learning_rate, levels=options.levels)
    tasks = [delayed(measure)(run, patient, options.earlier, settings) for patient in range(options.patients)]
    gains: list[Gain] = []
    for own in Parallel(n_jobs=options.jobs, return_as="generator")(tasks):
        gains += own
        pd.DataFrame(map(asdict, gains)).to_csv(options.out / "gains.csv", index=False)
    steps = sorted(gain.steps for gain in gains)
    print(
        f"{options.patients} synthetic patients, {options.earlier} earlier fractions, {steps[0]} to {steps[-1]} steps\n"
    )
    print("| structure | DSC unadapted | adapted − unadapted | checked − unadapted | adapted in |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(gain.structure for gain in gains):
        print(row(name, [gain for gain in gains if gain.structure == name]))
    print(row("all", gains))


if __name__ == "__main__":
    main()
