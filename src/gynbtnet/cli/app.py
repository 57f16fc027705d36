"""The command line: what all commands have in common."""

import errno
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer
from rich.console import Console

from gynbtnet.errors import BadInput, Paused, ScansFailed
from gynbtnet.processes import is_first_process

app = typer.Typer(
    name="gynbtnet",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Contours for gynecologic brachytherapy on CT, learned in three stages. Research use only.",
)
console = Console(quiet=not is_first_process())
FULL = "The disk is full; nothing half-written is kept. Free some space or choose another --out."
STOPPED = 130  # what a shell expects after Ctrl-C, and what typer exits with
PAUSED = 75  # EX_TEMPFAIL of sysexits.h: call again


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


def main() -> None:
    """Run a command.

    Exit codes: 0 done, 1 something needed is missing or some scans failed, 2 bad input in one sentence, 75 out of time,
    130 Ctrl-C.
    """
    try:
        app()
    except BadInput as problem:
        sentence, code = str(problem), 2
    except Paused as pause:
        sentence, code = str(pause), PAUSED
    except ScansFailed as problem:
        sentence, code = str(problem), 1
    except SystemExit as end:
        if end.code != STOPPED:
            raise
        sentence, code = "Stopped. What was complete is kept; the same command goes on from there.", STOPPED
    except MemoryError:
        sentence, code = "The memory is used up. Free some, or ask for fewer --jobs.", 2
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        sentence, code = (
            FULL if full else f"{problem.filename or 'A file'} can't be used: {problem.strerror or problem}.",
            2,
        )
    # Only here are the bars of the loops that the exception broke off closed, so that the sentence stands last.
    typer.echo(f"gynbtnet: {sentence}", err=True)
    sys.exit(code)
