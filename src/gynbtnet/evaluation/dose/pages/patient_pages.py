"""Page of each patient with doses against aims, flags of the predictions, and planes with isodoses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.evaluation.dose.course import CourseDose
from gynbtnet.evaluation.dose.pages.verdict_badges import aim_text, course_totals, is_judged
from gynbtnet.evaluation.dose.score import DoseScore
from gynbtnet.evaluation.metrics.evaluation import prediction_folder
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.pages.html_elements import Badge, Cell
from gynbtnet.pages.page_frame import PATIENTS_FOLDER
from gynbtnet.pages.patient_page import DoseTable, PatientPage, StructureRow, render_patient_page
from gynbtnet.pages.slice_viewer import ViewedCase
from gynbtnet.pictures.overlays import visible_colour
from gynbtnet.runtime.json_files import read_json
from gynbtnet.runtime.phrases import counted, enumeration

MAIN_METRICS = ("D90", "D98", "D2cc")
"""Metrics that the page shows even without an aim."""


@dataclass(frozen=True)
class CaseContours:
    """One fraction of a patient.

    Attributes:
        case: the case.
        shown: contours whose volumes are shown: the predicted ones, or the reference without a prediction.
    """

    case: Case
    shown: Segmentation


@dataclass(frozen=True)
class PatientDose:
    """Everything that the page of a patient shows.

    Attributes:
        patient: study ID.
        fractions: the cases of the patient, in the order of the fractions.
        scores: doses of each fraction.
        courses: total doses.
        aims: name and source of the aims.
        predictions: folder of the predictions; None if there are none.
        synthetic: whether the data are synthetic.
    """

    patient: str
    fractions: tuple[CaseContours, ...]
    scores: Sequence[DoseScore]
    courses: Sequence[CourseDose]
    aims: str
    predictions: Path | None
    synthetic: bool


@dataclass(frozen=True)
class _Flag:
    structure: str
    sentence: str


@dataclass(frozen=True)
class _PredictedDSC:
    dsc: float
    low: float
    high: float


@dataclass(frozen=True)
class _Manifest:
    """The part of a ``prediction.json`` that the page shows."""

    flags: tuple[_Flag, ...] = ()
    review: Mapping[str, bool | None] = field(default_factory=dict)
    predicted_dsc: Mapping[str, _PredictedDSC | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def page_address(patient: str) -> str:
    """Return the address of a patient's page relative to the dose report."""
    return f"{PATIENTS_FOLDER}/{patient}.html"


def write_patient_page(
    content: PatientDose, names: StructureNames, draw: Callable[[CaseContours], ViewedCase], folder: Path
) -> Path:
    """Write the page of a patient into ``patients`` in a folder; the last fraction is printed.

    Args:
        content: doses and contours of the patient.
        names: names and colours of the structures.
        draw: returns the viewer of a fraction.
        folder: folder of the dose report.

    Raises:
        BadInput: If the manifest of a prediction is damaged.
    """
    path = folder / page_address(content.patient)
    path.parent.mkdir(exist_ok=True)
    path.write_text(render_patient_page(patient_page(content, names, draw)), encoding="utf-8")
    return path


def patient_page(
    content: PatientDose, names: StructureNames, draw: Callable[[CaseContours], ViewedCase]
) -> PatientPage:
    """Return the content of the page of a patient, see :func:`write_patient_page`."""
    manifests = [_manifest(fraction.case, content.predictions) for fraction in content.fractions]
    predicted = content.predictions is not None
    *earlier, last = map(draw, content.fractions)
    warnings = [warning for manifest in manifests if manifest for warning in manifest.warnings]
    n_fractions = counted(len(content.fractions), "fraction")
    return PatientPage(
        title=f"Contours and dose of {content.patient}",
        summary=_summary(content.courses, names, predicted=predicted),
        facts=(
            ("contours", "predicted; the reference for comparison" if predicted else "reference"),
            ("fractions with a scan", str(len(content.fractions))),
            ("planes", f"{last.title.lower()} of {n_fractions}"),
        ),
        synthetic=content.synthetic,
        warnings=tuple(dict.fromkeys(warnings)),
        scans=tuple(f"fraction {fraction.case.fraction}" for fraction in content.fractions),
        structures=tuple(
            _structure_row(structure, content.fractions, manifests, names)
            for structure in content.fractions[-1].shown.structures
        ),
        doses=_dose_table(content, names),
        case=last,
        further_cases=tuple(earlier),
    )


def _manifest(case: Case, predictions: Path | None) -> _Manifest | None:
    path = prediction_folder(case, predictions) / "prediction.json" if predictions else None
    if path is None or not path.is_file():
        return None
    return read_json(_Manifest, path, "predict this scan again with `gynbtnet predict`")


