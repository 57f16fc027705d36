"""Dose evaluation of a cohort: doses of cases by manual and automatic contours, and of the patients' courses."""

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
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
from gynbtnet.evaluation.dose.files import DoseFiles, describe_problems, find_doses, read_dose
from gynbtnet.evaluation.dose.metrics import dose_metric_names, is_target
from gynbtnet.evaluation.dose.pages.patient_pages import CaseContours, PatientDose, page_address, write_patient_page
from gynbtnet.evaluation.dose.pages.report import DoseContent, dose_report
from gynbtnet.evaluation.dose.pages.viewed_dose import viewed_dose
from gynbtnet.evaluation.dose.patient_table import patient_frame
from gynbtnet.evaluation.dose.plan_metrics import PlanMetric, plan_metric_table
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.score import CaseDose, DoseScore, case_without_scores, score_dose
from gynbtnet.evaluation.dose.tables import dose_markdown, dose_table, summarise_dose
from gynbtnet.evaluation.metrics.evaluation import map_cases, read_matching_prediction, read_truth
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging.contours.subslices import Ends
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages.page_frame import PATIENTS_FOLDER, VIEWER_FOLDER
from gynbtnet.pages.slice_viewer import ViewedCase
from gynbtnet.pictures.picture import render_picture
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import failure_reason
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import track

