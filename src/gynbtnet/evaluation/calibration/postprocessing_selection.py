"""Which post-processing helps, decided on a cross-validation's out-of-fold predictions alone.

For each structure, in turn:

1. which pieces are kept: all, those of a minimum volume, or the largest. The volumes that are tried are those of the
   pieces found besides the largest, eight of them at most, and below the smallest structure in the truth;
2. whether holes are filled, after the pieces of all structures were taken away.

A step is kept where three things hold. The mean DSC gains over 0.001, the last decimal that tables print. The gain
isn't chance: where the signs of each patient's gains are flipped at random, anything that was tried looks as good in
5 % of flips at most (paired permutation test, one-sided, on the largest of the options' sums over their root sums of
squares, so that trying more doesn't find more; it takes five patients who gain, and one who gains much is no reason).
And the mean HD95 is not larger. DSC and HD95 are means over patients of means over their fractions.

A false structure of which nothing is left counts as DSC 1 and HD95 0 here, for that is right.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluate import read_prediction, read_truth
from gynbtnet.evaluation.metrics.metrics import score
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.quality.connected_components import connected_components
from gynbtnet.inference.quality.postprocessing import find_holes, keep_components, postprocess
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.progress import track

LEAST_GAIN = 0.001
MOST_CHANCE = 0.05
LEAST_PATIENTS = 5
"""With fewer no gain passes: flipping the signs of four gains, 1 of 16 ways looks as good."""
_MOST_VOLUMES = 8
_FLIPS_BITS = 13

Option = PostprocessingRule | None


@dataclass(frozen=True)
class Trial:
    """What came of one step on one structure.

    Attributes:
        structure: its id.
        step: which.
        tried: what did best, in words; "nothing" where no change did.
        patients: on whom it was tried.
        dsc_before, dsc_after: mean over patients without and with it.
        chance: p of the permutation test.
        hd95_before, hd95_after: mm; NaN where the gain was too small to look.
        kept: whether it stands in the plan.
    """

    structure: str
    step: Literal["pieces", "holes"]
    tried: str
    patients: int
    dsc_before: float
    dsc_after: float
    chance: float
    hd95_before: float
    hd95_after: float
    kept: bool


@dataclass(frozen=True)
class PostprocessingSelection:
    """The rules that helped, and all that was tried."""

    rules: tuple[PostprocessingRule, ...]
    trials: tuple[Trial, ...]


def select_postprocessing(cohort: Cohort, predictions: Path) -> PostprocessingSelection:
    """Try post-processing on the predictions of a cohort's cases, each made by a model that hasn't seen its patient.

    Args:
        cohort: cases with contours, none of a test patient.
        predictions: ``<case id>/labels.nii.gz``.

    Raises:
        BadInput: where a case has no contours or no prediction.
    """
    pieces = [_pieces(cohort, case_id, predictions) for case_id in track(_ids(cohort), "Post-processing: pieces")]
    tried, chosen = _step("pieces", cohort, predictions, {}, lambda name: _of_pieces(name, pieces))
    holes = [_holes(cohort, case_id, predictions, chosen) for case_id in track(_ids(cohort), "Post-processing: holes")]
    by_then = chosen
    tried_then, chosen = _step(
        "holes", cohort, predictions, by_then, lambda name: _of_holes(name, holes, by_then.get(name))
    )
    rules = tuple(chosen[name] for name in cohort.structures if name in chosen)
    return PostprocessingSelection(rules, (*tried, *tried_then))


@dataclass(frozen=True)
class _Overlap:
    """Of one structure of one case: voxels of the truth; of what may change in the prediction, part by part, its voxels
    and those that are right; of what may not, both numbers."""

    patient: str
    truth: int
    parts: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    fixed: tuple[int, int]
    voxel_mm3: float

    def dsc(self, kept: npt.NDArray[np.bool_]) -> float:
        """With some of the parts; 1 where nothing is drawn and nothing is there."""
        size = self.truth + int(self.parts[kept].sum()) + self.fixed[0]
        return 2 * (int(self.right[kept].sum()) + self.fixed[1]) / size if size else 1.0


_Overlaps = dict[str, _Overlap]
_Tried = tuple[list[Option], dict[str, list[FloatArray]]]
"""Options, the first of them no change, and of each patient the DSC of every case with every option."""


def _ids(cohort: Cohort) -> list[str]:
    return [case.id for case in cohort.cases if case.labels is not None]


def _pair(cohort: Cohort, case_id: str, predictions: Path) -> tuple[Segmentation, Segmentation]:
    case = cohort.case(case_id)
    prediction = read_prediction(case, predictions, cohort.structures)
    return read_truth(case, cohort.structures), prediction.relabelled(cohort.structures)


def _pieces(cohort: Cohort, case_id: str, predictions: Path) -> _Overlaps:
    """Of each structure that the case's source knows, piece by piece."""
    case, (truth, prediction) = cohort.case(case_id), _pair(cohort, case_id, predictions)
    found = {}
    for name, pieces in connected_components(prediction).items():
        if name in case.missing:
            continue
        true = truth.mask(name)
        right = np.zeros(0, np.int64)
        if pieces.box is not None:
            inside = pieces.numbers[true[pieces.box]]
            right = np.bincount(inside, minlength=len(pieces.voxels) + 1)[1:]
        found[name] = _Overlap(
            case.patient,
            int(true.sum()),
            pieces.voxels,
            right,
            (0, 0),
            prediction.labels.geometry.voxel_volume,
        )
    return found


