"""Learning from corrections on the phantom: active choice of the cases next to random choice, over several rounds.

The contours from which the first model learns have two planted errors. The cranial part of the bladder and the caudal
part of the rectum are missing. In each round new scans arrive and are predicted. Some of them are chosen, by
``gynbtnet learn --next`` or at random. A scripted reviewer corrects them: the truth replaces the prediction if both
differ by more than a tolerance. Then ``learn`` trains a challenger. Both choices see the same new scans. The
scans are synthetic:

    python benchmarks/learning_from_corrections.py [--out FOLDER] [--seeds 0 1 2] [--rounds 5] [--new 20] [--reviews 10]
        [--first-steps 150] [--round-steps 40] [--stop-after MINUTES]

The program may be killed at any time, and resumes when it is started again with the same --out. It writes rounds.csv
and table.md, and prints the table.
"""

import argparse
import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from gynbtnet.datasets import Cohort, Split, ingest
from gynbtnet.imaging import Segmentation, Volume, read_volume, write_volume
from gynbtnet.inference import Model, PredictionRequest, PredictionSettings, predict_scan
from gynbtnet.learning import (
    LearningFolder,
    LearningRequest,
    LearningResult,
    LearningSettings,
    ScanFinder,
    choose_cases,
    find_worklist,
    learn,
    score_frozen_test,
)
from gynbtnet.phantom import STRUCTURES, pelvic_geometry, phantom_case
from gynbtnet.preparation import PlanSettings, make_plan, prepare
from gynbtnet.review import open_case, open_session, patches_between, write_review
from gynbtnet.runtime import atomic_write, file_lock, read_json, write_json
from gynbtnet.training import SegmentationSettings, finetune

SPACING, MATRIX = (12.0, 9.0, 8.0), (16, 32, 48)  # mm and voxels along z, y, x
FROZEN, TRAINING, VALIDATION = 8, 4, 1  # patients
PLANTED_SHARE = 0.4
TOLERANCE_MM = 12.0
ARMS = ("active", "random")
PREDICTION = PredictionSettings(overlap=0, mirroring=True, preview=False, outputs=("nifti",), roi="whole")
_OF_CONTOURS = {"overlap", "mirroring", "mirrored_axes", "roi", "weights", "review_dsc_threshold"}


@dataclass(frozen=True)
class Design:
    """Size of the experiment.

    Attributes:
        rounds: rounds of learning.
        new: new scans in each round.
        reviews: scans of these that are reviewed.
        first_steps: optimiser steps of the first model.
        round_steps: optimiser steps of each round.
    """

    rounds: int = 5
    new: int = 20
    reviews: int = 10
    first_steps: int = 150
    round_steps: int = 40


@dataclass(frozen=True)
class Row:
    """Result of a round.

    Attributes:
        seed: seed of patients and training.
        arm: choice of the cases.
        round: number of the round; 0 is the first model.
        dsc: mean DSC of the champion over the structures of the frozen test patients.
        planted_dsc: the same over the two structures with a planted error.
        edited_share: mean share of the contour that a reviewer of these patients would have to draw.
        reviewed_share: the same for the contours that were reviewed in this round; None for round 0.
        corrected: number of contours that the reviewer corrected in this round.
        promoted: the challenger replaced the champion.
    """

    seed: int
    arm: str
    round: int
    dsc: float
    planted_dsc: float
    edited_share: float
    reviewed_share: float | None
    corrected: int
    promoted: bool


def planted(labels: np.ndarray) -> np.ndarray:
    """Return a label map in which 40 % of the slices of bladder (cranial) and rectum (caudal) are missing."""
    wrong = labels.copy()
    for name, cranial in (("bladder", True), ("rectum", False)):
        inside = labels == STRUCTURES.index(name) + 1
        slices = np.flatnonzero(inside.any(axis=(1, 2)))
        count = round(PLANTED_SHARE * len(slices))
        lost = slices[-count:] if cranial else slices[:count]
        wrong[lost] = np.where(inside[lost], 0, labels[lost])
    return wrong


