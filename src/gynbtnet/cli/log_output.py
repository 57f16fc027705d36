"""Handlers of the command line: log messages on stderr next to the progress, and everything in a log file."""

import logging
from pathlib import Path

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.progress import console

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _ConsoleHandler(logging.Handler):
    """Prints messages above a progress bar, if there is one; warnings in yellow."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(record.getMessage(), style="yellow" if record.levelno >= logging.WARNING else None)


def show_log(log_file: Path | None, *, verbose: bool = False) -> None:
    """Show gynbtnet's messages of level INFO and above on stderr, and write all levels to ``log_file``.

    Args:
        log_file: a file to append to, with tracebacks of scans that failed unexpectedly; None: no file.
        verbose: show all levels on stderr too.

    Raises:
        BadInput: If the file can't be written.
    """
    logger = logging.getLogger("gynbtnet")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    level = logging.DEBUG if verbose else logging.INFO
    screen = _ConsoleHandler(level)
    logger.addHandler(screen)
    logger.setLevel(level)
    if log_file is None:
        return
    try:
        file = logging.FileHandler(log_file, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"The log file {log_file} can't be written: {error.strerror}; name another one.") from error
    file.setFormatter(logging.Formatter(_FORMAT))
    logger.addHandler(file)
    logger.setLevel(logging.DEBUG)
