"""Example cases of a page: three in a viewer, then typical and worst slices of these and of each structure.

The viewer is a scrollable version of the paper's figure 5, the second part is figure 5, the third is figure 6 for every
structure.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.reports.case_isodoses import DrawIsodoses, no_isodoses
from gynbtnet.evaluation.reports.case_selection import Rank, mean_dsc, rank_cases
from gynbtnet.evaluation.reports.case_viewers import CaseViewers, case_viewers
from gynbtnet.evaluation.reports.compared_case import ComparedCase, read_compared_case
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages.slice_drawing import REFERENCE, StructureStyle
from gynbtnet.pages.slice_panels import Panel
from gynbtnet.pages.slice_stack import SliceStack
from gynbtnet.pages.slice_viewer import ViewedCase
from gynbtnet.pictures.overlays import visible_colour
from gynbtnet.runtime.progress import track

MISSED = {
    "none": "",
    "prediction": "missed",
    "truth": "false",
    "both": "absent",
    "unknown": "unknown",
    "unpredicted": "not predicted",
}
"""Word that people read for each value of ``Score.missing_in``."""
TYPICAL, WORST = "typical slice", "worst slice"
"""Slice whose DSC is nearest to that of its case, and slice with the most wrong voxels."""


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
        case_ids: ids of the best, the median and the worst case.
        viewed: these cases, for the viewer.
        cases: a typical slice of each of them and the worst slice of the last: the scan, the reference, and each model
            with its errors.
        structures: one row per structure: typical slices of its best, median and worst case, and the worst slice of the
            last. Each is shown for every model, with its errors.
    """

    case_ids: tuple[str, ...]

    viewed: tuple[ViewedCase, ...]
    cases: tuple[PanelRow, ...]
    structures: tuple[PanelRow, ...]


