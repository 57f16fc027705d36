"""Dose evaluation of a cohort: doses of cases by manual and automatic contours, and of the patients' courses."""

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.dose.agreement import AGREEMENT_METRICS, dose_agreements
from gynbtnet.evaluation.dose.course import CourseDose, course_doses
from gynbtnet.evaluation.dose.course_differences import course_differences
from gynbtnet.evaluation.dose.deliveries import Delivery, plan_deliveries
from gynbtnet.evaluation.dose.dvh_plot import dvh_figure
from gynbtnet.evaluation.dose.external_beam import ExternalBeam
from gynbtnet.evaluation.dose.files import DoseFiles, find_doses, read_dose
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.report import DoseContent, dose_report
from gynbtnet.evaluation.dose.score import DoseScore, score_dose
from gynbtnet.evaluation.dose.tables import dose_markdown, dose_table, summarise_dose
from gynbtnet.evaluation.metrics.evaluation import map_cases, read_matching_prediction, read_truth
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging.contours.subslices import Ends
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.picture import render_picture
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

PAGE = "report.html"
DOSE_FILES = (
    *(
        PAGE,
        "dose.csv",
        "eqd2.csv",
        "eqd2_differences.csv",
        "dose_summary.csv",
        "dvh.csv",
        "dvh.png",
        "dose.md",
        "dose.json",
    ),
    *(f"bland_altman_{metric.lower()}{end}" for metric in AGREEMENT_METRICS for end in (".csv", "_limits.csv", ".png")),
)

ENDS: Mapping[Ends, str] = {
    "none": "on the first and last slice",
    "half": "half a slice beyond the first and last slice",
}
"""Conventions for the ends of structures, for people."""


@dataclass(frozen=True)
class DoseEvaluation:
    """Doses of a cohort.

    Attributes:
        scores: doses of cases, in the order of the cohort.
        courses: total doses of the patients' courses.
    """

    scores: tuple[DoseScore, ...]
    courses: tuple[CourseDose, ...]

    @classmethod
    def load(cls, folder: Path) -> "DoseEvaluation":
        """Read the folder that :func:`evaluate_dose` wrote.

        Args:
            folder: folder with ``dose.csv`` and ``eqd2.csv``; files with former column names are read too.

        Raises:
            BadInput: If a file is missing or damaged.
        """
        return cls(_read_rows(DoseScore, Path(folder) / "dose.csv"), _read_rows(CourseDose, Path(folder) / "eqd2.csv"))


