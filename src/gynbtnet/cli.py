"""The command line: parse, call, print. What a command needs is imported when it runs."""

import errno
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gynbtnet.errors import BadInput

app = typer.Typer(
    name="gynbtnet",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Contours for gynecologic brachytherapy on CT, learned in three stages. Research use only.",
)
console = Console()

Out = Annotated[Path, typer.Option("--out", "-o", help="Where the result goes.")]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. task.training.epochs=10; repeatable."),
]
Jobs = Annotated[int, typer.Option(help="Processes that work side by side.", min=1)]
Stage = Annotated[str, typer.Option(help="pretraining, supervised or task.")]
SplitFile = Annotated[Path, typer.Option("--split", help="The split of the cohort's patients.")]


def command(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose help ends with an example; the tests run every example."""
    return app.command(epilog=f"Example: `{example}`", no_args_is_help=False)


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Options before any command."""
    if show_version:
        console.print(f"gynbtnet {version('gynbtnet')}")
        raise typer.Exit


@command("gynbtnet phantom demo/phantom --patients 10 --fractions 3")
def phantom() -> None:
    """Make the synthetic cohorts."""


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 some of many failed, 2 bad input in one sentence, 130 stopped by Ctrl-C."""
    try:
        app()
    except BadInput as problem:
        stop(str(problem), 2)
    except SystemExit as end:
        if end.code == 130:
            stop("Stopped. What was complete is kept; the same command goes on from there.", 130)
        raise
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        stop("The disk is full; nothing half-written is kept. Free some space or choose another --out.", 2)


def stop(sentence: str, code: int) -> None:
    """Print one sentence on standard error and exit."""
    typer.echo(f"gynbtnet: {sentence}", err=True)
    sys.exit(code)
