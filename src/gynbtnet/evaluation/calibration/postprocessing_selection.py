"""Selection of the post-processing that helps, on the out-of-fold predictions of a cross-validation alone.

Two steps are tried for each structure:

1. Components: keep all connected components, those of a minimum volume, or only the largest. The minimum volumes are
   those of the components other than the largest, at most eight, and below the smallest structure in the truth.
2. Holes: fill them, after the components of all structures were removed.

A step is kept if three conditions are met:

- The mean DSC gains more than 0.001, the last decimal that tables print.
- The gain is significant. If the signs of each patient's gains are flipped at random, any option looks as good in at
  most 5 % of flips. This is a one-sided paired permutation test on the maximum, over options, of the sum of gains
  divided by the root of the sum of their squares. Trying more options therefore does not give more false gains. At
  least five patients have to gain; one patient with a large gain is not enough.
- The mean HD95 is not larger.

DSC and HD95 are means over patients of means over their fractions. A false structure that is removed completely counts
as DSC 1 and HD95 0 here, since that is correct.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import read_prediction, read_truth
from gynbtnet.evaluation.metrics.metrics import score_case
from gynbtnet.imaging.nesting import Nesting
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.inference.quality.connected_components import connected_components
from gynbtnet.inference.quality.postprocessing import keep_components, postprocess, structure_holes
from gynbtnet.preparation.planning.postprocessing_rules import PostprocessingRule
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.progress import track

MIN_DSC_GAIN = 0.001
MAX_P = 0.05
MIN_PATIENTS = 5
"""With fewer patients no gain is significant: of the 16 ways to flip the signs of four gains, 1 looks as good."""
_MAX_VOLUMES = 8
_MAX_EXACT_PATIENTS = 13  # 8,192 ways to flip signs

Option = PostprocessingRule | None
Step = Literal["components", "holes"]


@dataclass(frozen=True)
class Trial:
    """Result of one step on one structure.

    Attributes:
        structure: identifier of the structure.
        step: step that was tried.
        best_option: option with the highest DSC, in words; "nothing" if no change improved it.
        patients: number of patients.
        dsc_before: mean DSC over patients without the option.
        dsc_after: mean DSC over patients with the option.
        p: p-value of the permutation test.
        hd95_before_mm: mean HD95 without the option; NaN if the gain in DSC was too small to compute it.
        hd95_after_mm: mean HD95 with the option; NaN if the gain in DSC was too small to compute it.
        kept: whether the plan includes the option.
    """

    structure: str
    step: Step
    best_option: str
    patients: int
    dsc_before: float
    dsc_after: float
    p: float
    hd95_before_mm: float
    hd95_after_mm: float
    kept: bool


@dataclass(frozen=True)
class PostprocessingSelection:
    """Selected post-processing.

    Attributes:
        rules: rules that improved the predictions.
        trials: everything that was tried.
    """

    rules: tuple[PostprocessingRule, ...]
    trials: tuple[Trial, ...]


def select_postprocessing(cohort: Cohort, predictions: Path, nesting: Nesting) -> PostprocessingSelection:
    """Select post-processing rules on predictions by models that were not trained on the patient.

    Args:
        cohort: cases with contours, none of a test patient.
        predictions: folder with ``<case id>/labels.nii.gz``.
        nesting: inner and outer structures of the plan. Holes and HD95 are measured with it. The components of a
            structure are tried independently of its outer one.

    Returns:
        The rules, and all trials.

    Raises:
        BadInput: If a case has no contours or no prediction.
    """
    components = [
        _component_overlaps(cohort, case_id, predictions)
        for case_id in track(_labelled_cases(cohort), "Post-processing: components")
    ]
    component_trials, component_rules = _try_step(
        "components", cohort, predictions, {}, nesting, lambda name: _component_options(name, components)
    )
    holes = [
        _hole_overlaps(cohort, case_id, predictions, component_rules, nesting)
        for case_id in track(_labelled_cases(cohort), "Post-processing: holes")
    ]
    hole_trials, rules = _try_step(
        "holes",
        cohort,
        predictions,
        component_rules,
        nesting,
        lambda name: _hole_options(name, holes, component_rules.get(name)),
    )
    return PostprocessingSelection(
        tuple(rules[name] for name in cohort.structures if name in rules), (*component_trials, *hole_trials)
    )


@dataclass(frozen=True)
class _Overlap:
    """Overlap of one structure of one case with the truth, by the parts of the prediction that may be removed.

    Attributes:
        patient: study ID of the patient.
        truth: number of voxels of the truth.
        parts: number of voxels of each part.
        correct: number of voxels of each part that are in the truth.
        fixed: number of other predicted voxels, and of those that are in the truth.
        voxel_mm3: volume of a voxel.
    """

    patient: str
    truth: int
    parts: npt.NDArray[np.int64]
    correct: npt.NDArray[np.int64]
    fixed: tuple[int, int]
    voxel_mm3: float

    def dsc(self, kept: npt.NDArray[np.bool_]) -> float:
        """Return the DSC with some of the parts; 1 if both prediction and truth are empty."""
        size = self.truth + int(self.parts[kept].sum()) + self.fixed[0]
        return 2 * (int(self.correct[kept].sum()) + self.fixed[1]) / size if size else 1.0


_Overlaps = dict[str, _Overlap]
_OptionScores = tuple[list[Option], dict[str, list[FloatArray]]]
"""Options, the first of which is no change, and by patient the DSC of each case with every option."""


def _labelled_cases(cohort: Cohort) -> list[str]:
    return [case.id for case in cohort.cases if case.labels is not None]


def _read_pair(cohort: Cohort, case_id: str, predictions: Path) -> tuple[Segmentation, Segmentation]:
    """Return truth and prediction of a case, with the same structures in the same order."""
    case = cohort.case(case_id)
    prediction = read_prediction(case, predictions, cohort.structures)
    return read_truth(case, cohort.structures), prediction.relabelled(cohort.structures)


def _component_overlaps(cohort: Cohort, case_id: str, predictions: Path) -> _Overlaps:
    """Return the overlap of each structure that the case's source contours; its parts are connected components."""
    case, (truth, prediction) = cohort.case(case_id), _read_pair(cohort, case_id, predictions)
    overlaps = {}
    for name, components in connected_components(prediction).items():
        if name in case.missing:
            continue
        truth_mask = truth.mask(name)
        correct = np.zeros(0, np.int64)
        if components.box is not None:
            hits = components.numbers[truth_mask[components.box]]
            correct = np.bincount(hits, minlength=len(components.voxels) + 1)[1:]
        overlaps[name] = _Overlap(
            case.patient,
            int(truth_mask.sum()),
            components.voxels,
            correct,
            (0, 0),
            prediction.labels.geometry.voxel_volume,
        )
    return overlaps