def example_cases(
    cohort: Cohort,
    evaluations: Mapping[str, Evaluation],
    predictions: Mapping[str, Path],
    names: StructureNames,
    isodoses: DrawIsodoses = no_isodoses,
) -> ExampleCases:
    """Select cases by their mean DSC over all models, read them, and draw their slices.

    The rule is :func:`gynbtnet.evaluation.reports.case_selection.mean_dsc`.

    Args:
        cohort: the cases that were scored.
        evaluations: scores by model.
        predictions: folder by model, ``<case id>/labels.nii.gz``; a model without a folder is not shown.
        names: names and colours of the structures.
        isodoses: isodoses of a case for its viewer; default: none.

    Raises:
        BadInput: If a prediction is absent or damaged.
    """
    models = [evaluation.scores for evaluation in evaluations.values()]
    means = mean_dsc(models)
    rank_of = {case_id: rank for rank, case_id in rank_cases(means)}
    by_structure = {name: rank_cases(mean_dsc(models, name)) for name in cohort.structures}
    case_ids = dict.fromkeys([*rank_of, *(case_id for ranked in by_structure.values() for _, case_id in ranked)])
    drawer = CaseDrawer(evaluations, names, isodoses)
    last = next(reversed(rank_of), "")
    viewed: dict[str, ViewedCase] = {}
    rows: dict[tuple[str, str], PanelRow] = {}
    panels: dict[tuple[str, str], list[Panel]] = {}
    for case_id in track(list(case_ids), "Draw cases"):
        case = read_compared_case(cohort, case_id, predictions)
        if case_id in rank_of:
            title = f"{rank_of[case_id].capitalize()} case, mean DSC {means[case_id]:.2f}: {case_id}"
            viewed[case_id] = drawer.viewed_case(case.cropped(), title)
            rows[case_id, TYPICAL] = drawer.error_row(case, title, case.typical_slice(), TYPICAL)
            if case_id == last:
                rows[case_id, WORST] = drawer.error_row(case, title, case.worst_slice(), WORST)
        for structure, ranked in by_structure.items():
            for rank in (rank for rank, ranked_id in ranked if ranked_id == case_id):
                panels[structure, rank] = drawer.structure_panels(case, structure, rank, is_last=rank == ranked[-1][0])
    return ExampleCases(
        case_ids=tuple(rank_of),
        viewed=tuple(viewed[case_id] for case_id in rank_of),
        cases=tuple(rows[key] for case_id in rank_of for key in ((case_id, TYPICAL), (case_id, WORST)) if key in rows),
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


def other_viewers(
    cohort: Cohort,
    evaluations: Mapping[str, Evaluation],
    predictions: Mapping[str, Path],
    names: StructureNames,
    folder: Path,
    shown: Collection[str] = (),
    isodoses: DrawIsodoses = no_isodoses,
) -> CaseViewers:
    """Return the viewers of all cases except those that the page shows already.

    Args:
        cohort: the cases that were scored.
        evaluations: scores by model.
        predictions: folder by model; a model without a folder is not shown.
        names: names and colours of the structures.
        folder: folder of the report, see :func:`gynbtnet.evaluation.reports.case_viewers.case_viewers`.
        shown: ids of the cases to leave out.
        isodoses: isodoses of a case for its viewer; default: none.

    Raises:
        BadInput: If a prediction is absent or damaged.
    """
    means = mean_dsc([evaluation.scores for evaluation in evaluations.values()])
    drawer = CaseDrawer(evaluations, names, isodoses)

    def draw(case_id: str) -> ViewedCase:
        dsc = f", mean DSC {means[case_id]:.2f}" if case_id in means else ""
        return drawer.viewed_case(read_compared_case(cohort, case_id, predictions).cropped(), f"{case_id}{dsc}")

    rest = [case.id for case in cohort.cases if case.id not in shown]
    return case_viewers(rest, draw, folder, synthetic=cohort.synthetic)


class CaseDrawer:
    """Converter of cases into viewers and panels, with their scores in words.

    Args:
        evaluations: scores by model.
        names: names and colours of the structures.
        isodoses: isodoses of a case for its viewer; default: none.
    """

    def __init__(
        self, evaluations: Mapping[str, Evaluation], names: StructureNames, isodoses: DrawIsodoses = no_isodoses
    ) -> None:
        self._isodoses = isodoses
        structures = dict.fromkeys(
            score.structure for evaluation in evaluations.values() for score in evaluation.scores
        )
        self._styles = structure_styles(structures, names)
        self._scores: dict[tuple[str, str], dict[str, Score]] = {}
        for model, evaluation in evaluations.items():
            for score in evaluation.scores:
                self._scores.setdefault((model, score.case), {})[score.structure] = score

    def viewed_case(self, case: ComparedCase, title: str) -> ViewedCase:
        """Return a case for the viewer."""
        dose = self._isodoses(case.case_id, case.image)
        caption = f"{self.caption(case)} {dose.note}".strip()
        return ViewedCase(title, caption, case.stacks(dose.masks), case.models, self._styles)

    def error_row(self, case: ComparedCase, title: str, stack: SliceStack, kind: str) -> PanelRow:
        """Return the scan, the reference and each model with its errors on one slice."""
        slice_of = f"Axial slice of {case.case_id}"
        scan = Panel("CT", "", stack, (), (), self._styles, f"{slice_of}, without contours")
        reference = Panel(
            REFERENCE, "", stack, (REFERENCE,), (), self._styles, f"{slice_of} with the contours of the reference"
        )
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
        caption = self.caption(case) if kind == TYPICAL else ""
        return PanelRow(f"{title}, {kind}, {_position(stack)}", caption, (scan, reference, *models))

    def structure_panels(self, case: ComparedCase, structure: str, rank: Rank, *, is_last: bool) -> list[Panel]:
        """Return the typical slice of a structure by each model, and the worst slice of the last case.

        With several models the typical slice is that of the median case alone, so that a row has two slices.
        """
        is_one_model = len(case.models) == 1
        slices = []
        if is_one_model or rank == "median" or (rank == "best" and is_last):
            slices.append((TYPICAL, case.typical_slice(structure)))
        if is_last:
            slices.append((WORST, case.worst_slice(structure)))
        style, panels = self._styles[structure], []
        for kind, stack in slices:
            for model in case.models:
                score = self._scores[model, case.case_id][structure]
                model_name = f"{model}, " if len(case.models) > 1 else ""
                panels.append(
                    Panel(
                        title=f"{rank} case, {kind}, {model_name}{_dsc(score)}: {case.case_id}",
                        note=MISSED[score.missing_in],
                        stack=stack,
                        lines=(REFERENCE, model),
                        errors=(model,),
                        styles={structure: style},
                        description=(
                            f"Axial slice of {case.case_id}: {style.name}, reference and {model}, errors hatched"
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

    def caption(self, case: ComparedCase) -> str:
        """Return the DSC of each structure by each model."""
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


def structure_styles(structures: Iterable[str], names: StructureNames) -> dict[str, StructureStyle]:
    """Return the name that people read and the colour of each structure."""
    return {name: StructureStyle(names.display_name(name), visible_colour(name, names)) for name in structures}


def _dsc(score: Score) -> str:
    return f"DSC {score.dsc:.2f}" if score.is_scored else "not scored"


def _position(stack: SliceStack) -> str:
    return f"z = {stack.positions_mm[0]:z.0f} mm"
