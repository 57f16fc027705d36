"""Benefit of masked pretraining if few scans are contoured.

Pretrains the XS network on scans without labels. Then it fine-tunes on 2, 5, 10 and all contoured patients, with and
without pretraining. Both arms have the same patients, seeds, batches and steps. The scans are synthetic; real ones are
added if their folder is given:

    python benchmarks/pretraining_helps.py [../shared/data] [--out FOLDER] [--seeds 3] [--steps 150]
        [--patients 2 5 10 all]

An interrupted run resumes when it is started again with the same --out. Prints Markdown, and saves it in --out.
"""

import argparse
import csv
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gynbtnet.datasets import Cohort, hold_out_patients, ingest
from gynbtnet.evaluation import dice
from gynbtnet.imaging import read_volume
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.phantom import STRUCTURES, write_brachytherapy, write_unlabelled
from gynbtnet.preparation import PlanSettings, PreparedCohort, make_plan, prepare
from gynbtnet.sparse import ActiveBlocks, MaskedAutoencoder
from gynbtnet.training import (
    Augmentation,
    Batches,
    MaskedModellingObjective,
    PretrainingSettings,
    SegmentationSettings,
    finetune,
    pretrain,
)

PATCH = (32, 48, 48)
LABELLED = ("2", "5", "10", "all")  # patients
EPOCHS = 10  # epochs of pretraining, each a point of its curve


@dataclass(frozen=True)
class Scans:
    """Data of one comparison: scans without labels, contoured patients for training, and others for scoring."""

    name: str
    unlabelled: PreparedCohort
    pool: PreparedCohort
    test: Cohort


def phantom(folder: Path) -> Scans:
    """Write and prepare synthetic scans: 24 without labels, 20 contoured patients for training, 5 for scoring."""
    write_unlabelled(folder / "unlabelled", scans=24)
    write_brachytherapy(folder / "export", patients=25, fractions=1)
    cohort = ingest(folder / "export", folder / "cohort", structures=STRUCTURES).cohort
    plan = PlanSettings(spacing=(4, 3, 3), patch_size=PATCH, preset="XS")
    return prepared_scans("Phantom", [folder / "unlabelled"], cohort, 5, plan, folder)


def real(folder: Path, data: Path) -> Scans:
    """Prepare soft-tissue sarcomas with gross tumour volume, 8 of 26 for scoring, and four scans without labels."""
    cohort = ingest(data / "sts", folder / "cohort", structures=("GTV_Mass_CT",)).cohort
    other_scans = [data / name for name in ("acrin_flt_breast_001", "crlm_ct_1006", "totalsegmentator_example")]
    plan = PlanSettings(spacing=(4, 3, 3), patch_size=PATCH, preset="XS")
    return prepared_scans("Real scans", other_scans, cohort, 8, plan, folder)


def prepared_scans(
    name: str, unlabelled: Sequence[Path], cohort: Cohort, test: int, settings: PlanSettings, folder: Path
) -> Scans:
    """Prepare all scans; pretraining also uses the contoured patients, except those for scoring."""
    held_out = hold_out_patients(cohort.patients, test, seed=0)
    pool = cohort.of_patients(set(cohort.patients).difference(held_out))
    pretraining_cohort = ingest(unlabelled, folder / "shown", "scans", include_cohort=pool).cohort
    return Scans(
        name,
        prepare(
            pretraining_cohort,
            make_plan(pretraining_cohort, with_batch(settings, 4)),
            folder / "prepared" / "unlabelled",
        ),
        prepare(pool, make_plan(pool, with_batch(settings, 2)), folder / "prepared" / "pool"),
        cohort.of_patients(held_out),
    )


def with_batch(settings: PlanSettings, batch_size: int) -> PlanSettings:
    return settings.model_copy(update={"batch_size": batch_size})


class CellMeans(MaskedAutoencoder):
    """Network that predicts the mean of its cell for every masked voxel: the best guess without learning."""

    def forward(self, image: torch.Tensor, active: ActiveBlocks) -> torch.Tensor:
        return torch.zeros_like(image)