def _of_pieces(name: str, cases: Sequence[_Overlaps]) -> _Tried:
    of_cases = [case[name] for case in cases if name in case and (case[name].truth or len(case[name].parts))]
    options: list[Option] = [None, *(PostprocessingRule(name, minimum_cm3=cm3) for cm3 in _volumes(of_cases))]
    options.append(PostprocessingRule(name, largest_component=True))
    found: dict[str, list[FloatArray]] = {}
    for case in of_cases:
        every = np.ones(len(case.parts), bool)
        figures = [case.dsc(keep_components(case.parts, rule, case.voxel_mm3) if rule else every) for rule in options]
        found.setdefault(case.patient, []).append(np.array(figures))
    return options, found


def _volumes(cases: Sequence[_Overlap]) -> list[float]:
    """Minimum volumes to try, in cm³: each takes away one of the pieces found besides the largest, and all smaller."""
    smallest = min((case.truth * case.voxel_mm3 / 1000 for case in cases if case.truth), default=0.0)
    others = {
        _rounded_up(float(voxels) * case.voxel_mm3 / 1000)
        for case in cases
        for number, voxels in enumerate(case.parts)
        if number != case.parts.argmax()
    }
    volumes = sorted(volume for volume in others if volume < smallest)
    if len(volumes) <= _MOST_VOLUMES:
        return volumes
    return [volumes[round(i)] for i in np.linspace(0, len(volumes) - 1, _MOST_VOLUMES)]


def _rounded_up(volume: float) -> float:
    """To two digits, and more than ``volume``."""
    unit = 10.0 ** (math.floor(math.log10(volume)) - 1)
    return float(f"{(math.floor(volume / unit * (1 + 1e-9)) + 1) * unit:.2g}")


def _holes(cohort: Cohort, case_id: str, predictions: Path, chosen: Mapping[str, PostprocessingRule]) -> _Overlaps:
    """Of each structure that the case's source knows, all of its holes as one part."""
    case, (truth, prediction) = cohort.case(case_id), _pair(cohort, case_id, predictions)
    labels = postprocess(prediction, tuple(chosen.values())).labels
    numbers, owner = find_holes(labels.array)
    owned = owner[numbers]
    found = {}
    for label, name in enumerate(cohort.structures, start=1):
        if name in case.missing:
            continue
        true, drawn, hole = truth.mask(name), labels.array == label, owned == label
        found[name] = _Overlap(
            case.patient,
            int(true.sum()),
            np.array([hole.sum()], np.int64),
            np.array([(hole & true).sum()], np.int64),
            (int(drawn.sum()), int((drawn & true).sum())),
            labels.geometry.voxel_volume,
        )
    return found


