"""Do flags and predicted DSCs find the contours that are bad, on patients whom nobody learned or calibrated on?

Cross-validates the XS network on some patients, which calibrates the predicted DSC, and contours the others with the
first fold's model: their scans as they came, then the same scans damaged in three ways, and then with a model whose
weights were disturbed. Synthetic scans, and real ones where their folder is given:

    python benchmarks/failure_flags.py [../shared/data] [--out FOLDER] [--steps 400] [--patients 24]

A run that was stopped goes on when it is called again with the same --out. Prints Markdown, and leaves it in --out.
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
AS_THEY_CAME, DISTURBED = "as it came", "weights disturbed"
PELVIS = ("hr_ctv", "bladder", "rectum")
FOLDS = 2


def noisy(hu: np.ndarray) -> np.ndarray:
    return hu + np.random.default_rng(0).normal(0, 250, hu.shape)


def unscaled(hu: np.ndarray) -> np.ndarray:
    return hu + 400


def with_metal(hu: np.ndarray) -> np.ndarray:
    """A block of 3,000 HU in the middle, a third of the scan wide on every axis, and streaks beside it."""
    middle = tuple(slice(n // 3, 2 * n // 3) for n in hu.shape)
    damaged = hu.copy()
    damaged[middle[0], middle[1]] += 300 * np.sin(np.arange(hu.shape[2]))
    damaged[middle] = 3000
    return damaged


DAMAGE: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    AS_THEY_CAME: lambda hu: hu,
    "noise of 250 HU": noisy,
    "400 HU too many": unscaled,
    "metal in the middle": with_metal,
}


@dataclass(frozen=True)
class Outcome:
    """Of one structure of one scan: what was said of it, and how good it is."""

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
    def drawn(self) -> bool:
        return "missing" not in self.flags

    @property
    def covered(self) -> bool:
        return self.low <= self.dsc <= self.high


def phantom(folder: Path, patients: int) -> Cohort:
    write_brachytherapy(folder / "export", patients=patients, fractions=1, spacing=(4, 4, 4), matrix=(48, 72, 96))
    return ingest(folder / "export", folder / "cohort", structures=PELVIS).cohort


def real(folder: Path, data: Path) -> Cohort:
    return ingest(data / "sts", folder / "cohort", structures=("GTV_Mass_CT",)).cohort


def trained(cohort: Cohort, recipe: str, changes: Sequence[str], folder: Path) -> tuple[CrossValidation, Cohort]:
    """A cross-validation from scratch, and the patients who were held out of it."""
    settings = load_recipe(recipe, [*changes, f"split.folds={FOLDS}", "prediction.mirroring=true"])
    split = split_patients(cohort, settings.split.test, FOLDS)
    seen = cohort.of_patients(set(cohort.patients).difference(split.test))
    prepared = prepare(seen, make_plan(seen, settings.stage("task").plan), folder / "prepared")
    places = CrossValidation(folder / "crossvalidation")
    crossvalidate(prepared, cohort, settings, split, places.folder)
    calibrate_from_folds(cohort, settings, split, places.folder)
    return places, cohort.of_patients(split.test)


def outcomes(places: CrossValidation, held_out: Cohort, changes: Sequence[str], recipe: str) -> Iterator[Outcome]:
    plan, quality = load_plan(places.folder), Quality.load(places.folder)
    model = replace(Model.load(places.fold(0)), plan=plan, quality=quality)
    settings = load_recipe(recipe, changes).prediction
    settings = settings.model_copy(update={"mirroring": True, "review_dsc_threshold": BAD})
    worse = replace(Model.load(places.fold(0)), plan=plan, quality=quality)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in worse.network.parameters():
            weights += 0.35 * weights.std(correction=0) * torch.randn(weights.shape, generator=random)
    for case in track(held_out.cases, "Held-out patients"):
        scan, truth = read_volume(case.image), read_truth(case, held_out.structures)
        runs = [(name, damage, model) for name, damage in DAMAGE.items()]
        for name, damage, used in (*runs, (DISTURBED, DAMAGE[AS_THEY_CAME], worse)):
            image = Volume(damage(scan.array.astype(np.float32)), scan.geometry)
            prediction = review_segmentation(used, used.segment([image], settings), settings)
            for structure in held_out.structures:
                if structure in case.missing:
                    continue
                dsc = dice(truth.mask(structure), prediction.segmentation.mask(structure))
                if math.isnan(dsc):
                    continue
                expected = prediction.predicted_dsc[structure]
                figures = (expected.dsc, expected.low, expected.high) if expected else (0.0, 0.0, 0.0)
                kinds = " ".join(flag.kind for flag in prediction.flags if flag.structure == structure)
                to_review = prediction.needs_review(structure) is not False
                yield Outcome(case.patient, name, structure, dsc, *figures, kinds, to_review)


def table(kind: str, all_of: Sequence[Outcome], patients: int) -> Iterator[str]:
    """The lines of a Markdown report."""
    whose = len({one.patient for one in all_of})
    yield f"### {kind}\n"
    yield f"Calibrated on {patients} patients, tried on {whose} others. Bad: a DSC below {BAD}.\n"
    yield "| scan | structures | mean DSC | bad | flagged | to review | of good ones | in the interval, of drawn |"
    yield "|---|---|---|---|---|---|---|---|"
    for scan in dict.fromkeys(one.scan for one in all_of):
        own = [one for one in all_of if one.scan == scan]
        good = [one for one in own if one.dsc >= BAD]
        cells = [
            str(len(own)),
            f"{np.mean([one.dsc for one in own]):.2f}",
            str(len(own) - len(good)),
            str(sum(bool(one.flags) for one in own)),
            str(sum(one.to_review for one in own)),
            f"{sum(one.to_review for one in good)} of {len(good)}",
            f"{sum(one.covered for one in own if one.drawn)} of {sum(one.drawn for one in own)}",
        ]
        yield f"| {scan} | {' | '.join(cells)} |"
    yield "\n| bad ones found by | scans | AUROC (95 % interval over patients) | bad |\n|---|---|---|---|"
    suspicions: dict[str, Callable[[Outcome], float]] = {
        "the predicted DSC": lambda one: -one.predicted,
        "its lower bound": lambda one: -one.low,
        "any flag": lambda one: float(bool(one.flags)),
    }
    for words, of in (("as they came", [AS_THEY_CAME]), ("all", list(dict.fromkeys(one.scan for one in all_of)))):
        own = [one for one in all_of if one.scan in of]
        for name, suspicion in suspicions.items():
            area = auroc_with_interval(
                [suspicion(one) for one in own],
                [one.dsc for one in own],
                [one.patient for one in own],
                limit=BAD,
            )
            interval = f"{area.auroc:.2f} ({area.low:.2f} to {area.high:.2f})"
            yield f"| {name} | {words} | {interval} | {area.n_bad} of {area.n_contours} |"
    yield ""


def report(kind: str, cohort: Cohort, recipe: str, changes: Sequence[str], out: Path) -> list[str]:
    places, held_out = trained(cohort, recipe, changes, out)
    written = out / "outcomes.csv"
    all_of = list(outcomes(places, held_out, changes, recipe))
    with written.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Outcome.__annotations__)
        rows.writerows(list(vars(one).values()) for one in all_of)
    return list(table(kind, all_of, len(cohort.patients) - len(held_out.patients)))


def main() -> None:
    parser = argparse.ArgumentParser(description="How well flags and predicted DSCs find bad contours.")
    parser.add_argument("data", type=Path, nargs="?", help="folder with the real scans, in it sts")
    parser.add_argument("--out", type=Path, default=Path("failure_flags"))
    parser.add_argument("--patients", type=int, default=24, help="synthetic ones; 0 leaves them out")
    parser.add_argument("--steps", type=int, default=400, help="of each fold's training")
    asked = parser.parse_args()
    out = asked.out.absolute()
    training = [f"task.training.{setting}" for setting in ("epochs=1", f"steps_per_epoch={asked.steps}")]
    shared = [*training, "task.training.validation_patches=2", "prediction.overlap=0", "supervised=null"]
    shared += [
        "task.plan.spacing=[6,6,6]",
        "task.plan.patch_size=[16,48,48]",
        "task.training.foreground_oversampling=0.5",
    ]
    pelvis = [f"structures=[{','.join(PELVIS)}]", "split.test=8"]
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    if asked.patients:
        cohort = phantom(out / "phantom", asked.patients)
        lines += report("Synthetic scans", cohort, "demo", [*shared, *pelvis], out / "phantom")
    if asked.data:
        sarcoma = ["split.test=10", "task.training.augmentation=light"]
        cohort = real(out / "real", asked.data.absolute())
        lines += report("Real scans: soft-tissue sarcomas", cohort, "real_small", [*shared, *sarcoma], out / "real")
    text = "\n".join(lines)
    (out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
