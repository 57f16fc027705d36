"""Command that shows predictions in the browser, to correct and accept them."""

import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import Aliases
from gynbtnet.runtime.errors import BadInput

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from gynbtnet.imaging.structure_names import StructureNames
    from gynbtnet.review.open_reviews import OpenReviews
    from gynbtnet.review.record import ReviewRecord


@command(
    "gynbtnet review demo/steps/contours/patient-001_f1 "
    "--edited demo/phantom/brachytherapy/PHANTOM-001/fraction-1/RS.dcm --out demo/steps/review.json"
)
def review(
    prediction: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PREDICTION]",
            help="Folder that gynbtnet predict wrote, or a folder of many; or an evaluation with a report.",
        ),
    ] = None,
    scan: Annotated[
        Path | None,
        typer.Option(help="Image file, or folder to search for the scans. Default: their path when predicted."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="COHORT", help="Cohort with reference contours to show as well.")
    ] = None,
    dose: Annotated[
        Path | None,
        typer.Option(help="RTDOSE, image of the dose in Gy, or folder to search. Default: RTDOSE next to the scan."),
    ] = None,
    seg: Annotated[bool, typer.Option("--seg", help="Also write a DICOM SEG.")] = False,
    approve: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Approve what is written, in this person's name. All structures must be accepted."
        ),
    ] = None,
    edited: Annotated[
        Path | None,
        typer.Option(metavar="RTSTRUCT", help="Only measure what was edited in another program; opens no page."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="With --edited: file for the result, e.g. review.json.")
    ] = None,
    aliases: Aliases = None,
    node: Annotated[
        Path | None,
        typer.Option(metavar="NODE.yaml", help="Show the results of this node; with its `web`, also serve STOW-RS."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1. Default: a free one.", min=0, max=65535)] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link without opening it.")] = False,
) -> None:
    """Correct and accept contours in the browser; write them as new files, with what was changed.

    The page is served on this machine only. Every stroke is stored at once in PREDICTION/review, so that nothing is
    lost if the browser or this command ends. With several predictions, those that need eyes first are on top. The
    report of an evaluation gets a link for each case. With --node, the results of a DICOM node join as they are made,
    and what is written is sent on. Ctrl-C ends it.
    """
    if (prediction is None) == (node is None):
        raise BadInput("Give either the folder of a prediction, or --node with the configuration of a DICOM node.")
    if edited is not None:
        if prediction is None:
            raise BadInput("--edited measures one prediction; give its folder instead of --node.")
        if approve or seg:
            raise BadInput("--edited only measures; leave --approve and --seg out.")
        _measure(prediction, edited, scan=scan, dose=dose, aliases=aliases, out=out)
        return
    if out is not None or aliases is not None:
        raise BadInput("--out and --aliases are for --edited; reviews are written to PREDICTION/review.")
    from gynbtnet.node import NodeFolder, load_configuration
    from gynbtnet.review.open_reviews import OpenReviews, ReviewOptions
    from gynbtnet.review.reference import read_references
    from gynbtnet.review.worklist import find_predictions, list_predictions
    from gynbtnet.runtime.optional_dependencies import require

    require("review", "starlette", "uvicorn")
    from gynbtnet.review.web.served_report import find_report

    report = results = configuration = None
    if prediction is not None:
        report = find_report(prediction)
        items = find_predictions(report.predictions if report else prediction)
    elif node is not None:
        configuration = load_configuration(node)
        results = NodeFolder(configuration.folder).results
        items = list_predictions(results)
    references = read_references(report.cohort if report and reference is None else reference)
    options = ReviewOptions(scan, references, dose, seg, approve, report.page if report else None)
    reviews = OpenReviews(items, options, results)
    with ExitStack() as opened:
        opened.callback(reviews.close)
        if prediction is not None and len(items) == 1:
            reviews.get(0)  # a sentence in the terminal is better than one in the browser
        receiver = None
        if configuration is not None and configuration.web is not None:
            from gynbtnet.node.stow import receiver_of_review  # needs the libraries of review

            receiver = opened.enter_context(receiver_of_review(configuration))
        _serve(reviews, port, receiver, no_browser=no_browser)


def _serve(reviews: "OpenReviews", port: int, receiver: "ASGIApp | None", *, no_browser: bool) -> None:
    from gynbtnet.review.web.server import ReviewServer

    server = ReviewServer(reviews, _announce_next, port, receiver)
    console.print(f"Review of {len(reviews.items)} prediction(s): {server.link}")
    if receiver is not None:
        console.print(f"DICOMweb STOW-RS: {server.receiver_address}")
    console.print("The link works once. Ctrl-C ends the review; what was drawn is kept.")
    if not no_browser:
        webbrowser.open(server.link)
    server.run()


def _announce_next(link: str) -> None:
    with suppress(OSError):  # the terminal may be gone, and the page still works
        print(f"Link for another browser: {link}", flush=True)


def _measure(
    prediction: Path, edited: Path, *, scan: Path | None, dose: Path | None, aliases: Path | None, out: Path | None
) -> None:
    from gynbtnet.imaging.structure_names import StructureNames
    from gynbtnet.review.case import open_case
    from gynbtnet.review.edited_contours import measure_edited
    from gynbtnet.runtime.json_files import write_json

    if out is not None and out.exists():
        raise BadInput(f"{out} already exists; give another file.")
    names = StructureNames.load(aliases)
    record = measure_edited(open_case(prediction, scan=scan, dose=dose), edited, names)
    print_table(_correction_table(record, names))
    if any(review.correction and review.correction.dose for review in record.structures.values()):
        print_table(_dose_table(record, names))
    if out is not None:
        write_json(record, out)
        console.print(f"{out}")


def _correction_table(record: "ReviewRecord", names: "StructureNames") -> Table:
    """Return the corrections as a table."""
    numbers = ("+voxels", "−voxels", "slices", "added path", "share", "surface DSC")
    table = Table("structure", "state", *map(_number, numbers), box=None, padding=(0, 1, 0, 0))
    for name, review in record.structures.items():
        correction = review.correction
        cells = ["–"] * 6
        if correction is not None:
            share, surface = correction.added_path_length_share, correction.surface_dsc
            cells = [
                str(correction.voxels_added),
                str(correction.voxels_removed),
                str(correction.slices_touched),
                f"{correction.added_path_length_mm:.0f} mm",
                "–" if share is None else f"{100 * share:.1f} %",
                "–" if surface is None else f"{surface:.3f}",
            ]
        table.add_row(names.display_name(name), review.status, *cells)
    return table


def _dose_table(record: "ReviewRecord", names: "StructureNames") -> Table:
    """Return the dose metrics before and after the corrections as a table."""
    heads = ("predicted", "edited", "difference")
    table = Table("structure", "dose in Gy", *map(_number, heads), box=None, padding=(0, 1, 0, 0))
    for name, review in record.structures.items():
        for change in review.correction.dose if review.correction else ():
            values = (change.before_gy, change.after_gy)
            doses = ["–" if value is None else f"{value:.2f}" for value in values]
            difference = "–" if change.difference_gy is None else f"{change.difference_gy:+.2f}"
            table.add_row(names.display_name(name), change.metric, *doses, difference)
    return table


def _number(heading: str) -> Column:
    """Return the column of a number."""
    return Column(heading, justify="right")