PAGE = "report.html"
DOSE_FILES = (
    *(
        PAGE,
        "dose.csv",
        "eqd2.csv",
        "eqd2_differences.csv",
        "dose_summary.csv",
        "patients.csv",
        "plan_metrics.csv",
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
        failed: id and reason of each case that could not be evaluated, whose rows have no values, and of each scan
            that was left out.
    """

    scores: tuple[DoseScore, ...]
    courses: tuple[CourseDose, ...]
    failed: tuple[tuple[str, str], ...] = ()

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
    left_out: Sequence[tuple[str, str]] = (),
) -> DoseEvaluation:
    """Compute the dose-volume metrics of every case, and add up the fractions of each patient.

    Writes the folder ``out`` atomically:

    - ``dose.csv``: one row per case, structure and metric; ``dose_summary.csv``: their means.
    - ``plan_metrics.csv``: volume, mean dose, V100 and others.
    - ``eqd2.csv``: one row per patient, structure and metric; ``patients.csv``: one row per patient.
    - ``dvh.csv`` and ``dvh.png``: histograms.
    - ``report.html``, ``patients/PATIENT.html`` and ``dose.md`` for people.
    - ``dose.json``: the settings, and the cases that could not be evaluated.
    - With predictions ``bland_altman_d2cc.png``, ``.csv`` and ``_limits.csv``, and the same for D90.

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
        left_out: name and reason of scans that are not in the cohort because they can't be used; they are listed.

    Returns:
        The doses of cases and of courses. A case whose contours, dose or plan can't be used has rows without values,
        and its patient is not judged.

    Raises:
        BadInput: If there are no cases or no doses, if no dose can be evaluated, or if none contains a contour. If the
            aims contain a metric that a structure does not have. If ``out`` contains anything other than an earlier
            result.
    """
    settings, aims, names = settings or DoseSettings(), aims or PlanningAims.load(), names or StructureNames.load()
    ensure_replaceable(out, DOSE_FILES, "dose.csv", folders=dict.fromkeys((VIEWER_FOLDER, PATIENTS_FOLDER), ".html"))
    if not cohort.cases:
        raise BadInput(f"The selection of the cohort {cohort.folder} has no cases; expected at least one with a dose.")
    check_aims(aims, cohort.structures, names)
    files = find_doses(cohort.cases, doses)
    deliveries = plan_deliveries(cohort.cases, files, settings)
    work = partial(_evaluate_case, cohort.structures, files, deliveries, predictions, names, settings)
    results = map_cases(work, cohort.cases, title="Dose", jobs=jobs)
    failed = {case.id: result.problem for case, result in zip(cohort.cases, results, strict=True) if result.problem}
    if failed and not any(files[case.id].paths and case.id not in failed for case in cohort.cases):
        raise BadInput(describe_problems(tuple(failed.values()), len(cohort.cases)))
    scores = tuple(score for result in results for score in result.scores)
    further = [metric for result in results for metric in result.further]
    curves = [result.curves for result in results if len(result.curves)]
    if not curves:
        raise BadInput(_explain_no_curves(sum(bool(files[case.id].paths) for case in cohort.cases), further))
    predicted = predictions is not None or any(case.source.automatic for case in cohort.cases)
    courses = course_doses(scores, external or {}, aims, settings, names, predicted=predicted)
    summary = summarise_dose(scores, predicted=predicted)
    histograms = pd.concat(curves)
    with atomic_write(out) as folder:
        folder.mkdir()
        dose_table(scores, DoseScore).to_csv(folder / "dose.csv", index=False)
        dose_table(courses, CourseDose).to_csv(folder / "eqd2.csv", index=False)
        summary.to_csv(folder / "dose_summary.csv", index=False)
        if predicted:
            course_differences(courses).to_csv(folder / "eqd2_differences.csv", index=False)
        patient_frame(courses, predicted=predicted).to_csv(folder / "patients.csv", index=False)
        plan_metric_table(further).to_csv(folder / "plan_metrics.csv", index=False)
        histograms.to_csv(folder / "dvh.csv", index=False, float_format="%.6g")
        figure = dvh_figure(histograms, synthetic=cohort.synthetic, prescription_gy=settings.prescription_gy)
        (folder / "dvh.png").write_bytes(render_picture(figure, "Dose-volume histograms").png)
        agreements = dose_agreements(scores, synthetic=cohort.synthetic)
        for agreement in agreements:
            agreement.save(folder)
        markdown = dose_markdown(summary, further, courses, aims, predicted=predicted, synthetic=cohort.synthetic)
        (folder / "dose.md").write_text(markdown, encoding="utf-8")
        printed_settings = _printed_settings(settings, external or {}, aims)
        pages: dict[str, str] = {}
        content = DoseContent(
            cohort,
            scores,
            summary,
            courses,
            aims,
            agreements,
            histograms,
            printed_settings,
            predicted=predicted,
            further=further,
            prescription_gy=settings.prescription_gy,
        )
        for patient in track(cohort.patients, "Draw patients"):
            of_patient = [case for case in cohort.cases if case.patient == patient and case.id not in failed]
            own = [case for case in of_patient if files[case.id].paths]
            if own:
                selected = _patient_dose(patient, own, cohort, content, predictions)
                draw = partial(_draw_fraction, cohort.structures, files, deliveries, predictions, names)
                write_patient_page(selected, names, draw, folder)
                pages[patient] = page_address(patient)
        (folder / PAGE).write_text(dose_report(replace(content, pages=pages)), encoding="utf-8")
        manifest = {
            "settings": settings.model_dump(),
            "aims": aims.model_dump(exclude_none=True),
            "synthetic": cohort.synthetic,
        }
        manifest["not_evaluated"] = failed | dict(left_out)
        manifest["external_beam"] = {patient: asdict(beam) for patient, beam in (external or {}).items()}
        (folder / "dose.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return DoseEvaluation(scores, tuple(courses), (*failed.items(), *left_out))


def check_aims(aims: PlanningAims, structures: Sequence[str], names: StructureNames) -> None:
    """Check that a table names structures that exist, and that they have the metrics for which it has aims.

    Raises:
        BadInput: If it doesn't; such an aim would never be judged.
    """
    unknown_structures = names.unknown_structures(aims.structures, structures)
    if unknown_structures:
        raise BadInput(
            f"The aims {aims.name} name {unknown_structures[0]}, which is neither a structure of the cohort "
            f"({', '.join(structures)}) nor a known one. Correct the name, or add it to the file of --aliases."
        )
    for structure in structures:
        metrics = dose_metric_names(structure, names)
        unknown = [metric for metric in aims.structures.get(structure, {}) if metric not in metrics]
        if unknown:
            kind = "a target" if is_target(structure, names) else "no target by its name"
            raise BadInput(
                f"The aims {aims.name} ask for {unknown[0]} of {structure}, which has "
                f"{', '.join(metrics) or 'no metrics, since it contains the source'} ({kind}). Correct the table, or "
                "name the structure otherwise when ingesting it."
            )


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
        (
            "prescribed dose of a fraction",
            f"{settings.prescription_gy:g} Gy" if settings.prescription_gy else "not known",
        ),
        ("ends of structures", ENDS[settings.ends]),
        ("external beam", courses or "not known"),
        ("aims and limits", aims.name),
    )


def _patient_dose(
    patient: str, cases: Sequence[Case], cohort: Cohort, content: DoseContent, predictions: Path | None
) -> PatientDose:
    """Return the content of a patient's page; label maps are read again, one patient at a time."""
    fractions = []
    for case in sorted(cases, key=lambda case: case.fraction):
        manual = read_truth(case, cohort.structures)
        automatic = None if predictions is None else read_matching_prediction(case, predictions, manual)
        fractions.append(CaseContours(case, manual if automatic is None else automatic.relabelled(manual.structures)))
    return PatientDose(
        patient=patient,
        fractions=tuple(fractions),
        scores=[score for score in content.scores if score.patient == patient],
        courses=[course for course in content.courses if course.patient == patient],
        aims=f"{content.aims.name}, {content.aims.source}",
        predictions=predictions,
        synthetic=cohort.synthetic,
    )


def _draw_fraction(
    structures: tuple[str, ...],
    files: Mapping[str, DoseFiles],
    deliveries: Mapping[str, Delivery],
    predictions: Path | None,
    names: StructureNames,
    fraction: CaseContours,
) -> ViewedCase:
    case = fraction.case
    manual = read_truth(case, structures)
    automatic = None if predictions is None else fraction.shown
    return viewed_dose(case, read_dose(files[case.id].paths), manual, automatic, names, deliveries[case.id].divisor)


def _evaluate_case(
    structures: tuple[str, ...],
    files: Mapping[str, DoseFiles],
    deliveries: Mapping[str, Delivery],
    predictions: Path | None,
    names: StructureNames,
    settings: DoseSettings,
    case: Case,
) -> CaseDose:
    """Return the doses of a case; if something can't be used, rows without values and the reason."""
    problem = files[case.id].problem or deliveries[case.id].problem
    if not problem:
        try:
            return _score_case(structures, files[case.id], deliveries[case.id], predictions, names, settings, case)
        except Exception as error:
            problem = failure_reason(error)
    predicted = predictions is not None or case.source.automatic
    return case_without_scores(case, structures, names, problem, predicted=predicted)


def _score_case(
    structures: tuple[str, ...],
    files: DoseFiles,
    delivery: Delivery,
    predictions: Path | None,
    names: StructureNames,
    settings: DoseSettings,
    case: Case,
) -> CaseDose:
    manual = read_truth(case, structures)
    automatic = None if predictions is None else read_matching_prediction(case, predictions, manual)
    if case.source.automatic:  # the cohort's contours are no manual ones
        automatic = automatic or manual
        case = replace(case, missing=tuple(structures))
    doses = read_dose(files.paths) if files.paths else ()
    return score_dose(case, doses, manual, automatic, names, delivery, settings.ends, settings.prescription_gy)


def _explain_no_curves(n_cases: int, metrics: Sequence[PlanMetric]) -> str:
    """Return why no structure of the cases with a dose has a histogram."""
    cases = f"{counted(n_cases, 'case')} with a dose"
    if any(not math.isnan(value) for metric in metrics for value in (metric.manual, metric.automatic)):
        return (
            f"No contour of {cases} is inside a dose grid; expected doses in the coordinates of the scans: check that "
            "each dose belongs to its scan."
        )
    return f"No structure is contoured in {cases}; expected contours of at least one structure: add them."


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
