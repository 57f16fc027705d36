"""History of the limits in a kit: when each version was first seen, and why it was changed after results."""

import datetime
import json
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
        reason: reason of a change, needed after results; otherwise empty.
        dose: settings of the doses by name, as JSON; empty in kits of earlier versions.
    """

    sha256: str
    first_seen: str
    set_by: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    after_results: bool = False
    reason: str = ""
    dose: Mapping[str, str] = field(default_factory=dict)


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
    reason = reason.strip()
    if reason and last is None:
        raise BadInput("--limits-changed gives a reason, but the kit has seen no limits before; leave it out.")
    if last is not None and last.sha256 == limits.sha256:
        if reason not in ("", last.reason):  # the same one, if the command was interrupted
            raise BadInput("--limits-changed gives a reason, but the limits are those of the last run; leave it out.")
        return tuple(history)
    dose = {name: json.dumps(value) for name, value in limits.dose.model_dump(mode="json").items()}
    changed = last is not None and results_exist
    entry = SeenLimits(limits.sha256, now(), limits.set_by, limits.numbers, changed, reason, dose)
    if last is not None and changed and not reason:
        raise BadInput(
            f"The limits have changed since the results were seen ({changes(last, entry)}). Limits are set before "
            "results: restore them, or state the reason with --limits-changed, which the page shows."
        )
    return (*history, entry)


def changes(before: SeenLimits, after: SeenLimits) -> str:
    """Return what differs, such as ``bladder dsc from 0.8 to 0.7``."""
    old = {name: f"{value:g}" for name, value in before.numbers.items()}
    new = {name: f"{value:g}" for name, value in after.numbers.items()}
    if before.dose and after.dose:
        old |= {f"dose {name}": text for name, text in before.dose.items()}
        new |= {f"dose {name}": text for name, text in after.dose.items()}
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    texts = [f"{name} from {old.get(name, 'none')} to {new.get(name, 'none')}" for name in names]
    return enumeration(texts) or "the settings of the dose"
