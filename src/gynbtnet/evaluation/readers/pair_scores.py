"""Scores of the contours of one case between all its observers: the model, each reader, and consensuses of readers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gynbtnet.evaluation.metrics.metrics import Score, score_case
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.readers.staple import Consensus, staple
from gynbtnet.imaging.label_map import paint_masks
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Segmentation

MODEL = "model"
"""Name of the predictions among the observers."""
CONSENSUS = "STAPLE"
"""Name of the consensus of all readers."""
WITHOUT = f"{CONSENSUS} without "
"""Beginning of the name of a consensus that leaves one reader out."""
PAIR_METRICS = ("dsc", "surface_dsc", "added_path_length_mm", "added_path_length_share")
"""Metrics of pairs; fields of :class:`gynbtnet.evaluation.metrics.metrics.Score`."""


@dataclass(frozen=True)
class Observation:
    """Contours of one observer in one case.

    Attributes:
        segmentation: the structures.
        unknown: reason why a structure is not known, by structure. An empty structure is known to be absent.
        remarks: reason why a structure can't be fully trusted, by structure.
    """

    segmentation: Segmentation
    unknown: Mapping[str, str]
    remarks: Mapping[str, str]


@dataclass(frozen=True)
class PairScore:
    """Agreement of two observers on one structure of one case.

    Attributes:
        case: id of the case.
        patient: study ID of the patient.
        structure: identifier of the structure.
        observer: name of the observer that is judged: a reader or the model.
        reference: name of the observer that it is compared with: a reader or a consensus.
        status: "scored", or which of both lacks the structure and why.
        dsc, surface_dsc: see :class:`gynbtnet.evaluation.metrics.metrics.Score`; NaN if not scored.
        added_path_length_mm, added_path_length_share: length of the reference's contour that the observer lacks.
    """

    case: str
    patient: str
    structure: str
    observer: str
    reference: str
    status: str
    dsc: float = math.nan
    surface_dsc: float = math.nan
    added_path_length_mm: float = math.nan
    added_path_length_share: float = math.nan

    @property
    def is_scored(self) -> bool:
        """Return whether the metrics are defined."""
        return not math.isnan(self.dsc)


def observer_pairs(readers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs to compare, observer and reference, in the order of the tables.

    The added path length depends on the direction, so that two readers are compared in both. No reader is compared with
    a consensus that contains this reader. The model is also compared with these smaller consensuses, so that both have
    the same reference. A consensus needs two readers.

    Example:
        >>> observer_pairs(["A", "B"])
        (('model', 'A'), ('model', 'B'), ('A', 'B'), ('B', 'A'), ('model', 'STAPLE'))
    """
    of_model = [(MODEL, reader) for reader in readers]
    of_readers = [(one, other) for one in readers for other in readers if one != other]
    without = readers if len(readers) > 2 else ()
    consensus = [(MODEL, CONSENSUS), *((who, WITHOUT + reader) for reader in without for who in (reader, MODEL))]
    return (*of_model, *of_readers, *consensus)


def score_pairs(
    model: Observation,
    readers: Mapping[str, Observation],
    structures: Sequence[str],
    *,
    case: str,
    patient: str,
    settings: ScoringSettings,
) -> list[PairScore]:
    """Score all pairs of observers of one case.

    A structure that both lack counts as perfect if any other pair of the case is scored on it. Otherwise an observer
    who rightly drew nothing would have no advantage.

    Args:
        model: predicted contours.
        readers: contours of each reader, at least two, on the same grid.
        structures: structures to score.
        case: id of the case.
        patient: study ID of the patient.
        settings: policy for missing structures, kind of surface, tolerances.

    Returns:
        One score per pair and structure; none is left out.
    """
    observers = {MODEL: model, **readers, CONSENSUS: _consensus(readers, structures)}
    if len(readers) > 2:
        for name in readers:
            others = {other: contours for other, contours in readers.items() if other != name}
            observers[WITHOUT + name] = _consensus(others, structures)
    scores: list[PairScore] = []
    for observer, reference in observer_pairs(tuple(readers)):
        one, other = (observers[name] for name in (observer, reference))
        unknown = {**other.unknown, **one.unknown}
        for score in score_case(
            other.segmentation.relabelled(structures),
            one.segmentation.relabelled(structures),
            case=case,
            patient=patient,
            unknown=tuple(unknown),
            settings=settings,
        ):
            status = unknown.get(score.structure) or _status(score, observer, reference)
            remark = other.remarks.get(score.structure, "")
            scores.append(
                PairScore(
                    *(case, patient, score.structure, observer, reference),
                    f"{status}; {remark}" if remark and score.is_scored else status,
                    **{metric: getattr(score, metric) for metric in PAIR_METRICS},
                )
            )
    scored = {score.structure for score in scores if score.is_scored}
    return [_perfect(score) if score.status == _NEITHER and score.structure in scored else score for score in scores]


_NEITHER = "neither has it"


def _status(score: Score, observer: str, reference: str) -> str:
    return {
        "none": "scored",
        "prediction": f"missing in {observer}",
        "truth": f"missing in {reference}",
        "both": _NEITHER,
    }[score.missing_in]


def _perfect(score: PairScore) -> PairScore:
    return replace(score, dsc=1.0, surface_dsc=1.0, added_path_length_mm=0.0, added_path_length_share=0.0)


def _consensus(readers: Mapping[str, Observation], structures: Sequence[str]) -> Observation:
    """Return the consensus of those readers who looked for each structure."""
    grid = next(iter(readers.values())).segmentation.labels.geometry
    found: dict[str, Consensus] = {}
    unknown = {}
    for structure in structures:
        known = [own for own in readers.values() if structure not in own.unknown]
        if len(known) < 2:
            unknown[structure] = f"no consensus: contoured by {len(known)} of {len(readers)} readers"
        else:
            found[structure] = staple([own.segmentation.mask(structure) for own in known])
    masks = StructureMasks.of({structure: consensus.mask for structure, consensus in found.items()}, grid)
    remarks = {name: "STAPLE did not converge" for name, consensus in found.items() if not consensus.converged}
    return Observation(paint_masks(masks).relabelled(structures), unknown, remarks)