def learn(scans: Scans, seed: int, steps: int, run: Path) -> tuple[float, float, float]:
    """Pretrain, and return validation losses: of :class:`CellMeans`, after a tenth of the steps, and at the end."""
    settings = PretrainingSettings(
        seed=seed,
        epochs=EPOCHS,
        steps_per_epoch=max(1, steps // EPOCHS),
        learning_rate=1e-3,
        validation_patches=24,
        checkpoint_interval_epochs=EPOCHS,
    )
    validation = scans.unlabelled.ids_of(hold_out_patients(scans.unlabelled.patients, 0.15, seed))
    training = {case.id for case in scans.unlabelled.cases} - validation
    pretrain(scans.unlabelled, settings, run, training_ids=training, validation_ids=validation)
    held_out = [case for case in scans.unlabelled.cases if case.id in validation]
    patches = Batches(held_out, Augmentation("none", PATCH), 1, seed, with_units=True)
    objective = MaskedModellingObjective(
        CellMeans("XS"), settings.mask_ratio, settings.normalise_target, epsilon_hu=settings.target_epsilon_hu
    )
    cell_means = objective.validate(patches[number] for number in range(settings.validation_patches))
    with (run / "log.csv").open(newline="") as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    return cell_means["validation_loss"], losses[0], losses[-1]


def dsc(scans: Scans, labelled: str, seed: int, steps: int, start: Path | None, run: Path) -> dict[str, float]:
    """Fine-tune on ``labelled`` patients drawn by ``seed``, or all, and return the mean DSC per structure."""
    settings = SegmentationSettings(
        seed=seed,
        epochs=1,
        steps_per_epoch=steps,
        learning_rate=1e-3,
        augmentation="light",
        foreground_oversampling=0.5,
    )
    patients = scans.pool.patients if labelled == "all" else hold_out_patients(scans.pool.patients, int(labelled), seed)
    ids = scans.pool.ids_of(patients)
    model = Model.load(finetune(scans.pool, settings, run, training_ids=ids, validation_ids=[], start=start))
    values_by_structure: dict[str, list[float]] = {structure: [] for structure in scans.test.structures}
    for case in scans.test.cases:
        assert case.labels is not None
        truth = read_volume(case.labels).array
        labels = predict(model, read_volume(case.image), PredictionSettings(overlap=0.25, mirroring=False)).labels.array
        for label, structure in enumerate(scans.test.structures, start=1):
            values_by_structure[structure].append(dice(truth == label, labels == label))
    return {structure: float(np.nanmean(values)) for structure, values in values_by_structure.items()}


def compare(scans: Scans, patients: Sequence[str], seeds: range, steps: int, out: Path) -> Iterator[str]:
    """Yield the lines of a Markdown report."""
    curves = {seed: learn(scans, seed, 2 * steps, out / f"pretraining-{seed}") for seed in seeds}
    pool, held_out = len(scans.pool.patients), len(scans.test.patients)
    yield f"### {scans.name}\n"
    yield (
        f"{len(scans.unlabelled.cases)} scans without labels, {2 * steps} steps of 4 patches of "
        f"{'×'.join(map(str, PATCH))}; contoured patients drawn from {pool}, {steps} steps of 2 patches; "
        f"{held_out} patients to score. {len(seeds)} seeds, mean ± SD over seeds.\n"
    )
    yield "| validation loss on masked cells | mean ± SD |\n|---|---|"
    names = ("each cell's mean, nothing learned", "after a tenth of the steps", "at the end")
    for name, values in zip(names, zip(*curves.values(), strict=True), strict=True):
        yield f"| {name} | {spread(values, 3)} |"
    yield "\n| contoured patients | structure | DSC without | DSC with pretraining | difference | seeds better |"
    yield "|---|---|---|---|---|---|"
    for labelled in patients:
        arms: list[list[dict[str, float]]] = [[], []]
        for seed in seeds:
            for arm, start in enumerate((None, out / f"pretraining-{seed}")):
                run = out / f"{labelled}-patients-{seed}-{'with' if arm else 'without'}"
                arms[arm].append(dsc(scans, labelled, seed, steps, start, run))
        structures = scans.test.structures
        for structure in (*structures, *(("mean",) if len(structures) > 1 else ())):
            without, with_it = (
                [
                    dsc_by_structure.get(structure, statistics.fmean(dsc_by_structure.values()))
                    for dsc_by_structure in arm
                ]
                for arm in arms
            )
            differences = [after - before for before, after in zip(without, with_it, strict=True)]
            better = f"{sum(difference > 0 for difference in differences)} of {len(differences)}"
            columns = (spread(without, 3), spread(with_it, 3), spread(differences, 3, sign="+"), better)
            yield f"| {labelled} | {structure} | {' | '.join(columns)} |"
    yield ""


def spread(values: Sequence[float], digits: int, sign: str = "") -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):{sign}.{digits}f} ± {deviation:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune on few contoured patients, with and without pretraining.")
    parser.add_argument("data", type=Path, nargs="?", help="folder with the real scans: sts, acrin_flt_breast_001, …")
    parser.add_argument("--out", type=Path, default=Path("pretraining_helps"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--patients", nargs="+", default=LABELLED, help="numbers of contoured patients, or all")
    parser.add_argument("--steps", type=int, default=150, help="steps of fine-tuning; pretraining has twice as many")
    options = parser.parse_args()
    lines = []
    folders = {"phantom": None} | ({"real": options.data.absolute()} if options.data else {})
    for kind, data in folders.items():
        out = options.out.absolute() / kind
        scans = phantom(out) if data is None else real(out, data)
        lines += compare(scans, options.patients, range(options.seeds), options.steps, out / f"runs-{options.steps}")
    report = "\n".join(lines)
    (options.out / "table.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
