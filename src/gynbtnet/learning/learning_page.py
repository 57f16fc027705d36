"""Page of a model that learns from corrections: reviews, the cases to contour next, champion against challenger."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.evaluation.statistics.patient_bootstrap import FEWEST_PATIENTS
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.learning.assignment import Assignment, Group
from gynbtnet.learning.challenge import StructureChallenge, Verdict, few_patients_sentence, printed_numbers
from gynbtnet.learning.challenge_figure import challenge_picture
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.learning.ledger import USES, Ledger, LedgerEntry, Use
from gynbtnet.learning.next_cases import NextCases, next_table
from gynbtnet.learning.reviewed_scans import LeftOutReview
from gynbtnet.learning.round import FinishedRound
from gynbtnet.pages import html_elements as html
from gynbtnet.pages.html_elements import Badge, BadgeKind
from gynbtnet.pages.page_frame import html_page
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.phrases import counted

_USE_KINDS: Mapping[Use, BadgeKind] = {
    "training": "good",
    "validation": "good",
    "frozen test": "open",
    "nothing corrected": "open",
    "in the cohort": "open",
}
_VERDICTS: Mapping[Verdict, tuple[BadgeKind, str]] = {
    "gains": ("good", "the whole interval is above zero"),
    "loses": ("bad", "the whole interval is below zero"),
    "no difference shown": ("fair", "the interval contains zero"),
    "can't be decided": ("open", f"no interval: fewer than {FEWEST_PATIENTS} patients"),
}
_GROUPS: Mapping[Group, str] = {
    "training": "The model learns from them.",
    "validation": "They show the course of a training. No weights are changed by them.",
    "frozen test": "They decide between champion and challenger, and never train.",
}
_RULE = (
    "The challenger becomes the champion only if it loses on no structure and gains on at least one. The {percent} % "
    "intervals are over patients, not over their fractions. “Loses on no structure” means that no loss was shown; "
    "small losses remain possible with few patients. Each round is another look at the same patients: after many "
    "rounds, some gains are chance."
)
_CHOICE = (
    "The signs: a low end of the predicted DSC, a low agreement of the forward passes, flags and empty structures. "
    "Also the distance of volumes and HU from the training scans, in standard deviations. "
    "A sign that no prediction has is not shown. The mean rank decides. If there are more predictions "
    "than cases to choose, one is chosen at random, since it shows what the signs miss."
)
_NAMES = (
    "Reviews are called by the folders of their predictions. The patient is the study ID in the cohort. It can differ "
    "from the name of the prediction, since gynbtnet predict counts patients in its own patients.csv."
)


@dataclass(frozen=True)
class LearningReport:
    """Content of the page.

    Attributes:
        model: name of the first model.
        champion: SHA-256 of the weights of the model to use.
        champion_round: number of the round that trained it; 0 for the first model.
        rounds: rounds that ended, in order.
        ledger: all reviews so far.
        waiting: names of reviews that haven't been learned from yet.
        left_out: reviews that can't be used.
        next_cases: cases to contour next, as they were chosen last; None if they never were.
        assignment: group of each patient.
        confidence: confidence level of the intervals.
        synthetic: any of the data is synthetic.
    """

    model: str
    champion: str
    champion_round: int
    rounds: tuple[FinishedRound, ...]
    ledger: Ledger
    waiting: tuple[str, ...]
    left_out: tuple[LeftOutReview, ...]
    next_cases: NextCases | None
    assignment: Assignment
    confidence: float
    synthetic: bool


def learning_page(report: LearningReport, names: StructureNames) -> str:
    """Return the page as HTML.

    Args:
        report: its content.
        names: names of the structures.

    Returns:
        The HTML, with the plot inside.
    """
    sections = (
        ("Champion and challenger", _challenge(report, names)),
        ("Reviews", _reviews(report, names)),
        ("Contour next", _next(report)),
        ("Rounds", _rounds(report)),
        ("Patients", _patients(report)),
    )
    return html_page(
        f"Learning from corrections: {report.model}", sections, synthetic=report.synthetic, summary=_summary(report)
    )


def write_page(report: LearningReport, folders: LearningFolder) -> Path:
    """Write the page into the folder of the model that learns, and return its path."""
    with atomic_write(folders.page) as partial:
        partial.write_text(learning_page(report, StructureNames.load()), encoding="utf-8")
    return folders.page


def champion_words(number: int) -> str:
    """Return which model the champion is, by the number of its round."""
    return f"the challenger of round {number}" if number else "the first model"


def _summary(report: LearningReport) -> Iterator[str]:
    last = report.rounds[-1] if report.rounds else None
    headline = f"Round {last.number}. {last.result.reason}" if last else "No round yet: nothing was learned."
    yield html.paragraph(headline, "headline")
    yield html.bullets(_next_steps(report))


def _next_steps(report: LearningReport) -> Iterator[str]:
    """Yield the model to use and what to do next, one sentence or two each."""
    model = f"The model to use is {champion_words(report.champion_round)} ({report.champion[:8]})"
    path = f": rounds/round-{report.champion_round}/model." if report.champion_round else "."
    yield model + path
    if report.champion_round:
        yield "It has other weights than the first model, so commission it before use."
    if report.waiting:
        yield f"{counted(len(report.waiting), 'review')} not learned from yet: run gynbtnet learn without --next."
    if report.left_out:
        yield f"{counted(len(report.left_out), 'review')} could not be used; the reasons are below."
    frozen = len(report.assignment.patients_of("frozen test"))
    if frozen < FEWEST_PATIENTS:
        yield few_patients_sentence(frozen)
    if report.next_cases is None:
        yield "gynbtnet learn with --next 5 names the cases to contour next."


def _challenge(report: LearningReport, names: StructureNames) -> Iterator[str]:
    if not report.rounds:
        yield html.paragraph("No challenger was trained yet.")
        return
    last = report.rounds[-1]
    yield html.paragraph(
        f"Mean DSC on the frozen test. Champion: the model {last.champion[:8]}, from which the challenger of round "
        f"{last.number} started."
    )
    percent = f"{100 * report.confidence:g}"
    heads = ("structure", "verdict", "patients", "champion", "challenger", "difference", f"{percent} % interval")
    rows = [_challenge_row(row, names) for row in last.result.structures]
    yield html.table(heads, rows, numbers=slice(2, None), download="challenge.csv")
    yield html.badge_legend((kind, f"{verdict}: {words}") for verdict, (kind, words) in _VERDICTS.items())
    if any(row.difference is not None for row in last.result.structures):
        yield html.figure([challenge_picture(last.result, names, synthetic=report.synthetic)], "")
    yield html.paragraph(_RULE.format(percent=percent), "note")


def _challenge_row(row: StructureChallenge, names: StructureNames) -> list[html.Cell]:
    kind, words = _VERDICTS[row.verdict]
    return [names.display_name(row.structure), Badge(row.verdict, kind, words), *printed_numbers(row)]


def _reviews(report: LearningReport, names: StructureNames) -> Iterator[str]:
    entries = report.ledger.entries
    rows: list[list[html.Cell]] = [
        [review.name, Badge("left out", "bad", "tried again at the next call"), review.reason, "", "", ""]
        for review in report.left_out
    ]
    rows += [[name, Badge("waiting", "fair", "not learned from yet"), "", "", "", ""] for name in report.waiting]
    rows += [_review_row(entry, names) for entry in entries]
    if not rows:
        yield html.paragraph("No review was given yet.")
        return
    learned = sum(entry.is_learned for entry in entries)
    yield html.paragraph(
        f"{learned} of {counted(len(entries), 'reviewed scan')} joined; {len(report.waiting)} waiting, "
        f"{len(report.left_out)} left out."
    )
    heads = ("review", "use", "contours or reason", "patient", "reviewed model", "review written")
    yield html.table(heads, rows, numbers=slice(0, 0), download="reviews.csv")
    yield html.paragraph(_NAMES, "note")


def _review_row(entry: LedgerEntry, names: StructureNames) -> list[html.Cell]:
    short, _, reason = entry.use_words(names).partition(": ")
    return [
        entry.name or entry.scan[:8],
        Badge(short, _USE_KINDS[entry.use], USES[entry.use]),
        reason or entry.origin_words(names),
        entry.patient,
        entry.model[:8],
        entry.time[:16].replace("T", " "),
    ]


def _next(report: LearningReport) -> Iterator[str]:
    cases = report.next_cases
    if cases is None:
        yield html.paragraph("Not chosen yet: run gynbtnet learn with --next 5.")
        return
    yield html.paragraph(
        f"Chosen {cases.time[:16].replace('T', ' ')} from {counted(cases.candidates, 'prediction')} without a review."
    )
    if report.champion != cases.champion or cases.of_other_models:
        yield html.paragraph(
            "Some were predicted by another model than the present champion. Predict them again with it before you "
            "review them, so that you correct its errors."
        )
    if not cases.chosen:
        return
    reviewed = {entry.scan for entry in report.ledger.entries}
    heads, rows = next_table(cases.chosen)
    done = ["reviewed since" if case.candidate.scan in reviewed else "" for case in cases.chosen]
    heads, rows = (*heads, "state"), [(*row, state or "open") for row, state in zip(rows, done, strict=True)]
    yield html.table(heads, rows, numbers=slice(2, -2), download="next_cases.csv")
    if cases.left_out:
        yield html.bullets(f"Left out {name}: {reason}" for name, reason in cases.left_out)
    yield html.paragraph(_CHOICE, "note")


def _rounds(report: LearningReport) -> Iterator[str]:
    if not report.rounds:
        yield html.paragraph("None yet.")
        return
    rows: list[list[html.Cell]] = [
        [
            str(own.number),
            own.champion[:8],
            str(own.reviews),
            Badge("promoted", "good", "it became the champion")
            if own.result.promoted
            else Badge("not promoted", "open", "the champion stayed"),
            own.result.reason,
            f"rounds/round-{own.number}/model",
        ]
        for own in report.rounds
    ]
    heads = ("round", "started from", "reviews", "challenger", "reason", "its folder")
    yield html.table(heads, rows, numbers=slice(2, 3))
    yield html.paragraph(
        "All models are kept. learned_from.json in each lists the reviews that it learned from.", "note"
    )


def _patients(report: LearningReport) -> Iterator[str]:
    rows = [(group, str(len(report.assignment.patients_of(group))), words) for group, words in _GROUPS.items()]
    yield html.table(("group", "patients", "meaning"), rows, numbers=slice(1, 2))
    yield html.paragraph("Each patient has her group for ever. New patients never join the frozen test.", "note")
