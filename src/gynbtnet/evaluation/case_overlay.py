"""The cases that a report shows: best, median and worst of a test set, and scans without truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.evaluate import Evaluation, prediction_of, truth_of
from gynbtnet.evaluation.metrics import Score
from gynbtnet.evaluation.score_table import score_table
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.volume_files import read_volume
from gynbtnet.pictures.overlays import View, colour, overlay_figure, view
from gynbtnet.pictures.picture import Picture, picture
from gynbtnet.pictures.planes import PLANES
from gynbtnet.progress import track


@dataclass(frozen=True)
class CaseOverlay:
    """One scan with its contours on three planes.

    Attributes:
        title: which case, and why it is shown.
        caption: how to read it, and its figures.
        panels: axial, coronal, sagittal.
        legend: structure and colour (#rrggbb).
    """

    title: str
    caption: str
    panels: tuple[Picture, ...]
    legend: tuple[tuple[str, str], ...]


def best_median_worst(scores: Sequence[Score]) -> tuple[tuple[str, str], ...]:
    """("best", case), ("median", case) and ("worst", case) by the mean DSC over a case's scored structures.

    Two cases are the best and the worst, one is the best. The median of an even number is the lower one; equal means
    stay in the cases' order.
    """
    table = score_table(scores)
    means = table[table["dsc"].notna()].groupby("case", sort=False)["dsc"].mean()
    ranked = list(means.sort_values(ascending=False, kind="stable").index)
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    wanted = ("best", "median", "worst") if len(ranked) > 2 else ("best", "worst")[: len(ranked)]
    return tuple((rank, str(ranked[places[rank]])) for rank in wanted)


def chosen_overlays(
    evaluation: Evaluation, cohort: Cohort, predictions: Path, names: StructureNames
) -> tuple[CaseOverlay, ...]:
    """Truth and prediction of the best, the median and the worst case; see :func:`evaluate` for the arguments."""
    overlays = []
    for rank, case_id in track(best_median_worst(evaluation.scores), "Draw overlays"):
        case = cohort.case(case_id)
        truth = truth_of(case, cohort.structures)
        prediction = prediction_of(case, predictions, cohort.structures)
        seen = view(read_volume(case.image), prediction, truth)
        scores = [score for score in evaluation.scores if score.case == case_id and score.scored]
        mean = np.mean([score.dsc for score in scores])
        title = f"{rank.capitalize()} case, mean DSC {mean:.2f}: {case_id}"
        caption = f"Filled: truth. Line: prediction. {_dsc_of(scores)}"
        overlays.append(_overlay(title, caption, seen, cohort.structures, names))
    return tuple(overlays)


def prediction_overlay(title: str, image: Volume, prediction: Segmentation, names: StructureNames) -> CaseOverlay:
    """What the model drew on a scan (HU) without truth, with the volumes; both on one grid."""
    volumes = {structure: prediction.volume_cm3(structure) for structure in prediction.structures}
    found = ", ".join(f"{structure} {volume:.1f} cm³" for structure, volume in volumes.items() if volume)
    absent = ", ".join(structure for structure, volume in volumes.items() if not volume)
    caption = f"Line: prediction; there is no truth to compare with. {found or 'Nothing was found'}."
    caption += f" Not found: {absent}." if found and absent else ""
    shown = [structure for structure, volume in volumes.items() if volume]
    return _overlay(title, caption, view(image, prediction), shown, names)


def _dsc_of(scores: Sequence[Score]) -> str:
    words = {"none": "", "prediction": " (missed)", "truth": " (false)"}
    figures = [f"{s.structure} {s.dsc:.2f}{words[s.missed]}" for s in scores]
    return f"DSC: {', '.join(figures)}."


def _overlay(title: str, caption: str, seen: View, structures: Sequence[str], names: StructureNames) -> CaseOverlay:
    return CaseOverlay(
        title=title,
        caption=caption,
        panels=tuple(picture(overlay_figure(seen, names, [name]), f"{title}, {name} plane") for name in PLANES),
        legend=tuple((structure, colour(structure, names)) for structure in structures),
    )
