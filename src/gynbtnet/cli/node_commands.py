"""Command of the DICOM node."""

import signal
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.runtime.errors import BadInput

if TYPE_CHECKING:
    from gynbtnet.node import Queue


@command("gynbtnet node --init demo/steps/node.yaml")
def node(
    configuration: Annotated[Path, typer.Argument(help="YAML file with the settings of the node.")],
    init: Annotated[
        bool, typer.Option("--init", help="Write a commented configuration to this file, and end.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Print what is waiting, running, held, sent and failed, and end.")
    ] = False,
    retry: Annotated[
        str | None, typer.Option(metavar="KEY", help="Check, predict or send a series again; --status has its key.")
    ] = None,
    release: Annotated[
        str | None, typer.Option(metavar="KEY", help="Segment a held series although its slices failed the check.")
    ] = None,
) -> None:
    """Run a DICOM node: scans arrive by C-STORE or in a folder, and contours are sent on, always unapproved.

    The node runs until Ctrl-C or SIGTERM. After a kill, the same command continues. Needs gynbtnet[node].
    """
    from gynbtnet.node import Node, NodeFolder, Queue, load_configuration, write_example
    from gynbtnet.runtime.optional_dependencies import require

    if sum(map(bool, (init, status, retry, release))) > 1:
        raise BadInput("--init, --status, --retry and --release exclude each other; give one of them.")
    if init:
        write_example(configuration)
        console.print(f"Wrote {configuration}; edit it, then run `gynbtnet node {configuration}`.")
        return
    settings = load_configuration(configuration)
    if status or retry or release:
        path = NodeFolder(settings.folder).queue
        if not path.is_file():
            raise BadInput(f"There is no queue {path}; the node of {configuration} has never run.")
        with closing(Queue(path)) as queue:
            if retry:
                console.print(f"{retry}: {queue.retry(retry)}.")
            elif release:
                queue.release(release)
                console.print(f"{release}: it is segmented as it is.")
            else:
                _print_status(queue)
        return
    require("node", "pynetdicom")
    if settings.web is not None and settings.web.port is not None:
        require("review", "starlette", "uvicorn")
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    listen = settings.listen
    Node(settings).run(
        stop,
        lambda: console.print(f"{listen.ae_title} listens on {listen.address}, port {listen.port}. Ctrl-C ends it."),
    )


def _print_status(queue: "Queue") -> None:
    from gynbtnet.node import status_rows

    table = Table(
        "series", "state", "from", Column("slices", justify="right"), "since", "details", box=None, header_style="bold"
    )
    rows = status_rows(queue)
    for row in rows:
        table.add_row(
            row.key[:8], str(row.state), row.caller, str(row.instances), f"{row.minutes:.0f} min", row.details
        )
    print_table(table)
    if not rows:
        console.print("Nothing has arrived yet.")
