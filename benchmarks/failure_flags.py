"""Accuracy of flags and predicted DSCs in finding bad contours, on patients outside training and calibration.

Cross-validates the XS network on some patients, which calibrates the predicted DSC. Then it segments the other patients
with the model of the first fold: their original scans, and the same scans damaged in three ways. Finally it segments
the original scans with a model whose weights were disturbed. The scans are synthetic; real ones are added if their
folder is given:

    python benchmarks/failure_flags.py [../shared/data] [--out FOLDER] [--steps 400] [--patients 24]

An interrupted run resumes when it is started again with the same --out. Prints Markdown, and saves it in --out.
"""

import argparse
import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from gynbtnet.datasets import Cohort, ingest, split_patients
from gynbtnet.evaluation import auroc_with_interval, dice, read_truth
from gynbtnet.experiment import CrossValidation, calibrate_from_folds, crossvalidate
from gynbtnet.imaging import Volume, read_volume
from gynbtnet.inference import Model, PredictionSettings, Quality, review_segmentation
from gynbtnet.phantom import write_brachytherapy
from gynbtnet.preparation import load_plan, make_plan, prepare
from gynbtnet.recipes import load_recipe
from gynbtnet.runtime import track

BAD = PredictionSettings().review_dsc_threshold
UNCHANGED, DISTURBED = "unchanged", "weights disturbed"
PELVIS = ("hr_ctv", "bladder", "rectum")
FOLDS = 2


def noisy(hu: np.ndarray) -> np.ndarray:
    return hu + np.random.default_rng(0).normal(0, 250, hu.shape)


def unscaled(hu: np.ndarray) -> np.ndarray:
    return hu + 400


