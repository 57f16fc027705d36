"""Command that lets a model learn from reviews, and names the cases to contour next."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import Jobs, Out, PatientIdOption
from gynbtnet.runtime.phrases import counted

if TYPE_CHECKING:
    from gynbtnet.learning.case_selection import ChosenCase
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
        Path | None, typer.Option(help="Key of the patients, if ingest wrote it elsewhere with --pseudonymise.")
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
    from gynbtnet.learning.case_selection import choose_cases
    from gynbtnet.learning.learn_from_reviews import find_worklist

    worklist = find_worklist(request)
    for name, reason in worklist.left_out:
        console.print(f"Left out {name}: {reason}")
    console.print(
        f"{counted(len(worklist.candidates), 'prediction')} to choose from. Not among them: {worklist.reviewed} with a "
        f"review, {worklist.frozen} of frozen test patients, {worklist.in_cohort} of scans that the cohort has."
    )
    print_table(_next_table(choose_cases(worklist.candidates, number, request.settings.seed)))


def _next_table(chosen: "tuple[ChosenCase, ...]") -> Table:
    """Return the chosen cases with their signs as a table."""
    heads = ("next", "case", "predicted DSC from", "agreement", "structures flagged", "distance (SD)", "chosen by")
    table = Table(*heads, box=None, padding=(0, 1, 0, 0))
    for number, case in enumerate(chosen, start=1):
        own = case.candidate
        table.add_row(
            str(number),
            own.name,
            _number(own.lowest_dsc),
            _number(own.lowest_agreement),
            str(own.structures_flagged),
            _number(own.distance, 1),
            case.reason,
        )
    return table


def _print_result(result: "LearningResult") -> None:
    joined = result.joined
    for review in result.left_out:
        console.print(f"Left out {review.name}: {review.reason}")
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
        print_table(_challenge_table(result.challenge))
        console.print(f"Round {result.round}. {result.challenge.reason}")
    console.print(f"The model to use is {result.champion}")


def _challenge_table(challenge: "Challenge") -> Table:
    """Return the comparison of champion and challenger as a table."""
    from gynbtnet.imaging.structure_names import StructureNames

    names = StructureNames.load()
    heads = ("structure", "patients", "champion DSC", "challenger DSC", "difference", "interval", "verdict")
    table = Table(*heads, box=None, padding=(0, 1, 0, 0))
    for row in challenge.structures:
        table.add_row(
            names.display_name(row.structure),
            str(row.patients),
            _number(row.champion, 3),
            _number(row.challenger, 3),
            "–" if row.difference is None else f"{row.difference:+.3f}",
            "–" if row.low is None or row.high is None else f"{row.low:+.3f} to {row.high:+.3f}",
            row.verdict,
        )
    return table


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
