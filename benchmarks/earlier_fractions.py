"""Adaptation to earlier fractions against the model as it is, on the next fraction of phantom patients.

A small model is trained on some patients of the phantom. For others, it is adapted to the true contours of their first
fractions, and contours the next one. The difference in DSC per structure has a 95 % interval between patients.
“Adapted” are all structures; “checked” are those that helped on the last earlier fraction, as `predict --earlier` does.
All scans are synthetic:

    python benchmarks/earlier_fractions.py [--out FOLDER] [--patients 10] [--earlier 2] [--cpu-seconds 300] [--steps 60]

Interrupted work resumes with the same --out. Prints Markdown.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.adaptation import AdaptationSettings, EarlierFraction, adapt_model
from gynbtnet.datasets import ingest
from gynbtnet.evaluation import dice, patient_mean
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.phantom import PhantomCase, pelvic_geometry, phantom_case, write_brachytherapy
from gynbtnet.preparation import PlanSettings, make_plan, prepare
from gynbtnet.training import Budget, SegmentationSettings, finetune

SPACING, MATRIX = (5.0, 4.0, 4.0), (40, 72, 96)
PLAN = {"spacing": SPACING, "normalisation": "zscore", "patch_size": (32, 48, 48), "batch_size": 2, "preset": "XS"}
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


def train(folder: Path, patients: int, cpu_seconds: float) -> Model:
    """Train a small model, one scan of each patient."""
    source = folder / "training"
    options = {"spacing": SPACING, "matrix": MATRIX, "realism": "clinical", "file_format": "nifti"}
    write_brachytherapy(source, patients=patients, fractions=1, **options)
    cohort = ingest(source, folder / "cohort", "nnunet").cohort
    prepared = prepare(cohort, make_plan(cohort, PlanSettings(**PLAN)), folder / "prepared")
    settings = SegmentationSettings(**SETTINGS, budget=Budget(cpu_seconds=cpu_seconds))
    run = folder / f"run-{cpu_seconds:g}"
    finetune(prepared, settings, run, training_ids=prepared.ids_of(cohort.patients), validation_ids=[])
    return Model.load(run, device="cpu")


def as_fraction(case: PhantomCase, name: str) -> EarlierFraction:
    """Return a fraction with its true contours."""
    return EarlierFraction((case.scan,), case.structures, (), name)


def measure(model: Model, patient: int, earlier: int, settings: AdaptationSettings) -> list[Gain]:
    """Return the gains on the fraction after the earlier ones."""
    geometry = pelvic_geometry(SPACING, MATRIX)
    cases = [phantom_case(TEST_SEED, patient, number, geometry, realism="clinical") for number in range(earlier + 1)]
    fractions = [as_fraction(case, str(number)) for number, case in enumerate(cases[:-1])]
    everywhere = settings.model_copy(update={"least_gain": -1})
    adapted, checked = (adapt_model(model, fractions, each, PREDICTION) for each in (everywhere, settings))
    truth, scan = cases[-1].structures, cases[-1].scan
    drawn = [predict(each, scan, PREDICTION) for each in (model, adapted, checked)]
    return [
        Gain(str(patient), name, *(dice(truth.mask(name), own.mask(name)) for own in drawn))
        for name in model.structures
        if truth.mask(name).any()
    ]


def row(name: str, gains: list[Gain]) -> str:
    """Return a row of the table: mean DSC, and mean differences with their intervals between patients."""
    patients = [gain.patient for gain in gains]
    values = np.array(
        [[g.unadapted, g.adapted - g.unadapted, g.checked - g.unadapted, g.checked != g.unadapted] for g in gains]
    )
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
    parser.add_argument("--steps", type=int, default=60, help="of each adaptation")
    options = parser.parse_args()
    model = train(options.out.absolute(), options.training, options.cpu_seconds)
    settings = AdaptationSettings(steps=options.steps)
    gains = [gain for p in range(options.patients) for gain in measure(model, p, options.earlier, settings)]
    print(f"{options.patients} synthetic patients, {options.earlier} earlier fractions, {options.steps} steps\n")
    print("| structure | DSC unadapted | adapted − unadapted | checked − unadapted | adapted in |")
    print("|---|---|---|---|---|")
    for name in model.structures:
        print(row(name, [gain for gain in gains if gain.structure == name]))


if __name__ == "__main__":
    main()
