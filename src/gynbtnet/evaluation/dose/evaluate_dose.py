"""The doses of a cohort's cases in manual and automatic contours, and of the patients' courses, on disk."""

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.dose.agreement import AGREED, dose_agreements
from gynbtnet.evaluation.dose.course import CourseDose, course_doses
from gynbtnet.evaluation.dose.dvh_plot import dvh_figure
from gynbtnet.evaluation.dose.external_beam import ExternalBeam
from gynbtnet.evaluation.dose.files import find_doses, read_dose
from gynbtnet.evaluation.dose.planning_aims import PlanningAims
from gynbtnet.evaluation.dose.report import DoseContent, dose_report
from gynbtnet.evaluation.dose.score import DoseScore, score_dose
from gynbtnet.evaluation.dose.tables import dose_markdown, dose_table, summarise_dose
from gynbtnet.evaluation.metrics.evaluate import all_or_none, matching_prediction, read_truth
from gynbtnet.evaluation.metrics.settings import DoseSettings
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pictures.picture import picture
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput

PAGE = "report.html"
FILES = (
    *(PAGE, "dose.csv", "eqd2.csv", "dose_summary.csv", "dvh.csv", "dvh.png", "dose.md", "dose.json"),
    *(f"bland_altman_{figure.lower()}{end}" for figure in AGREED for end in (".csv", "_limits.csv", ".png")),
)


@dataclass(frozen=True)
class DoseEvaluation:
    """Doses of cases and of courses, in the cohort's order."""

    scores: tuple[DoseScore, ...]
    courses: tuple[CourseDose, ...]

    @classmethod
    def load(cls, folder: Path) -> "DoseEvaluation":
        """Read what :func:`evaluate_dose` wrote.

        Raises:
            BadInput: where the folder doesn't hold it, or a file is damaged.
        """
        return cls(_rows(DoseScore, Path(folder) / "dose.csv"), _rows(CourseDose, Path(folder) / "eqd2.csv"))


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
    """Read every case's dose, look at it in its structures, and add up each patient's fractions.

    Writes the folder ``out`` whole: ``dose.csv`` (a row per case, structure and figure), ``dose_summary.csv``,
    ``eqd2.csv`` (a row per patient, structure and figure), ``dvh.csv`` and ``dvh.png``, ``report.html`` and ``dose.md``
    for people, and ``dose.json`` with the settings; with predictions also ``bland_altman_d2cc.png``, ``.csv`` and
    ``_limits.csv``, and the same of D90.

    Args:
        cohort: cases with manual contours.
        out: folder of the tables.
        predictions: folder with automatic contours, as :func:`gynbtnet.evaluation.metrics.evaluate.evaluate` takes it.
        doses: where doses are sought, see :func:`gynbtnet.evaluation.dose.files.find_doses`.
        external: external beam by patient; who isn't in it is not held against aims.
        aims: what totals are held against; left out, EMBRACE II's.
        settings: α/β and deliveries.
        names: which structures are targets; left out, the built-in table.
        jobs: cases at once, each in a process of its own.

    Raises:
        BadInput: where there is no case or no dose, contours or a dose can't be read, or ``out`` holds anything but an
            earlier result.
    """
    settings, aims, names = settings or DoseSettings(), aims or PlanningAims.load(), names or StructureNames.load()
    ensure_replaceable(out, FILES, "dose.csv")
    if not cohort.cases:
        raise BadInput(f"The selection of the cohort {cohort.folder} has no cases; expected some with doses.")
    files = find_doses(cohort.cases, doses)
    work = partial(_dose_of, cohort.structures, files, predictions, names)
    found = all_or_none(work, cohort.cases, title="Dose", jobs=jobs)
    scores = tuple(score for of_case, _ in found for score in of_case)
    curves = pd.concat([table for _, table in found if len(table)])
    predicted = predictions is not None
    courses = course_doses(scores, external or {}, aims, settings, names, predicted=predicted)
    summary = summarise_dose(scores, predicted=predicted)
    with atomic_write(out) as folder:
        folder.mkdir()
        dose_table(scores, DoseScore).to_csv(folder / "dose.csv", index=False)
        dose_table(courses, CourseDose).to_csv(folder / "eqd2.csv", index=False)
        summary.to_csv(folder / "dose_summary.csv", index=False)
        curves.to_csv(folder / "dvh.csv", index=False, float_format="%.6g")
        drawn = dvh_figure(curves, synthetic=cohort.synthetic)
        (folder / "dvh.png").write_bytes(picture(drawn, "Dose-volume histograms").png)
        agreements = dose_agreements(scores, synthetic=cohort.synthetic)
        for one in agreements:
            one.save(folder)
        said = dose_markdown(summary, courses, aims, predicted=predicted, synthetic=cohort.synthetic)
        (folder / "dose.md").write_text(said, encoding="utf-8")
        said_settings = _settings_in_words(settings, external or {}, aims)
        content = DoseContent(
            cohort, scores, summary, courses, aims, agreements, curves, said_settings, predicted=predicted
        )
        (folder / PAGE).write_text(dose_report(content), encoding="utf-8")
        told = {
            "settings": settings.model_dump(),
            "aims": aims.model_dump(exclude_none=True),
            "synthetic": cohort.synthetic,
        }
        told["external_beam"] = {patient: asdict(beam) for patient, beam in (external or {}).items()}
        (folder / "dose.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return DoseEvaluation(scores, tuple(courses))


def _settings_in_words(
    settings: DoseSettings, external: Mapping[str, ExternalBeam], aims: PlanningAims
) -> tuple[tuple[str, str], ...]:
    beams = Counter(f"{beam.dose_gy:g} Gy in {beam.fractions} fractions" for beam in external.values())
    told = ", ".join(f"{beam} ({count} patient{'s' * (count > 1)})" for beam, count in beams.items())
    return (
        ("α/β of targets", f"{settings.alpha_beta_target_gy:g} Gy"),
        ("α/β of organs", f"{settings.alpha_beta_organ_gy:g} Gy"),
        ("deliveries of each dose", str(settings.deliveries)),
        ("external beam", told or "not known"),
        ("aims and limits", aims.name),
    )


def _dose_of(
    structures: tuple[str, ...],
    files: Mapping[str, tuple[Path, ...]],
    predictions: Path | None,
    names: StructureNames,
    case: Case,
) -> tuple[list[DoseScore], pd.DataFrame]:
    manual = read_truth(case, structures)
    automatic = None if predictions is None else matching_prediction(case, predictions, manual)
    return score_dose(case, read_dose(files[case.id]) if files[case.id] else (), manual, automatic, names)


def _rows(kind: type[Any], path: Path) -> tuple[Any, ...]:
    if not path.is_file():
        raise BadInput(f"There is no {path}; expected a folder as `gynbtnet dose` writes it.")
    adapter = TypeAdapter(kind)
    floats = {name for name, annotation in kind.__annotations__.items() if annotation is float}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(
                adapter.validate_python(
                    {name: "nan" if not value and name in floats else value for name, value in row.items()}
                )
                for row in csv.DictReader(file)
            )
    except (ValidationError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} is damaged or was edited; run `gynbtnet dose` again.") from error