def evaluate_dose(
    cohort: Cohort,
    out: Path,
    *,
    predictions: Path | None = None,
    doses: Path | None = None,
    external: Mapping[str, ExternalBeam] | None = None,
    aims: PlanningAims | None = None,
    settings: DoseSettings | None = None,
    names: StructureNames | None = None,
    jobs: int = 1,
) -> DoseEvaluation:
    """Compute the dose-volume metrics of every case, and add up the fractions of each patient.

    Writes the folder ``out`` atomically: ``dose.csv`` (one row per case, structure and metric), ``dose_summary.csv``,
    ``eqd2.csv`` (one row per patient, structure and metric), ``dvh.csv`` and ``dvh.png``, ``report.html`` and
    ``dose.md`` for people; ``dose.json`` has the settings. With predictions it also writes
    ``bland_altman_d2cc.png``, ``.csv`` and ``_limits.csv``, and the same for D90.

    Args:
        cohort: cases with contours. Those that GynBTNet predicted and nobody has approved count as automatic.
        out: folder of the tables.
        predictions: folder with automatic contours, as :func:`gynbtnet.evaluation.metrics.evaluation.evaluate` takes
            it.
        doses: folder that is searched for doses, see :func:`gynbtnet.evaluation.dose.files.find_doses`.
        external: external beam by patient; the totals of other patients are not judged.
        aims: aims and limits for the totals; default: EMBRACE II's.
        settings: α/β, and the number of fractions per plan.
        names: table that identifies targets; default: the built-in table.
        jobs: number of cases at once, each in a separate process.

    Returns:
        The doses of cases and of courses.

    Raises:
        BadInput: If there are no cases or no doses, contours or a dose cannot be read, or ``out`` contains anything
            other than an earlier result.
    """
    settings, aims, names = settings or DoseSettings(), aims or PlanningAims.load(), names or StructureNames.load()
    ensure_replaceable(out, DOSE_FILES, "dose.csv")
    if not cohort.cases:
        raise BadInput(f"The selection of the cohort {cohort.folder} has no cases; expected at least one with a dose.")
    files = find_doses(cohort.cases, doses)
    deliveries = plan_deliveries(cohort.cases, files, settings)
    work = partial(_evaluate_case, cohort.structures, files, deliveries, predictions, names, settings.ends)
    results = map_cases(work, cohort.cases, title="Dose", jobs=jobs)
    scores = tuple(score for case_scores, _ in results for score in case_scores)
    curves = pd.concat([table for _, table in results if len(table)])
    predicted = predictions is not None or any(case.source.automatic for case in cohort.cases)
    courses = course_doses(scores, external or {}, aims, settings, names, predicted=predicted)
    summary = summarise_dose(scores, predicted=predicted)
    with atomic_write(out) as folder:
        folder.mkdir()
        dose_table(scores, DoseScore).to_csv(folder / "dose.csv", index=False)
        dose_table(courses, CourseDose).to_csv(folder / "eqd2.csv", index=False)
        summary.to_csv(folder / "dose_summary.csv", index=False)
        if predicted:
            course_differences(courses).to_csv(folder / "eqd2_differences.csv", index=False)
        curves.to_csv(folder / "dvh.csv", index=False, float_format="%.6g")
        figure = dvh_figure(curves, synthetic=cohort.synthetic)
        (folder / "dvh.png").write_bytes(render_picture(figure, "Dose-volume histograms").png)
        agreements = dose_agreements(scores, synthetic=cohort.synthetic)
        for agreement in agreements:
            agreement.save(folder)
        markdown = dose_markdown(summary, courses, aims, predicted=predicted, synthetic=cohort.synthetic)
        (folder / "dose.md").write_text(markdown, encoding="utf-8")
        printed_settings = _printed_settings(settings, external or {}, aims)
        content = DoseContent(
            cohort, scores, summary, courses, aims, agreements, curves, printed_settings, predicted=predicted
        )
        (folder / PAGE).write_text(dose_report(content), encoding="utf-8")
        manifest = {
            "settings": settings.model_dump(),
            "aims": aims.model_dump(exclude_none=True),
            "synthetic": cohort.synthetic,
        }
        manifest["external_beam"] = {patient: asdict(beam) for patient, beam in (external or {}).items()}
        (folder / "dose.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return DoseEvaluation(scores, tuple(courses))


def _printed_settings(
    settings: DoseSettings, external: Mapping[str, ExternalBeam], aims: PlanningAims
) -> tuple[tuple[str, str], ...]:
    beams = Counter(f"{beam.dose_gy:g} Gy in {counted(beam.fractions, 'fraction')}" for beam in external.values())
    courses = ", ".join(f"{beam} ({counted(count, 'patient')})" for beam, count in beams.items())
    return (
        ("α/β of targets", f"{settings.alpha_beta_target_gy:g} Gy"),
        ("α/β of organs", f"{settings.alpha_beta_organ_gy:g} Gy"),
        *((f"α/β of {structure}", f"{value:g} Gy") for structure, value in settings.alpha_beta_gy.items()),
        ("fractions per plan", str(settings.fractions_per_plan or "those of the RTPLAN, otherwise 1")),
        ("dose of a plan", settings.dose_is or "one fraction"),
        ("fractions of a course", str(settings.course_fractions or "not known")),
        ("ends of structures", ENDS[settings.ends]),
        ("external beam", courses or "not known"),
        ("aims and limits", aims.name),
    )


def _evaluate_case(
    structures: tuple[str, ...],
    files: Mapping[str, DoseFiles],
    deliveries: Mapping[str, Delivery],
    predictions: Path | None,
    names: StructureNames,
    ends: Ends,
    case: Case,
) -> tuple[list[DoseScore], pd.DataFrame]:
    manual = read_truth(case, structures)
    automatic = None if predictions is None else read_matching_prediction(case, predictions, manual)
    if case.source.automatic:  # the cohort's contours are no manual ones
        automatic = automatic or manual
        case = replace(case, missing=tuple(structures))
    paths = files[case.id].paths
    doses = read_dose(paths) if paths else ()
    return score_dose(case, doses, manual, automatic, names, deliveries[case.id], ends)


def _read_rows(kind: type[Any], path: Path) -> tuple[Any, ...]:
    if not path.is_file():
        raise BadInput(f"There is no {path}; expected a folder written by `gynbtnet dose`.")
    adapter = TypeAdapter(kind)
    former = {"figure": "metric"}  # columns by their former name
    floats = {name for name, annotation in kind.__annotations__.items() if annotation is float}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(
                adapter.validate_python(
                    {
                        former.get(name, name): "nan" if not value and name in floats else value
                        for name, value in row.items()
                    }
                )
                for row in csv.DictReader(file)
            )
    except (ValidationError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} is damaged or has been edited; run `gynbtnet dose` again.") from error