def _of_holes(name: str, cases: Sequence[_Overlaps], standing: Option) -> _Tried:
    fill = replace(standing, fill_holes=True) if standing else PostprocessingRule(name, fill_holes=True)
    found: dict[str, list[FloatArray]] = {}
    for case in (case[name] for case in cases if name in case and (case[name].truth or case[name].fixed[0])):
        figures = [case.dsc(np.array([filled])) for filled in (False, True)]
        found.setdefault(case.patient, []).append(np.array(figures))
    return [standing, fill], found


def _step(
    step: Literal["pieces", "holes"],
    cohort: Cohort,
    predictions: Path,
    chosen: Mapping[str, PostprocessingRule],
    try_on: Callable[[str], _Tried],
) -> tuple[list[Trial], dict[str, PostprocessingRule]]:
    """Try one step on every structure; return the trials, and ``chosen`` with the rules that are kept."""
    trials: list[Trial] = []
    winners: dict[str, PostprocessingRule] = {}
    for name in cohort.structures:
        options, of_patients = try_on(name)
        if not of_patients:
            continue
        table = np.array([np.mean(cases, axis=0) for cases in of_patients.values()])  # (patients, options)
        best = int(table.mean(axis=0).argmax())
        chance = chance_of(table[:, 1:] - table[:, :1], best - 1) if best else 1.0
        before, after = float(table[:, 0].mean()), float(table[:, best].mean())
        winner = options[best]
        tried = winner.words if best and winner else "nothing"
        trials.append(Trial(name, step, tried, len(table), before, after, chance, math.nan, math.nan, False))
        if best and winner and after - before > LEAST_GAIN and chance <= MOST_CHANCE:
            winners[name] = winner
    if not winners:
        return trials, dict(chosen)
    distances = _hd95(cohort, predictions, chosen, {**chosen, **winners})
    kept_rules = dict(chosen)
    for number, trial in enumerate(trials):
        if trial.structure in winners:
            hd95_before, hd95_after = distances[trial.structure]
            kept = hd95_after <= hd95_before
            trials[number] = replace(trial, hd95_before=hd95_before, hd95_after=hd95_after, kept=kept)
            if kept:
                kept_rules[trial.structure] = winners[trial.structure]
    return trials, kept_rules


def chance_of(gains: FloatArray, option: int) -> float:
    """How often any option looks as good as ``option`` does where signs are flipped patient by patient.

    The maximum over options is that of Westfall and Young 1993, Resampling-Based Multiple Testing. All ways to flip
    are tried; of more than 8,192 as many are drawn, with no flip as the first.

    Args:
        gains: (patients, options).
        option: its column.
    """
    patients = len(gains)
    if patients <= _FLIPS_BITS:
        signs = 1 - 2 * ((np.arange(2**patients)[:, None] >> np.arange(patients)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1, 1], (2**_FLIPS_BITS, patients))
        signs[0] = 1
    scale = np.sqrt((gains**2).sum(axis=0))
    scaled = gains / np.where(scale > 0, scale, 1)
    return float(((signs @ scaled).max(axis=1) >= scaled[:, option].sum() - 1e-9).mean())


def _hd95(
    cohort: Cohort,
    predictions: Path,
    before: Mapping[str, PostprocessingRule],
    after: dict[str, PostprocessingRule],
) -> dict[str, tuple[float, float]]:
    """Of each structure that a rule changes the mean HD95 over patients with either set of rules, in mm."""
    changed = [name for name in after if after[name] != before.get(name)]
    found: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in changed}
    for case_id in track(_ids(cohort), "Post-processing: HD95"):
        case, (truth, prediction) = cohort.case(case_id), _pair(cohort, case_id, predictions)
        scores = [
            {
                one.structure: one
                for one in score(
                    truth,
                    postprocess(prediction, tuple(rules.values())),
                    case=case.id,
                    patient=case.patient,
                    unknown=case.missing,
                )
            }
            for rules in (before, after)
        ]
        for name in changed:
            if scores[0][name].scored:
                distances = [of_rules[name].hd95_mm if of_rules[name].scored else 0.0 for of_rules in scores]
                found[name].setdefault(case.patient, []).append((distances[0], distances[1]))
    means = {name: np.mean([np.mean(cases, axis=0) for cases in found[name].values()], axis=0) for name in changed}
    return {name: (float(pair[0]), float(pair[1])) for name, pair in means.items()}
