"""Commissioning of a model in a clinic: limits set beforehand, local cases, planted failures, and an import check.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.commissioning.commission import commission_model
    from gynbtnet.commissioning.limits import Limit, Limits
    from gynbtnet.commissioning.proposal import write_proposal
    from gynbtnet.commissioning.record import CommissioningRecord
    from gynbtnet.commissioning.verdict import judge

__all__ = ["CommissioningRecord", "Limit", "Limits", "commission_model", "judge", "write_proposal"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "commission": ["commission_model"],
        "limits": ["Limit", "Limits"],
        "proposal": ["write_proposal"],
        "record": ["CommissioningRecord"],
        "verdict": ["judge"],
    },
)
