"""Page of a kit: one HTML file that prints to PDF."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gynbtnet.commissioning.import_section import import_section, import_summary
from gynbtnet.commissioning.limit_history import changes
from gynbtnet.commissioning.limits import METRICS, Limits
from gynbtnet.commissioning.measured_values import LimitResult
from gynbtnet.commissioning.page_texts import (
    AGAIN,
    DECISIONS,
    HISTORY,
    NO_APPROVAL,
    NOT_TYPED,
    OUTCOMES,
    PLANTED,
    SIGNATURES,
    SOURCES,
    VERDICTS,
)
from gynbtnet.commissioning.planted_failures import PICTURE, Outcome, PlantedFailure
from gynbtnet.commissioning.record import CommissioningRecord, LocalCases, Results
from gynbtnet.commissioning.verdict import Judgement, Verdict
from gynbtnet.evaluation.statistics.patient_bootstrap import FEWEST_PATIENTS
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.html_elements import Badge, BadgeKind
from gynbtnet.pages.page_frame import html_page
from gynbtnet.pictures.overlays import visible_colour
from gynbtnet.pictures.picture import Picture
from gynbtnet.runtime.phrases import counted

_VERDICT_KINDS: Mapping[Verdict, BadgeKind] = {
    "meets": "good",
    "fails": "bad",
    "can't decide": "open",
    "no data": "fair",
}
_OUTCOME_KINDS: Mapping[Outcome, BadgeKind] = {
    "refused": "good",
    "flagged": "good",
    "not noticed": "bad",
    "control": "open",
    "not run": "fair",
}


def commissioning_page(record: CommissioningRecord, limits: Limits, names: StructureNames, planted: Path) -> str:
    """Return the page as HTML.

    Args:
        record: content of ``commission.json``, with results.
        limits: present limits.
        names: names of structures.
        planted: folder with the pictures of planted failures.

    Returns:
        The HTML, with all pictures inside.
    """
    results = record.results
    assert results is not None
    sections = (
        ("Intended use", _intended_use(record)),
        ("Results against the limits", _limits(results, limits, names)),
        ("When the limits were set", _history(record)),
        ("Local cases", _local_cases(results.local, names)),
        ("Planted failures", _planted(results, planted, record.model.structures, names)),
        ("Import into the planning system", import_section(results.import_check)),
        ("Model and software", _versions(record)),
        ("When to commission again", _again()),
        ("Methods and sources", _methods(limits)),
        ("Sign-off", _sign_off(record, results.local)),
    )
    return html_page(
        f"Commissioning of {record.model.name}",
        sections,
        synthetic=results.local.synthetic,
        description=NO_APPROVAL,
        summary=_summary(record, results),
    )


def _summary(record: CommissioningRecord, results: Results) -> Iterator[str]:
    """Yield the result in a line and what is open, one sentence each."""
    met, failed, undecided, unmeasured = (
        sum(result.judgement.verdict == verdict for result in results.limits) for verdict in _VERDICT_KINDS
    )
    local = results.local
    yield html.paragraph(
        f"{met} of {counted(len(results.limits), 'limit')} met, {failed} failed, {undecided} undecided, "
        f"{unmeasured} without data "
        f"({counted(local.cases, 'local case')} of {counted(local.patients, 'patient')}).",
        "headline",
    )
    yield html.bullets(open_points(record))


def open_points(record: CommissioningRecord) -> tuple[str, ...]:
    """Return what a reader of the results has to know or do first, one sentence each."""
    results = record.results
    assert results is not None
    local = results.local
    planted = [failure for failure in results.planted if failure.outcome in ("refused", "flagged", "not noticed")]
    unnoticed = [failure for failure in planted if failure.outcome == "not noticed"]
    texts = (
        f"Planted failures: {len(unnoticed)} of {len(planted)} not noticed by the software.",
        import_summary(results.import_check),
        f"With fewer than {FEWEST_PATIENTS} local patients there is no interval, so no limit is decided."
        if local.patients < FEWEST_PATIENTS
        else "",
        "" if local.training_checked else local.training,
        "" if record.intended_use else "The intended use is not typed yet.",
        f"{counted(len(local.refused), 'local case')} got no contours and is in no mean." if local.refused else "",
        "Limits were changed after results." if any(seen.after_results for seen in record.history) else "",
    )
    return tuple(text for text in texts if text)


def _intended_use(record: CommissioningRecord) -> Iterator[str]:
    yield html.paragraph(record.intended_use or NOT_TYPED)


def _limits(results: Results, limits: Limits, names: StructureNames) -> Iterator[str]:
    heads = ["structure", "metric", "verdict", "limit", "mean", f"{100 * limits.confidence:g} % interval", "cases"]
    heads += ["patients", "worst", "worst in", "patients that decide"]
    yield html.table(
        heads,
        [_limit_row(result, names) for result in results.limits],
        numbers=slice(3, 9),
        download="limits.csv",
    )
    yield html.badge_legend((_VERDICT_KINDS[verdict], f"{verdict}: {words}") for verdict, words in VERDICTS.items())
    left_out = [
        f"{names.display_name(result.structure)} {METRICS[result.metric].title}, not in the mean: {result.left_out}."
        for result in results.limits
        if result.left_out
    ]
    if left_out:
        yield html.bullets(left_out)
    yield html.heading("Reasons and sources of the limits", 3)
    reasons = [
        (names.display_name(r.structure), METRICS[r.metric].title, _limit_text(r), r.limit.why, r.limit.source)
        for r in results.limits
    ]
    yield html.table(["structure", "metric", "limit", "reason", "source"], reasons, numbers=slice(2, 3))


def _limit_row(result: LimitResult, names: StructureNames) -> list[html.Cell]:
    metric, judgement = METRICS[result.metric], result.judgement
    interval = "–"
    if judgement.low is not None and judgement.high is not None:
        interval = f"{metric.printed(judgement.low)} to {metric.printed(judgement.high)}"
    return [
        names.display_name(result.structure),
        metric.title,
        Badge(judgement.verdict, _VERDICT_KINDS[judgement.verdict], VERDICTS[judgement.verdict]),
        _limit_text(result),
        "–" if judgement.mean is None else metric.printed(judgement.mean),
        interval,
        str(judgement.cases),
        str(judgement.patients),
        "–" if result.worst is None else metric.printed(result.worst),
        result.worst_in or "–",
        _deciding(judgement),
    ]


def _limit_text(result: LimitResult) -> str:
    text = METRICS[result.metric].printed_limit(result.limit.limit)
    return f"{text} at {result.limit.tolerance_mm:g} mm" if result.limit.tolerance_mm else text


def _deciding(judgement: Judgement) -> str:
    if judgement.verdict in ("meets", "fails"):
        return "–"
    number = "" if judgement.patients_needed is None else f"about {judgement.patients_needed}: "
    return f"{number}{judgement.note}"


def _history(record: CommissioningRecord) -> Iterator[str]:
    rows, before = [], None
    for seen in record.history:
        what = "first version" if before is None else changes(before, seen)
        when = "after results" if seen.after_results else "before results"
        rows.append(
            (_time(seen.first_seen), seen.sha256[:8], seen.set_by or "not typed", what, when, seen.reason or "–")
        )
        before = seen
    heads = ["first seen by the kit", "digest", "set by", "changes", "seen", "reason"]
    yield html.table(heads, rows, numbers=slice(0, 0))
    yield html.paragraph(HISTORY)
    looks = [
        (
            _time(look.time),
            look.limits[:8],
            str(look.cases),
            str(look.patients),
            ", ".join(f"{number} {verdict}" for verdict, number in look.verdicts.items()),
        )
        for look in record.looks
    ]
    yield html.heading("Results computed", 3)
    yield html.table(["time", "limits", "cases", "patients", "verdicts"], looks, numbers=slice(2, 4))


def _local_cases(local: LocalCases, names: StructureNames) -> Iterator[str]:
    yield html.definition_list(
        [
            ("cohort", local.cohort),
            ("digest of scans and contours", local.sha256),
            ("cases", str(local.cases)),
            ("patients", str(local.patients)),
            ("applicators (cases)", _counts(local.applicators)),
            ("spacing z×y×x in mm (cases)", _counts(local.spacings)),
        ]
    )
    yield html.paragraph(local.training)
    structures = sorted({*local.missed, *local.false})
    if structures:
        rows = [
            (names.display_name(name), str(local.missed.get(name, 0)), str(local.false.get(name, 0)))
            for name in structures
        ]
        yield html.table(["structure", "missed (cases)", "false (cases)"], rows)
    else:
        yield html.paragraph("No structure was missed, and none was predicted that the reference lacks.")
    if local.refused:
        yield html.heading("Cases without contours", 3)
        yield html.table(["case", "reason"], list(local.refused.items()), numbers=slice(0, 0))


def _planted(results: Results, folder: Path, structures: Sequence[str], names: StructureNames) -> Iterator[str]:
    yield html.paragraph(PLANTED)
    rows: list[list[html.Cell]] = [
        [
            failure.planted,
            Badge(failure.outcome, _OUTCOME_KINDS[failure.outcome], OUTCOMES[failure.outcome]),
            _report(failure),
        ]
        for failure in results.planted
    ]
    yield html.table(["planted (synthetic)", "outcome", "report of the software"], rows, numbers=slice(0, 0))
    yield html.badge_legend((_OUTCOME_KINDS[outcome], f"{outcome}: {words}") for outcome, words in OUTCOMES.items())
    pictures = [(failure.planted, _picture(failure, folder)) for failure in results.planted]
    figures = [html.figure([picture], caption) for caption, picture in pictures if picture is not None]
    if figures:
        yield html.heading("Contours that were not refused", 3)
        yield html.legend((names.display_name(name), visible_colour(name, names)) for name in structures)
        yield html.pairwise(figures)


def _report(failure: PlantedFailure) -> str:
    """Return the findings one below the other, those of the control last."""
    lines = list(failure.report) or ["Nothing new." if failure.outcome == "not noticed" else "Nothing."]
    if failure.as_control:
        lines += ["As for the control:", *failure.as_control]
    return "\n".join(lines)


def _picture(failure: PlantedFailure, folder: Path) -> Picture | None:
    path = folder / failure.name / PICTURE
    if failure.outcome == "refused" or not path.is_file():
        return None
    return Picture(path.read_bytes(), f"Contours on axial, coronal and sagittal planes. {failure.planted}")


def _versions(record: CommissioningRecord) -> Iterator[str]:
    model = record.model
    yield html.definition_list(
        [
            ("model", model.name),
            ("weights, SHA-256", model.sha256),
            ("rules and calibration, SHA-256", model.rules),
            ("prediction settings, SHA-256", model.settings),
            ("training", model.trained_on or "not recorded"),
            ("device", model.device),
            *model.versions.items(),
        ]
    )


def _again() -> Iterator[str]:
    yield html.bullets(AGAIN)


def _sign_off(record: CommissioningRecord, local: LocalCases) -> Iterator[str]:
    yield html.paragraph(
        f"For the model {record.model.sha256[:8]}, the limits {record.history[-1].sha256[:8]} and the "
        f"{counted(local.cases, 'local case')} {local.sha256[:8]} of {counted(local.patients, 'patient')}."
    )
    rows = [(role, "", DECISIONS, "", "") for role in SIGNATURES]
    yield html.form(["role", "name", "decision", "date", "signature"], rows)


def _methods(limits: Limits) -> Iterator[str]:
    yield html.bullets(text.format(percent=f"{100 * limits.confidence:g}") for text in SOURCES)


def _counts(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in values.items())


def _time(text: str) -> str:
    """Return a time of the record with a space between date and time."""
    return text.replace("T", " ")
