"""Example cases of a page: three in a viewer, the same three with errors hatched, and three for each structure.

The viewer is a scrollable version of the paper's figure 5, the second part is figure 5, the third is figure 6 for every
structure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.reports.case_selection import Rank, mean_dsc, rank_cases
from gynbtnet.evaluation.reports.compared_case import TRUTH, ComparedCase, read_compared_case
from gynbtnet.evaluation.reports.html_slices import Panel, StructureStyle, ViewedCase
from gynbtnet.evaluation.reports.slice_stack import SliceStack
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.overlays import visible_colour
from gynbtnet.runtime.progress import track

MISSED = {"none": "", "prediction": "missed", "truth": "false", "both": "absent", "unknown": "unknown"}
"""Word that people read for each value of ``Score.missing_in``."""


@dataclass(frozen=True)
class PanelRow:
    """Panels that belong together.

    Attributes:
        title: the heading.
        caption: the scores in words; empty if the panels' titles have them.
        panels: in their order.
    """

    title: str
    caption: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class ExampleCases:
    """Cases that were selected to be shown.

    Attributes:
        viewed: best, median and worst case, for the viewer.
        cases: one row per such case: the scan, the truth, and each model with its errors.
        structures: one row per structure: its best, median and worst case, each model with its errors.
    """

    viewed: tuple[ViewedCase, ...]
    cases: tuple[PanelRow, ...]
    structures: tuple[PanelRow, ...]


def example_cases(
    cohort: Cohort, evaluations: Mapping[str, Evaluation], predictions: Mapping[str, Path], names: StructureNames
) -> ExampleCases:
    """Select cases by their mean DSC over all models, read them, and draw their slices.

    The rule is :func:`gynbtnet.evaluation.reports.case_selection.mean_dsc`.

    Args:
        cohort: the cases that were scored.
        evaluations: scores by model.
        predictions: folder by model, ``<case id>/labels.nii.gz``; a model without a folder is not shown.
        names: names and colours of the structures.

    Raises:
        BadInput: If a prediction is absent or damaged.
    """
    models = [evaluation.scores for evaluation in evaluations.values()]
    means = mean_dsc(models)
    rank_of = {case_id: rank for rank, case_id in rank_cases(means)}
    by_structure = {name: rank_cases(mean_dsc(models, name)) for name in cohort.structures}
    case_ids = dict.fromkeys([*rank_of, *(case_id for ranked in by_structure.values() for _, case_id in ranked)])
    drawer = _Drawer(
        evaluations,
        {name: StructureStyle(names.display_name(name), visible_colour(name, names)) for name in cohort.structures},
    )
    viewed: dict[str, ViewedCase] = {}
    rows: dict[str, PanelRow] = {}
    panels: dict[tuple[str, Rank], list[Panel]] = {}
    for case_id in track(list(case_ids), "Draw cases"):
        case = read_compared_case(cohort, case_id, predictions)
        if case_id in rank_of:
            title = f"{rank_of[case_id].capitalize()} case, mean DSC {means[case_id]:.2f}: {case_id}"
            viewed[case_id] = drawer.viewed_case(case.cropped(), title)
            rows[case_id] = drawer.error_row(case.cropped(), title)
        for structure, ranked in by_structure.items():
            for rank in (rank for rank, ranked_id in ranked if ranked_id == case_id):
                panels[structure, rank] = drawer.structure_panels(case.cropped(structure), structure, rank)
    return ExampleCases(
        viewed=tuple(viewed[case_id] for case_id in rank_of),
        cases=tuple(rows[case_id] for case_id in rank_of),
        structures=tuple(
            PanelRow(
                names.display_name(structure),
                "",
                tuple(panel for rank, _ in ranked for panel in panels[structure, rank]),
            )
            for structure, ranked in by_structure.items()
            if ranked
        ),
    )


class _Drawer:
    """Converter of cases into panels, with their scores in words."""

    def __init__(self, evaluations: Mapping[str, Evaluation], styles: Mapping[str, StructureStyle]) -> None:
        self._styles = styles
        self._scores: dict[tuple[str, str], dict[str, Score]] = {}
        for model, evaluation in evaluations.items():
            for score in evaluation.scores:
                self._scores.setdefault((model, score.case), {})[score.structure] = score

    def viewed_case(self, case: ComparedCase, title: str) -> ViewedCase:
        return ViewedCase(title, self._caption(case), case.stacks(), case.models, self._styles)

    def error_row(self, case: ComparedCase, title: str) -> PanelRow:
        stack = case.worst_slice()
        slice_of = f"Axial slice of {case.case_id}"
        scan = Panel("CT", "", stack, (), (), self._styles, f"{slice_of}, without contours")
        truth = Panel(TRUTH, "", stack, (TRUTH,), (), self._styles, f"{slice_of} with the contours of the truth")
        models = (
            Panel(
                title=model,
                note=self._missed(model, case.case_id),
                stack=stack,
                lines=(model,),
                errors=(model,),
                styles=self._styles,
                description=f"{slice_of} with the contours of {model}, over- and under-segmentation hatched",
            )
            for model in case.models
        )
        return PanelRow(f"{title}, {_position(stack)}", self._caption(case), (scan, truth, *models))

    def structure_panels(self, case: ComparedCase, structure: str, rank: Rank) -> list[Panel]:
        stack, style = case.worst_slice(structure), self._styles[structure]
        panels = []
        for model in case.models:
            score = self._scores[model, case.case_id][structure]
            model_name = f"{model}, " if len(case.models) > 1 else ""
            panels.append(
                Panel(
                    title=f"{rank}, {model_name}{_dsc(score)}: {case.case_id}",
                    note=MISSED[score.missing_in],
                    stack=stack,
                    lines=(TRUTH, model),
                    errors=(model,),
                    styles={structure: style},
                    description=(
                        f"Axial slice of {case.case_id}: {style.name} in the truth and by {model}, errors hatched"
                    ),
                )
            )
        return panels

    def _missed(self, model: str, case_id: str) -> str:
        scores = self._scores[model, case_id].values()
        return ", ".join(
            f"{self._name(score)} {MISSED[score.missing_in]}"
            for score in scores
            if score.missing_in in ("prediction", "truth")
        )

    def _caption(self, case: ComparedCase) -> str:
        sentences = []
        for model in case.models:
            scores = self._scores[model, case.case_id].values()
            values = ", ".join(
                f"{self._name(score)} {MISSED[score.missing_in] or format(score.dsc, '.2f')}" for score in scores
            )
            sentences.append(f"{f'{model}: ' if len(case.models) > 1 else ''}{values}")
        return f"DSC. {'. '.join(sentences)}."

    def _name(self, score: Score) -> str:
        return self._styles[score.structure].name


def _dsc(score: Score) -> str:
    return f"DSC {score.dsc:.2f}" if score.is_scored else "not scored"


def _position(stack: SliceStack) -> str:
    return f"z = {stack.positions_mm[0]:z.0f} mm"
