"""Log records of worker processes, which have no handlers, carried to the process that shows them."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def captured_log(active: bool) -> Iterator[list[logging.LogRecord]]:
    """Collect what gynbtnet logs inside, as picklable records; if not ``active``, logging works as usual."""
    records: list[logging.LogRecord] = []
    if not active:
        yield records
        return
    logger = logging.getLogger("gynbtnet")
    collector = _Collector(records)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(collector)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.removeHandler(collector)
        logger.setLevel(level)
        logger.propagate = propagate


def emit_records(records: Iterable[logging.LogRecord]) -> None:
    """Pass records of another process to the loggers of this one, by their levels."""
    for record in records:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


class _Collector(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args, record.exc_info = record.getMessage(), None, None  # arguments may not be picklable
        self._records.append(record)
