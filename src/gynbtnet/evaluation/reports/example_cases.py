"""The cases that a page shows: three to scroll through, the same with errors hatched, and three of each structure.

The first kind is the paper's figure 5 made scrollable, the second figure 5, the third figure 6 for every structure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.reports.case_selection import Rank, mean_dsc, rank_cases
from gynbtnet.evaluation.reports.compared_case import TRUTH, ComparedCase, compared_case
from gynbtnet.evaluation.reports.html_slices import Panel, ViewedCase
from gynbtnet.evaluation.reports.slice_stack import SliceStack
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.overlays import visible_colour
from gynbtnet.runtime.progress import track

MISSED = {"none": "", "prediction": "missed", "truth": "false", "both": "absent", "unknown": "unknown"}
"""What ``Score.missing_in`` is called."""


@dataclass(frozen=True)
class PanelRow:
    """Panels that belong together, with a heading and their figures in words."""

    title: str
    caption: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class ExampleCases:
    """What was chosen to be shown.

    Attributes:
        viewed: best, median and worst case, to scroll through.
        cases: a row for each of them: the scan, the truth, and each model with its errors.
        structures: a row for each structure: its best, median and worst case, each model with its errors.
    """

    viewed: tuple[ViewedCase, ...]
    cases: tuple[PanelRow, ...]
    structures: tuple[PanelRow, ...]


def example_cases(
    cohort: Cohort, evaluations: Mapping[str, Evaluation], predictions: Mapping[str, Path], names: StructureNames
) -> ExampleCases:
    """Choose by :func:`gynbtnet.evaluation.reports.case_selection.mean_dsc` over all models, read, and draw.

    Args:
        cohort: the cases that were scored.
        evaluations: by model.
        predictions: by model, ``<case id>/labels.nii.gz``; models without are not drawn.
        names: for the colours.

    Raises:
        BadInput: where a prediction is absent or damaged.
    """
    models = [evaluation.scores for evaluation in evaluations.values()]
    means = mean_dsc(models)
    whole = {case_id: rank for rank, case_id in rank_cases(means)}
    by_structure = {name: rank_cases(mean_dsc(models, name)) for name in cohort.structures}
    wanted = dict.fromkeys([*whole, *(case_id for chosen in by_structure.values() for _, case_id in chosen)])
    drawer = _Drawer(evaluations, {name: visible_colour(name, names) for name in cohort.structures})
    viewed: dict[str, ViewedCase] = {}
    rows: dict[str, PanelRow] = {}
    panels: dict[tuple[str, Rank], list[Panel]] = {}
    for case_id in track(list(wanted), "Draw cases"):
        case = compared_case(cohort, case_id, predictions)
        if case_id in whole:
            title = f"{whole[case_id].capitalize()} case, mean DSC {means[case_id]:.2f}: {case_id}"
            viewed[case_id] = drawer.viewed(case.cropped(), title)
            rows[case_id] = drawer.row(case.cropped(), title)
        for structure, chosen in by_structure.items():
            for rank in (rank for rank, one in chosen if one == case_id):
                panels[structure, rank] = drawer.of_structure(case.cropped(structure), structure, rank)
    return ExampleCases(
        viewed=tuple(viewed[case_id] for case_id in whole),
        cases=tuple(rows[case_id] for case_id in whole),
        structures=tuple(
            PanelRow(structure, "", tuple(panel for rank, _ in chosen for panel in panels[structure, rank]))
            for structure, chosen in by_structure.items()
            if chosen
        ),
    )


class _Drawer:
    """Turns cases into what a page shows, with their scores in words."""

    def __init__(self, evaluations: Mapping[str, Evaluation], colours: Mapping[str, str]) -> None:
        self.colours = colours
        self._scores: dict[tuple[str, str], dict[str, Score]] = {}
        for model, evaluation in evaluations.items():
            for score in evaluation.scores:
                self._scores.setdefault((model, score.case), {})[score.structure] = score

    def viewed(self, case: ComparedCase, title: str) -> ViewedCase:
        return ViewedCase(title, self._caption(case), case.stacks(), case.models, self.colours)

    def row(self, case: ComparedCase, title: str) -> PanelRow:
        stack = case.worst_slice()
        plain = Panel("CT", "", stack, (), (), self.colours, f"axial slice of {case.case_id}, nothing drawn")
        described = f"axial slice of {case.case_id}: contours of"
        truth = Panel(TRUTH, "", stack, (TRUTH,), (), self.colours, f"{described} the truth")
        drawn = (
            Panel(model, self._lost(model, case.case_id), stack, (model,), (model,), self.colours,
                  f"{described} {model}, over- and under-segmentation hatched")
            for model in case.models
        )  # fmt: skip
        return PanelRow(f"{title}, {_place(stack)}", self._caption(case), (plain, truth, *drawn))

    def of_structure(self, case: ComparedCase, structure: str, rank: Rank) -> list[Panel]:
        stack, colours, found = case.worst_slice(structure), {structure: self.colours[structure]}, []
        for model in case.models:
            score = self._scores[model, case.case_id][structure]
            of_model = f"{model}, " if len(case.models) > 1 else ""
            found.append(
                Panel(
                    title=f"{rank}, {of_model}{_dsc(score)}: {case.case_id}",
                    note=MISSED[score.missing_in],
                    stack=stack,
                    lines=(TRUTH, model),
                    errors=(model,),
                    colours=colours,
                    description=f"axial slice of {case.case_id}: {structure} by truth and {model}, errors hatched",
                )
            )
        return found

    def _lost(self, model: str, case_id: str) -> str:
        scores = self._scores[model, case_id].values()
        words = [
            f"{one.structure} {MISSED[one.missing_in]}" for one in scores if one.missing_in in ("prediction", "truth")
        ]
        return ", ".join(words)

    def _caption(self, case: ComparedCase) -> str:
        told = []
        for model in case.models:
            scores = self._scores[model, case.case_id].values()
            figures = ", ".join(f"{one.structure} {MISSED[one.missing_in] or format(one.dsc, '.2f')}" for one in scores)
            told.append(f"{f'{model}: ' if len(case.models) > 1 else ''}{figures}")
        return f"DSC. {'. '.join(told)}."


def _dsc(score: Score) -> str:
    return f"DSC {score.dsc:.2f}" if score.is_scored else "not scored"


def _place(stack: SliceStack) -> str:
    return f"z = {stack.places[0]:z.0f} mm"
