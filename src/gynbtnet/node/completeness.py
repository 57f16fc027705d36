"""Judgement of a series for which no more instances arrive: complete, to be held, or to be ignored."""

from dataclasses import dataclass

from gynbtnet.imaging.dicom.ct_series import read_ct_series
from gynbtnet.node.configuration import Rule
from gynbtnet.node.inbox import Inbox, Unusable
from gynbtnet.node.queue import State
from gynbtnet.node.routing import select_rule
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class Judgement:
    """Next state of a series.

    Attributes:
        state: complete, held or ignored.
        reason: why it isn't complete, a sentence without identifiers; empty if it is.
        rule: the rule that applies.
    """

    state: State
    reason: str = ""
    rule: Rule | None = None


def judge_series(inbox: Inbox, key: str, rules: tuple[Rule, ...], caller: str, *, released: bool) -> Judgement:
    """Judge a series by its slices.

    Nothing in DICOM marks the end of a series. It is held if its slices are no regular stack, because one is missing
    for example. It is also held if they belong to several patients, studies or frames of reference.

    Args:
        inbox: folder of the received instances.
        key: series.
        rules: rules of the node.
        caller: AE title of the sender.
        released: a person accepted the slices as they are; only identity is checked.
    """
    try:
        headers = inbox.headers(key)
    except (Unusable, OSError) as error:
        return Judgement(State.held, f"An instance of this series is damaged on the disk: {error}.")
    rule = select_rule(rules, headers[0], caller)
    if rule is None:
        return Judgement(State.ignored, "No rule fits this series.")
    if rule.ignore:
        return Judgement(State.ignored, "A rule ignores this series.", rule)
    for name, count in (
        ("patients", len({header.patient_id for header in headers})),
        ("studies", len({header.study_uid for header in headers})),
        ("frames of reference", len({header.frame_of_reference_uid for header in headers})),
    ):
        if count > 1:
            return Judgement(State.held, f"The instances of this series belong to {count} {name}; expected one.", rule)
    if not released:
        try:
            read_ct_series(inbox.series(key))
        except BadInput as problem:
            return Judgement(State.held, str(problem).replace(str(inbox.series(key)), "this series"), rule)
    return Judgement(State.complete, "", rule)