def corrected(predicted: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return the mask of a scripted reviewer.

    The truth replaces the prediction in each connected region of difference that reaches further than
    ``TOLERANCE_MM`` from the predicted surface. Smaller differences stay.
    """
    if not predicted.any():
        return truth.copy()
    outside = ndimage.distance_transform_edt(~predicted, spacing)
    inside = ndimage.distance_transform_edt(predicted, spacing)
    regions, count = ndimage.label(predicted ^ truth)
    if not count:
        return predicted.copy()
    furthest = ndimage.maximum(outside + inside, regions, range(1, count + 1))
    return predicted ^ np.isin(regions, 1 + np.flatnonzero(np.asarray(furthest) > TOLERANCE_MM))


class Experiment:
    """One seed: its phantom, its first model, and the rounds of both arms."""

    def __init__(self, seed: int, design: Design, out: Path) -> None:
        self.seed, self.design, self.out = seed, design, out
        self.geometry = pelvic_geometry(SPACING, MATRIX)

    def scan(self, number: int) -> tuple[Volume, Segmentation]:
        """Return the scan of a patient and its true contours."""
        case = phantom_case(self.seed, number, 0, self.geometry)
        return case.scan, case.structures

    def cohort(self) -> tuple[Cohort, Split]:
        """Return the clinic's cohort: the truth for the frozen test, planted errors in the others."""
        names = [f"phantom-{number:03d}" for number in range(FROZEN + TRAINING + VALIDATION)]
        split = Split(tuple(names[:FROZEN]), tuple((name,) for name in names[FROZEN:]), self.seed)
        folder, raw = self.out / "cohort", self.out / "raw"
        if not (folder / "cohort.json").is_file():
            for number, name in enumerate(names):
                scan, contours = self.scan(number)
                labels = contours.labels.array if number < FROZEN else planted(contours.labels.array)
                write_volume(scan, raw / "imagesTr" / f"{name}_0000.nii.gz")
                write_volume(Volume(labels, self.geometry), raw / "labelsTr" / f"{name}.nii.gz")
            description = {
                "channel_names": {"0": "CT"},
                "labels": {"background": 0} | {name: i for i, name in enumerate(STRUCTURES, 1)},
                "numTraining": len(names),
                "file_ending": ".nii.gz",
            }
            write_json(description, raw / "dataset.json")
            (raw / "README.txt").write_text("SYNTHETIC PHANTOM\n")
            ingest(raw, folder, "nnunet", structures=STRUCTURES)
        return Cohort.load(folder), split

    def first_model(self, cohort: Cohort, split: Split) -> Path:
        """Train the first model on the contours with planted errors."""
        learned = cohort.of_patients(patient for fold in split.folds for patient in fold)
        plan = make_plan(
            learned, PlanSettings(spacing=SPACING, normalisation="zscore", patch_size=MATRIX, batch_size=2, preset="XS")
        )
        prepared = prepare(learned, plan, self.out / "prepared")
        settings = SegmentationSettings(
            seed=self.seed,
            budget={"steps": self.design.first_steps},
            steps_per_epoch=20,
            learning_rate=6e-3,
            warm_up_share=0.05,
            augmentation="light",
            mirror_axes=("x",),
            validation_patches=1,
            checkpoint_interval_epochs=4,
            picture_interval_epochs=1000,
            network_form="plain",
        )
        return finetune(
            prepared,
            settings,
            self.out / "first",
            training_ids=prepared.ids_of(split.training_patients(0)),
            validation_ids=prepared.ids_of(split.validation_patients(0)),
        )

    def numbers(self, round_number: int) -> range:
        """Return the numbers of the patients who are new in a round."""
        first = FROZEN + TRAINING + VALIDATION + (round_number - 1) * self.design.new
        return range(first, first + self.design.new)

    def new_scan(self, number: int, name: str) -> Path:
        """Return the file of a new scan, which is written once, with its truth elsewhere."""
        path = self.out / "scans" / f"{name}.nii.gz"
        if not path.is_file():
            scan, contours = self.scan(number)
            write_volume(contours.labels, self.out / "truth" / f"{name}.nii.gz")
            write_volume(scan, path)
        return path

    def predict_new(self, model: Path, round_number: int, out: Path) -> None:
        """Predict the new scans of a round."""
        loaded = Model.load(model, device="cpu")
        for number in self.numbers(round_number):
            name = f"phantom-{number:03d}"
            scan = self.new_scan(number, name)
            request = PredictionRequest.from_path(
                loaded, scan, out / name, settings=PREDICTION, synthetic=True, check=False
            )
            predict_scan(loaded, request)

    def request(self, arm: str, reviews: Path) -> LearningRequest:
        """Return the call of ``learn`` of an arm."""
        cohort, split = self.cohort()
        length = self.design.round_steps / self.design.first_steps
        settings = LearningSettings(length=min(length, 1), learning_rate=0.5, validation=0, seed=self.seed)
        finder = ScanFinder.create(cohort)
        return LearningRequest(
            reviews, self.out / "first", finder, self.out / arm / "learned", split, settings=settings
        )

    def choose(self, arm: str, request: LearningRequest, round_number: int) -> list[str]:
        """Return the names of the predictions to review."""
        if arm == "active":
            worklist = find_worklist(request).candidates
            return [case.candidate.name for case in choose_cases(worklist, self.design.reviews, self.seed)]
        names = [f"phantom-{number:03d}" for number in self.numbers(round_number)]
        drawn = np.random.default_rng([self.seed, round_number]).permutation(len(names))[: self.design.reviews]
        return [names[i] for i in drawn]

    def review(self, folder: Path) -> list[float]:
        """Review a prediction; return the edited share of each structure, 0 if it was accepted unchanged."""
        if not (folder / "review" / "001").is_dir():
            truth = Segmentation(read_volume(self.out / "truth" / f"{folder.name}.nii.gz"), STRUCTURES)
            case = open_case(folder)
            with open_session(case) as session:
                for name in session.structures:
                    new = corrected(session.automatic[name], truth.mask(name), SPACING)
                    patches = tuple(patches_between(session.displayed(name), new, 0))  # the grid is axial
                    if patches:
                        session.edit(name, "brush", patches)
                    session.accept(name, accepted=True, sure=True)
                write_review(case, session)
        record = read_json(dict[str, Any], folder / "review" / "001" / "review.json", "delete the folder")
        shares = [review["correction"]["added_path_length_share"] for review in record["structures"].values()]
        return [share or 0.0 for share in shares]

    def row(self, arm: str, number: int, result: LearningResult | None, shares: Sequence[float]) -> Row:
        """Return the result of a round, by the scores of the champion on the frozen test."""
        cohort, split = self.cohort()
        model = self.out / "first" if result is None else result.champion
        folders = LearningFolder(self.out / arm / "learned")
        scores = score_frozen_test(model, cohort.of_patients(split.test), folders, PREDICTION).scores
        dsc = {name: np.nanmean([score.dsc for score in scores if score.structure == name]) for name in STRUCTURES}
        return Row(
            seed=self.seed,
            arm=arm,
            round=number,
            dsc=float(np.mean(list(dsc.values()))),
            planted_dsc=float(np.mean([dsc["bladder"], dsc["rectum"]])),
            edited_share=float(np.nanmean([score.added_path_length_share for score in scores])),
            reviewed_share=float(np.mean(shares)) if shares else None,
            corrected=int(np.count_nonzero(shares)),
            promoted=bool(result and result.challenge and result.challenge.promoted),
        )

    def run_round(self, arm: str, number: int) -> Row:
        """Run a round of an arm, or read its result; round 0 is the first model."""
        path = self.out / arm / f"round-{number}.json"
        if path.is_file():
            return read_json(Row, path, "delete it")
        cohort, split = self.cohort()
        first = self.first_model(cohort, split)
        write_json(PREDICTION.model_dump(mode="json", include=_OF_CONTOURS), first / "prediction_settings.json")
        result, shares = None, []
        if number:
            predictions = self.out / arm / "predictions" / f"round-{number}"
            folders = LearningFolder(self.out / arm / "learned")
            self.predict_new(folders.champion_model(first), number, predictions)
            request = self.request(arm, predictions)
            chosen_file = self.out / arm / f"chosen-{number}.json"  # reviewed cases are no longer on the worklist
            if not chosen_file.is_file():
                write_json(self.choose(arm, request, number), chosen_file)
            for name in read_json(list[str], chosen_file, "delete it"):
                shares += self.review(predictions / name)
            result = learn(request)
        row = self.row(arm, number, result, shares)
        write_json(row, path)
        return row


def write_tables(rows: Sequence[Row], out: Path) -> str:
    """Write all rows as CSV, and the means over seeds as a table in Markdown; return the table."""
    with atomic_write(out / "rounds.csv") as partial, partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    lines = [
        "| round | choice | seeds | DSC | bladder and rectum | edited share, test | reviewed | corrected | promoted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number, arm in sorted({(row.round, row.arm) for row in rows}):
        own = [row for row in rows if (row.round, row.arm) == (number, arm)]
        reviewed = [row.reviewed_share for row in own if row.reviewed_share is not None]
        cells = [
            *(str(number), arm, str(len(own))),
            _mean_and_range([row.dsc for row in own]),
            _mean_and_range([row.planted_dsc for row in own]),
            _mean_and_range([row.edited_share for row in own]),
            _mean_and_range(reviewed) if reviewed else "–",
            f"{np.mean([row.corrected for row in own]):.0f}" if number else "–",
            f"{sum(row.promoted for row in own)} of {len(own)}" if number else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines)
    with atomic_write(out / "table.md") as partial:
        partial.write_text(table + "\n", encoding="utf-8")
    return table


def _mean_and_range(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def read_rows(out: Path) -> list[Row]:
    """Return the results of all rounds that have ended, also those of other processes."""
    return [read_json(Row, path, "delete it") for path in sorted(out.glob("seed-*/*/round-*.json"))]


def run_all(design: Design, seeds: Sequence[int], out: Path, stop_after: float | None = None) -> list[Row]:
    """Run all rounds, seed by seed and round by round, until the minutes are used up; return the results so far."""
    begun = time.monotonic()
    for seed in seeds:
        experiment = Experiment(seed, design, out / f"seed-{seed}")
        for number in range(design.rounds + 1):
            for arm in ARMS:
                if stop_after is not None and time.monotonic() - begun > 60 * stop_after:
                    return read_rows(out)
                experiment.run_round(arm, number)
                with file_lock(out / ".lock"):
                    write_tables(read_rows(out), out)
    return read_rows(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("learning_from_corrections"))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), help="several processes may share --out")
    for field in fields(Design):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default)
    parser.add_argument("--stop-after", type=float, default=30, help="begin no round after this number of minutes")
    options = vars(parser.parse_args())
    torch.set_num_threads(1)
    out, seeds, stop_after = options.pop("out").absolute(), options.pop("seeds"), options.pop("stop_after")
    rows = run_all(Design(**options), seeds, out, stop_after)
    print(write_tables(rows, out))


if __name__ == "__main__":
    main()
