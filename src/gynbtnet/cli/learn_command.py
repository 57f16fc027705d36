"""Command that lets a model learn from reviews, and names the cases to contour next."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import Jobs, Out, PatientIdOption
from gynbtnet.runtime.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gynbtnet.imaging.structure_names import StructureNames
    from gynbtnet.learning.challenge import Challenge
    from gynbtnet.learning.learn_from_reviews import LearningRequest, LearningResult


@command(
    "gynbtnet learn demo/steps/contours --from demo/steps/runs/task --cohort demo/steps/cohorts/task "
    "--split demo/steps/split.json --out demo/steps/learned"
)
def learn(
    reviews: Annotated[
        Path, typer.Argument(metavar="REVIEWS", help="Folder of predictions on which gynbtnet review was used.")
    ],
    model: Annotated[
        Path,
        typer.Option(
            "--from", metavar="MODEL", help="Run folder of the first model; each round continues the champion."
        ),
    ],
    cohort: Annotated[Path, typer.Option(help="Cohort that the model was trained on.")],
    out: Out,
    split: Annotated[
        Path | None,
        typer.Option(help="Split file of the cohort, needed at the first call. Its test patients never train."),
    ] = None,
    fold: Annotated[int, typer.Option(help="Fold of the split whose patients validated the model.", min=0)] = 0,
    next_: Annotated[
        int | None,
        typer.Option("--next", metavar="N", help="Train nothing; name the N predictions to review next.", min=2),
    ] = None,
    scan: Annotated[
        Path | None, typer.Option(help="Folder to search for the scans. Default: their path when predicted.")
    ] = None,
    patient_id_from: PatientIdOption = "dicom",
    key: Annotated[
        Path | None,
        typer.Option(
            help="Key of the patients, if it isn't in the cohort: that of ingest --pseudonymise, or "
            "EXPERIMENT/patients.csv of run."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. length=0.2; repeatable."),
    ] = None,
    jobs: Jobs = 1,
) -> None:
    """Learn from corrected contours; a new model replaces the old one only if it is better on the frozen test.

    Corrected contours join the training, those accepted unchanged don't. A review that is given again adds nothing, and
    a newer one of the same scan replaces it. Patients keep their group for ever. The challenger continues the present
    champion's weights. It is promoted if it loses on no structure and gains on one. The same command resumes what was
    stopped.

    learning.html in --out shows the use of each review, the cases to contour next, and every round.
    """
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.learning.learn_from_reviews import LearningRequest, learn
    from gynbtnet.learning.scan_finder import ScanFinder
    from gynbtnet.learning.settings import LearningSettings
    from gynbtnet.recipes.loading import settings_of

    request = LearningRequest(
        reviews=reviews,
        model=model,
        finder=ScanFinder.create(Cohort.load(cohort), key=key, scans=scan, patient_id_from=patient_id_from),
        out=out,
        split=Split.load(split) if split else None,
        fold=fold,
        settings=settings_of(LearningSettings, {}, set_ or (), Path("the settings of learning")),
        jobs=jobs,
    )
    if next_ is not None:
        _print_next(request, next_)
        return
    _print_result(learn(request))


def _print_next(request: "LearningRequest", number: int) -> None:
    from gynbtnet.learning.learn_from_reviews import choose_next_cases
    from gynbtnet.learning.learning_folder import LearningFolder
    from gynbtnet.learning.next_cases import next_table

    cases = choose_next_cases(request, number)
    for name, reason in cases.left_out:
        console.print(f"Left out {name}: {reason}")
    console.print(
        f"{counted(cases.candidates, 'prediction')} to choose from. Not among them: {cases.reviewed} with a "
        f"review, {cases.frozen} of frozen test patients, {cases.in_cohort} of scans that the cohort has."
    )
    if cases.chosen:
        heads, rows = next_table(cases.chosen)
        _print_rows(heads, rows)
    if cases.of_other_models:
        console.print(
            f"{cases.of_other_models} of them {'was' if cases.of_other_models == 1 else 'were'} predicted by another "
            "model than the present champion; predict them again with it before you review them."
        )
    console.print(f"The page is {LearningFolder(request.out).page}")


def _print_result(result: "LearningResult") -> None:
    from gynbtnet.imaging.structure_names import StructureNames

    joined, names = result.joined, StructureNames.load()
    for review in result.left_out:
        console.print(f"Left out {review.name}: {review.reason}")
    if not (joined.added or joined.known or result.left_out):
        console.print("The folder contains no review: correct predictions in it with `gynbtnet review`.")
    if joined.added:
        rows = [
            (entry.name, entry.patient, entry.origin_words(names) if entry.is_learned else entry.use_words(names))
            for entry in joined.added
        ]
        _print_rows(("review", "patient", "learned from, or why not"), rows)
    console.print(
        f"{counted(joined.new, 'new review')}, {joined.changed} changed, {joined.known} known already, "
        f"{len(result.left_out)} left out."
    )
    uses = [entry.use for entry in joined.ledger.entries]
    listed = ", ".join(f"{uses.count(use)} {use}" for use in dict.fromkeys(uses))
    if listed:
        console.print(f"All reviewed scans by their use: {listed}.")
    if result.challenge is None:
        console.print("There is nothing new to learn from; no model was trained.")
    else:
        _print_challenge(result.challenge, names)
        console.print(f"Round {result.round}. {result.challenge.reason}")
        if result.challenge.promoted:
            console.print("The challenger is another model: commission it before use.")
    console.print(f"The page is {result.page}")
    console.print(f"The model to use is {result.champion}")


def _print_challenge(challenge: "Challenge", names: "StructureNames") -> None:
    from gynbtnet.learning.challenge import printed_numbers

    rows: list[tuple[str, ...]] = []
    counts: set[int] = set()
    for row in challenge.structures:
        patients, champion, challenger, change, interval = printed_numbers(row)
        counts.add(row.patients)
        changed = change if interval == "–" else f"{change} ({interval})"
        rows.append((names.display_name(row.structure), patients, champion, challenger, changed, row.verdict))
    heads: tuple[str, ...] = ("structure", "patients", "champion", "challenger", "difference", "verdict")
    if len(counts) == 1:  # the table is then narrow enough for 80 columns
        heads, rows = (heads[0], *heads[2:]), [(row[0], *row[2:]) for row in rows]
        console.print(f"DSC on the frozen test of {counted(counts.pop(), 'patient')}:")
    else:
        console.print("DSC on the frozen test:")
    _print_rows(heads, rows)


def _print_rows(heads: "Sequence[str]", rows: "Iterable[Sequence[str]]") -> None:
    table = Table(*heads, box=None, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    print_table(table)
