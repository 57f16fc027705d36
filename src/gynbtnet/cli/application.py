"""The command line: the application, its help, exit codes and error messages."""

import errno
import re
import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from gynbtnet.cli.log_output import show_log
from gynbtnet.imaging.printed_names import check_utf8
from gynbtnet.runtime.errors import BadInput, Paused, ScansFailed
from gynbtnet.runtime.optional_dependencies import TRAINING_LIBRARIES, require
from gynbtnet.runtime.processes import is_main_process

PANELS = {
    "Data": ("inspect", "ingest", "describe", "split", "convert"),
    "Training": ("plan", "prepare", "import-nnunet", "pretrain", "finetune", "learn"),
    "Evaluation": ("evaluate", "dose", "compare", "commission"),
    "Prediction": ("predict", "review", "node", "monitor", "export"),
    "Experiments": ("recipes", "run", "tune", "benchmark", "report"),
    "Tools": ("phantom", "doctor"),
}
"""Commands by help panel, both in the order of the work."""

TRAINING = ("pretrain", "finetune", "learn", "run", "tune", "benchmark")
"""Commands that need the extra ``gynbtnet[train]``."""

_IN_ORDER = [name for names in PANELS.values() for name in names]


class _Commands(TyperGroup):
    """Lists commands in the order of the work.

    It refuses empty arguments, its own and those of commands: an empty path would mean the current folder. It also
    refuses arguments that are not UTF-8, since libraries that write files abort the process on them.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=_IN_ORDER.index)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for text in (str(Path.cwd()), *args):
            check_utf8(text)
        for before, argument in zip(["", *args], args, strict=False):
            option = before if argument == "" and before.startswith("-") else ""
            if joined := re.fullmatch(r"(--[\w-]+)=", argument):
                option = joined[1]
            if argument == "" or joined:
                what = f"The value of {option}" if option else "An argument"
                raise BadInput(f"{what} is empty; expected a value. A variable of the shell may not be set.")
        return super().parse_args(ctx, args)


class _Command(TyperCommand):
    """Prints its options in a list, since the table of the group's help cuts long names at 80 columns."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super(TyperCommand, self).format_help(ctx, formatter)


app = typer.Typer(
    name="gynbtnet",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Contours for gynecologic brachytherapy on CT, learned in three stages. Research use only.",
)
"""The command line, with all commands in the order of the work."""
# Names and paths are printed unchanged: without markup and without line breaks.
console = Console(quiet=not is_main_process(), markup=False, highlight=False, emoji=False, soft_wrap=True)
FULL = "The disk is full; no incomplete file is kept. Free some space, or write to another disk."
_NO_MEMORY = "Memory ran out; crop the scan, use smaller patches, or use a machine with more memory"
_WIDEST = 2**20  # characters per line of a table
STOPPED = 130  # what a shell expects after Ctrl-C, and what typer exits with
PAUSED = 75  # EX_TEMPFAIL of sysexits.h: call again


def command(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose help ends with an example; the tests run every example."""
    name = example.split()[1]
    panel = next(panel for panel, names in PANELS.items() if name in names)
    register = app.command(cls=_Command, epilog=f"Example: `{example}`", no_args_is_help=False, rich_help_panel=panel)
    return (lambda function: register(_with_training_libraries(function))) if name in TRAINING else register


def _with_training_libraries(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command that first checks that the libraries of the extra ``train`` are installed."""

    @wraps(function)
    def checked(*arguments: Any, **options: Any) -> None:
        require("train", *TRAINING_LIBRARIES)
        function(*arguments, **options)

    return checked


def print_table(table: Table) -> None:
    """Print a table: wrapped on a terminal, otherwise in full width, so that no name is broken."""
    if console.is_terminal:
        console.print(table)
        return
    width = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    Console(quiet=console.quiet, width=width, markup=False, highlight=False, emoji=False).print(table)


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    log_file: Annotated[
        Path | None, typer.Option("--log-file", help="Append all messages and tracebacks to this file.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print also the messages that otherwise only the log file has.")
    ] = False,
) -> None:
    """Options before any command."""
    show_log(log_file, verbose=verbose)
    if show_version:
        console.print(f"gynbtnet {version('gynbtnet')}")
        raise typer.Exit


def main() -> None:
    """Run a command.

    Exit codes: 0: done. 1: a requirement is missing, some scans failed, or `inspect` found something that can't be
    used. 2: bad input, reported in one sentence. 3: `monitor` found a change. 75: out of time. 130: Ctrl-C.
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
        sentence, code = "Stopped. Completed work is kept; run the same command to resume.", STOPPED
    except MemoryError as problem:
        sentence, code = f"{_NO_MEMORY} ({problem}).", 2
    except RuntimeError as problem:
        if "DefaultCPUAllocator" not in str(problem):
            raise
        sentence, code = f"{_NO_MEMORY}.", 2
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        sentence, code = (
            FULL if full else f"{problem.filename or 'A file'} can't be used: {problem.strerror or problem}.",
            2,
        )
    # By now the exception has closed all progress bars, so the sentence is the last line.
    typer.echo(f"gynbtnet: {sentence}", err=True)
    sys.exit(code)