def _component_options(name: str, cases: Sequence[_Overlaps]) -> _OptionScores:
    overlaps = [case[name] for case in cases if name in case and (case[name].truth or len(case[name].parts))]
    options: list[Option] = [None, *(PostprocessingRule(name, minimum_cm3=cm3) for cm3 in _minimum_volumes(overlaps))]
    options.append(PostprocessingRule(name, largest_component=True))
    by_patient: dict[str, list[FloatArray]] = {}
    for overlap in overlaps:
        all_parts = np.ones(len(overlap.parts), bool)
        dsc = [
            overlap.dsc(keep_components(overlap.parts, rule, overlap.voxel_mm3) if rule else all_parts)
            for rule in options
        ]
        by_patient.setdefault(overlap.patient, []).append(np.array(dsc))
    return options, by_patient


def _minimum_volumes(cases: Sequence[_Overlap]) -> list[float]:
    """Return the minimum volumes to try, in cm³.

    Each removes one of the components other than the largest, and all that are smaller.
    """
    smallest = min((case.truth * case.voxel_mm3 / 1000 for case in cases if case.truth), default=0.0)
    others = {
        _rounded_up(float(voxels) * case.voxel_mm3 / 1000)
        for case in cases
        for number, voxels in enumerate(case.parts)
        if number != case.parts.argmax()
    }
    volumes = sorted(volume for volume in others if volume < smallest)
    if len(volumes) <= _MAX_VOLUMES:
        return volumes
    return [volumes[round(i)] for i in np.linspace(0, len(volumes) - 1, _MAX_VOLUMES)]


def _rounded_up(volume: float) -> float:
    """Return the next number of two digits that is larger than ``volume``."""
    unit = 10.0 ** (math.floor(math.log10(volume)) - 1)
    return float(f"{(math.floor(volume / unit * (1 + 1e-9)) + 1) * unit:.2g}")


def _hole_overlaps(
    cohort: Cohort, case_id: str, predictions: Path, rules: Mapping[str, PostprocessingRule], nesting: Nesting
) -> _Overlaps:
    """Return the overlap of each structure that the case's source contours, with all of its holes as one part."""
    case, (truth, prediction) = cohort.case(case_id), _read_pair(cohort, case_id, predictions)
    kept = postprocess(prediction, tuple(rules.values()), nesting)
    overlaps = {}
    for name, holes in structure_holes(kept, cohort.structures).items():
        if name in case.missing:
            continue
        truth_mask, predicted = truth.mask(name), kept.mask(name)
        overlaps[name] = _Overlap(
            case.patient,
            int(truth_mask.sum()),
            np.array([holes.sum()], np.int64),
            np.array([(holes & truth_mask).sum()], np.int64),
            (int(predicted.sum()), int((predicted & truth_mask).sum())),
            kept.labels.geometry.voxel_volume,
        )
    return overlaps