def _summary(courses: Sequence[CourseDose], names: StructureNames, *, predicted: bool) -> str:
    """Return the verdicts in a sentence, and the metrics in which reference and prediction differ."""
    by: dict[str, list[str]] = {}
    changed = []
    for course in filter(is_judged, courses):
        name = f"{names.display_name(course.structure)} {course.metric}"
        verdict = course.automatic_verdict if predicted else course.manual_verdict
        by.setdefault(verdict, []).append(name)
        if predicted and "not judged" not in (verdict, course.manual_verdict) and verdict != course.manual_verdict:
            changed.append(f"{name} ({course.manual_verdict})")
    if not by:
        return "The table of aims asks for nothing of these structures."
    order = ("limit missed", "aim missed", "limit met", "aim met", "not judged")
    words = {"limit met": "limit met, aim missed"}
    parts = [f"{words.get(verdict, verdict)}: {enumeration(by[verdict])}" for verdict in order if verdict in by]
    sentence = "; ".join(parts)
    differs = f" The reference has another verdict for {enumeration(changed)}." if changed else ""
    return f"{sentence[0].upper()}{sentence[1:]}.{differs}"


def _structure_row(
    structure: str, fractions: Sequence[CaseContours], manifests: Sequence[_Manifest | None], names: StructureNames
) -> StructureRow:
    volumes = [fraction.shown.volumes_cm3()[structure] for fraction in fractions]
    remarks, dsc, to_review = [], [], []
    several = len(fractions) > 1
    for fraction, manifest in zip(fractions, manifests, strict=True):
        if manifest is None:
            continue
        prefix = f"Fraction {fraction.case.fraction}: " if several else ""
        remarks += [f"{prefix}{flag.sentence}" for flag in manifest.flags if flag.structure == structure]
        predicted = manifest.predicted_dsc.get(structure)
        dsc += [predicted] if predicted else []
        to_review.append(bool(manifest.review.get(structure)))
    lowest = min(dsc, key=lambda predicted: predicted.dsc, default=None)
    return StructureRow(
        name=names.display_name(structure),
        colour=visible_colour(structure, names),
        volumes=tuple(f"{volume:.1f}" if volume else "not found" for volume in volumes),
        predicted_dsc=f"{lowest.dsc:.2f} ({lowest.low:.2f}–{lowest.high:.2f})" if lowest else "",
        status=_status(any(to_review), bool(remarks)) if to_review else None,
        remarks=tuple(remarks),
    )


def _status(to_review: bool, is_flagged: bool) -> Badge:
    if to_review:
        return Badge("review", "bad", "review first")
    return Badge("flagged", "fair", "look at the reason") if is_flagged else Badge("no flag", "good", "no flag")


def _dose_table(content: PatientDose, names: StructureNames) -> DoseTable:
    predicted = content.predictions is not None
    value = "automatic_gy" if predicted else "manual_gy"
    heads = ["structure", "metric", *(f"fraction {fraction.case.fraction} (Gy)" for fraction in content.fractions)]
    heads += ["total EQD2, reference (Gy)", "total EQD2, prediction (Gy)"] if predicted else ["total EQD2 (Gy)"]
    heads += ["aim and limit (Gy)", "verdict"]
    rows: list[tuple[Cell, ...]] = []
    notes: dict[str, list[str]] = {}
    for course in content.courses:
        if not is_judged(course) and course.metric not in MAIN_METRICS:
            continue
        name = names.display_name(course.structure)
        own = {
            score.fraction: getattr(score, value)
            for score in content.scores
            if (score.structure, score.metric) == (course.structure, course.metric)
        }
        doses = [own.get(fraction.case.fraction, float("nan")) for fraction in content.fractions]
        verdict = course.automatic_verdict if predicted else course.manual_verdict
        rows.append(
            (
                name,
                course.metric,
                *("–" if dose != dose else f"{dose:.2f}" for dose in doses),
                *course_totals(course, predicted=predicted),
                aim_text(course) or "–",
                verdict or "–",
            )
        )
        if course.note:
            notes.setdefault(course.note, []).append(f"{name} {course.metric}")
    remarks = " ".join(f"{enumeration(metrics)}: {note}." for note, metrics in notes.items())
    note = (
        f"Aims and limits: {content.aims}. Total EQD2 of external beam and all fractions, which assumes that the same "
        f"part is hottest in each. Doses of fractions are those of the {'predicted' if predicted else 'reference'} "
        f"contours; ≥ marks a lower bound. {remarks}"
    )
    return DoseTable(tuple(heads), tuple(rows), numbers=slice(2, -2), note=note.strip())
