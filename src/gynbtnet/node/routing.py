"""Choice of the rule that applies to a series."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gynbtnet.node.configuration import Rule
from gynbtnet.node.inbox import InstanceHeader


def select_rule(rules: Sequence[Rule], header: InstanceHeader, caller: str) -> Rule | None:
    """Return the first rule that fits a series; None if none does.

    Args:
        rules: rules in their order.
        header: header of any instance of the series.
        caller: AE title of the sender, or ``watch`` or ``web``.
    """
    return next((rule for rule in rules if _fits(rule, header, caller)), None)


def _fits(rule: Rule, header: InstanceHeader, caller: str) -> bool:
    pairs = (
        (rule.calling_ae, caller),
        (rule.modality, header.modality),
        (rule.series_description, header.series_description),
        (rule.body_part, header.body_part),
    )
    return all(fnmatchcase(value.casefold(), pattern.casefold()) for pattern, value in pairs)