def with_metal(hu: np.ndarray) -> np.ndarray:
    """Return the scan with streaks and, in the middle third of every axis, a block of 3,000 HU."""
    middle = tuple(slice(n // 3, 2 * n // 3) for n in hu.shape)
    damaged = hu.copy()
    damaged[middle[0], middle[1]] += 300 * np.sin(np.arange(hu.shape[2]))
    damaged[middle] = 3000
    return damaged


DAMAGE: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    UNCHANGED: lambda hu: hu,
    "noise of 250 HU": noisy,
    "400 HU too many": unscaled,
    "metal in the middle": with_metal,
}


@dataclass(frozen=True)
class Outcome:
    """Actual DSC, predicted DSC and flags of one structure on one scan."""

    patient: str
    scan: str
    structure: str
    dsc: float
    predicted: float
    low: float
    high: float
    flags: str
    to_review: bool

    @property
    def is_segmented(self) -> bool:
        return "missing" not in self.flags

    @property
    def is_covered(self) -> bool:
        return self.low <= self.dsc <= self.high


def phantom(folder: Path, patients: int) -> Cohort:
    write_brachytherapy(folder / "export", patients=patients, fractions=1, spacing=(4, 4, 4), matrix=(48, 72, 96))
    return ingest(folder / "export", folder / "cohort", structures=PELVIS).cohort


def real(folder: Path, data: Path) -> Cohort:
    return ingest(data / "sts", folder / "cohort", structures=("GTV_Mass_CT",)).cohort


def trained(cohort: Cohort, recipe: str, changes: Sequence[str], folder: Path) -> tuple[CrossValidation, Cohort]:
    """Cross-validate from scratch, and return the cross-validation and the patients who were held out of it."""
    settings = load_recipe(recipe, [*changes, f"split.folds={FOLDS}", "prediction.mirroring=true"])
    split = split_patients(cohort, settings.split.test, FOLDS)
    seen = cohort.of_patients(set(cohort.patients).difference(split.test))
    prepared = prepare(seen, make_plan(seen, settings.stage("task").plan), folder / "prepared")
    cross_validation = CrossValidation(folder / "crossvalidation")
    crossvalidate(prepared, cohort, settings, split, cross_validation.folder)
    calibrate_from_folds(cohort, settings, split, cross_validation.folder)
    return cross_validation, cohort.of_patients(split.test)


def predict_outcomes(
    cross_validation: CrossValidation, held_out: Cohort, changes: Sequence[str], recipe: str
) -> Iterator[Outcome]:
    """Yield the outcome of every structure on every held-out scan, original and damaged, and with disturbed weights."""
    plan, quality = load_plan(cross_validation.folder), Quality.load(cross_validation.folder)
    model = replace(Model.load(cross_validation.fold(0)), plan=plan, quality=quality)
    settings = load_recipe(recipe, changes).prediction
    settings = settings.model_copy(update={"mirroring": True, "review_dsc_threshold": BAD})
    disturbed = replace(Model.load(cross_validation.fold(0)), plan=plan, quality=quality)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in disturbed.network.parameters():
            weights += 0.35 * weights.std(correction=0) * torch.randn(weights.shape, generator=random)
    for case in track(held_out.cases, "Held-out patients"):
        scan, truth = read_volume(case.image), read_truth(case, held_out.structures)
        runs = [(name, damage, model) for name, damage in DAMAGE.items()]
        for name, damage, model_used in (*runs, (DISTURBED, DAMAGE[UNCHANGED], disturbed)):
            image = Volume(damage(scan.array.astype(np.float32)), scan.geometry)
            prediction = review_segmentation(model_used, model_used.segment([image], settings), settings)
            for structure in held_out.structures:
                if structure in case.missing:
                    continue
                dsc = dice(truth.mask(structure), prediction.segmentation.mask(structure))
                if math.isnan(dsc):
                    continue
                expected = prediction.predicted_dsc[structure]
                predicted = (expected.dsc, expected.low, expected.high) if expected else (0.0, 0.0, 0.0)
                kinds = " ".join(flag.kind for flag in prediction.flags if flag.structure == structure)
                to_review = prediction.needs_review(structure) is not False
                yield Outcome(case.patient, name, structure, dsc, *predicted, kinds, to_review)


def table(kind: str, outcomes: Sequence[Outcome], patients: int) -> Iterator[str]:
    """Yield the lines of a Markdown report."""
    n_tested = len({outcome.patient for outcome in outcomes})
    yield f"### {kind}\n"
    yield f"Calibrated on {patients} patients, tested on {n_tested} others. Bad: a DSC below {BAD}.\n"
    columns = ("structures", "mean DSC", "bad", "flagged", "marked for review", "good ones marked")
    yield f"| scan | {' | '.join(columns)} | in the interval, of not empty ones |"
    yield "|---|---|---|---|---|---|---|---|"
    for scan in dict.fromkeys(outcome.scan for outcome in outcomes):
        on_scan = [outcome for outcome in outcomes if outcome.scan == scan]
        good = [outcome for outcome in on_scan if outcome.dsc >= BAD]
        n_segmented = sum(outcome.is_segmented for outcome in on_scan)
        cells = [
            str(len(on_scan)),
            f"{np.mean([outcome.dsc for outcome in on_scan]):.2f}",
            str(len(on_scan) - len(good)),
            str(sum(bool(outcome.flags) for outcome in on_scan)),
            str(sum(outcome.to_review for outcome in on_scan)),
            f"{sum(outcome.to_review for outcome in good)} of {len(good)}",
            f"{sum(outcome.is_covered for outcome in on_scan if outcome.is_segmented)} of {n_segmented}",
        ]
        yield f"| {scan} | {' | '.join(cells)} |"
    yield "\n| bad ones detected by | scans | AUROC (95 % interval over patients) | bad |\n|---|---|---|---|"
    suspicions: dict[str, Callable[[Outcome], float]] = {
        "the predicted DSC": lambda outcome: -outcome.predicted,
        "its lower bound": lambda outcome: -outcome.low,
        "any flag": lambda outcome: float(bool(outcome.flags)),
    }
    for scan_group, scans in (
        ("unchanged", [UNCHANGED]),
        ("all", list(dict.fromkeys(outcome.scan for outcome in outcomes))),
    ):
        tested = [outcome for outcome in outcomes if outcome.scan in scans]
        for name, suspicion in suspicions.items():
            area = auroc_with_interval(
                [suspicion(outcome) for outcome in tested],
                [outcome.dsc for outcome in tested],
                [outcome.patient for outcome in tested],
                limit=BAD,
            )
            interval = f"{area.auroc:.2f} ({area.low:.2f} to {area.high:.2f})"
            yield f"| {name} | {scan_group} | {interval} | {area.n_bad} of {area.n_contours} |"
    yield ""


def report(kind: str, cohort: Cohort, recipe: str, changes: Sequence[str], out: Path) -> list[str]:
    cross_validation, held_out = trained(cohort, recipe, changes, out)
    csv_path = out / "outcomes.csv"
    outcomes = list(predict_outcomes(cross_validation, held_out, changes, recipe))
    with csv_path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Outcome.__annotations__)
        rows.writerows(list(vars(outcome).values()) for outcome in outcomes)
    return list(table(kind, outcomes, len(cohort.patients) - len(held_out.patients)))


def main() -> None:
    parser = argparse.ArgumentParser(description="How well flags and predicted DSCs find bad contours.")
    parser.add_argument("data", type=Path, nargs="?", help="folder with the real scans; it contains the folder sts")
    parser.add_argument("--out", type=Path, default=Path("failure_flags"))
    parser.add_argument("--patients", type=int, default=24, help="number of synthetic patients; 0: no synthetic scans")
    parser.add_argument("--steps", type=int, default=400, help="training steps per fold")
    options = parser.parse_args()
    out = options.out.absolute()
    training = [f"task.training.{setting}" for setting in ("epochs=1", f"steps_per_epoch={options.steps}")]
    common = [*training, "task.training.validation_patches=2", "prediction.overlap=0", "supervised=null"]
    common += [
        "task.plan.spacing=[6,6,6]",
        "task.plan.patch_size=[16,48,48]",
        "task.training.foreground_oversampling=0.5",
    ]
    pelvis = [f"structures=[{','.join(PELVIS)}]", "split.test=8"]
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    if options.patients:
        cohort = phantom(out / "phantom", options.patients)
        lines += report("Synthetic scans", cohort, "demo", [*common, *pelvis], out / "phantom")
    if options.data:
        sarcoma = ["split.test=10", "task.training.augmentation=light"]
        cohort = real(out / "real", options.data.absolute())
        lines += report("Real scans: soft-tissue sarcomas", cohort, "real_small", [*common, *sarcoma], out / "real")
    text = "\n".join(lines)
    (out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
