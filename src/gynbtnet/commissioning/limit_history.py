"""History of the limits in a kit: when each version was first seen, and why it was changed after results."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gynbtnet.commissioning.limits import Limits
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import enumeration


@dataclass(frozen=True)
class SeenLimits:
    """One version of the limits.

    Attributes:
        sha256: digest of the numbers, see :attr:`~gynbtnet.commissioning.limits.Limits.sha256`.
        first_seen: time at which the kit first saw them, ISO 8601 with time zone.
        set_by: person who set them, as typed.
        numbers: limits, tolerances and confidence by name.
        after_results: whether results under earlier limits existed already.
        reason: reason of a change after results; otherwise empty.
    """

    sha256: str
    first_seen: str
    set_by: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    after_results: bool = False
    reason: str = ""


def now() -> str:
    """Return the present time, ISO 8601 with time zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def with_limits(
    history: Sequence[SeenLimits], limits: Limits, *, results_exist: bool, reason: str = ""
) -> tuple[SeenLimits, ...]:
    """Return the history with these limits as its last entry.

    Args:
        history: versions that the kit has seen, oldest first.
        limits: present limits.
        results_exist: whether the kit has results.
        reason: reason of a change; needed if limits change after results.

    Raises:
        BadInput: If limits were changed after results without a reason, or a reason is given without a change.
    """
    last = history[-1] if history else None
    if last is not None and last.sha256 == limits.sha256:
        if reason:
            raise BadInput("--limits-changed gives a reason, but the limits are those of the last run; leave it out.")
        return tuple(history)
    if last is not None and results_exist and not reason.strip():
        raise BadInput(
            f"The limits have changed since the results were seen ({changes(last.numbers, limits.numbers)}). Limits "
            "are set before results: restore them, or state the reason with --limits-changed, which the page shows."
        )
    changed = last is not None and results_exist
    entry = SeenLimits(limits.sha256, now(), limits.set_by, limits.numbers, changed, reason.strip() if changed else "")
    return (*history, entry)


def changes(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """Return the numbers that differ, such as ``bladder dsc from 0.8 to 0.7``."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    texts = [f"{name} from {_written(before.get(name))} to {_written(after.get(name))}" for name in names]
    return enumeration(texts) or "the settings of the dose"


def _written(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