def _hole_options(name: str, cases: Sequence[_Overlaps], rule: Option) -> _OptionScores:
    with_filling = replace(rule, fill_holes=True) if rule else PostprocessingRule(name, fill_holes=True)
    by_patient: dict[str, list[FloatArray]] = {}
    for overlap in (case[name] for case in cases if name in case and (case[name].truth or case[name].fixed[0])):
        dsc = [overlap.dsc(np.array([filled])) for filled in (False, True)]
        by_patient.setdefault(overlap.patient, []).append(np.array(dsc))
    return [rule, with_filling], by_patient


def _try_step(
    step: Step,
    cohort: Cohort,
    predictions: Path,
    rules: Mapping[str, PostprocessingRule],
    nesting: Nesting,
    score_options: Callable[[str], _OptionScores],
) -> tuple[list[Trial], dict[str, PostprocessingRule]]:
    """Try one step on every structure; return the trials, and ``rules`` with those of this step that are kept."""
    trials: list[Trial] = []
    candidates: dict[str, PostprocessingRule] = {}
    for name in cohort.structures:
        options, by_patient = score_options(name)
        if not by_patient:
            continue
        dsc = np.array([np.mean(cases, axis=0) for cases in by_patient.values()])  # (patients, options)
        best = int(dsc.mean(axis=0).argmax())
        p = max_statistic_p(dsc[:, 1:] - dsc[:, :1], best - 1) if best else 1.0
        before, after = float(dsc[:, 0].mean()), float(dsc[:, best].mean())
        candidate = options[best]
        words = candidate.words if best and candidate else "nothing"
        trials.append(Trial(name, step, words, len(dsc), before, after, p, math.nan, math.nan, False))
        if best and candidate and after - before > MIN_DSC_GAIN and p <= MAX_P:
            candidates[name] = candidate
    if not candidates:
        return trials, dict(rules)
    distances = _mean_hd95(cohort, predictions, rules, {**rules, **candidates}, nesting)
    kept_rules = dict(rules)
    for number, trial in enumerate(trials):
        if trial.structure in candidates:
            before, after = distances[trial.structure]
            kept = after <= before
            trials[number] = replace(trial, hd95_before_mm=before, hd95_after_mm=after, kept=kept)
            if kept:
                kept_rules[trial.structure] = candidates[trial.structure]
    return trials, kept_rules


def max_statistic_p(gains: FloatArray, option: int) -> float:
    """Return the probability that any option looks as good as ``option`` if signs are flipped patient by patient.

    The maximum over options is that of Westfall and Young 1993, Resampling-Based Multiple Testing. All ways to flip are
    counted; if there are more than 8,192, that many are drawn, and no flip is the first of them.

    Args:
        gains: gain in DSC, (patients, options).
        option: column of the option.
    """
    patients = len(gains)
    if patients <= _MAX_EXACT_PATIENTS:
        signs = 1 - 2 * ((np.arange(2**patients)[:, None] >> np.arange(patients)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1, 1], (2**_MAX_EXACT_PATIENTS, patients))
        signs[0] = 1
    scale = np.sqrt((gains**2).sum(axis=0))
    scaled = gains / np.where(scale > 0, scale, 1)
    return float(((signs @ scaled).max(axis=1) >= scaled[:, option].sum() - 1e-9).mean())


def _mean_hd95(
    cohort: Cohort,
    predictions: Path,
    before: Mapping[str, PostprocessingRule],
    after: dict[str, PostprocessingRule],
    nesting: Nesting,
) -> dict[str, tuple[float, float]]:
    """Return the mean HD95 over patients in mm with both sets of rules, for each structure whose rule differs."""
    changed = [name for name in after if after[name] != before.get(name)]
    by_patient: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in changed}
    for case_id in track(_labelled_cases(cohort), "Post-processing: HD95"):
        case, (truth, prediction) = cohort.case(case_id), _read_pair(cohort, case_id, predictions)
        scores_before, scores_after = (
            {
                score.structure: score
                for score in score_case(
                    truth,
                    postprocess(prediction, tuple(rules.values()), nesting),
                    case=case.id,
                    patient=case.patient,
                    unknown=case.missing,
                )
            }
            for rules in (before, after)
        )
        for name in changed:
            if scores_before[name].is_scored:
                distances = [
                    scores[name].hd95_mm if scores[name].is_scored else 0.0 for scores in (scores_before, scores_after)
                ]
                by_patient[name].setdefault(case.patient, []).append((distances[0], distances[1]))
    means = {name: np.mean([np.mean(cases, axis=0) for cases in by_patient[name].values()], axis=0) for name in changed}
    return {name: (float(pair[0]), float(pair[1])) for name, pair in means.items()}
