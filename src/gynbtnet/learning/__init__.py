"""Learning from corrections: reviews become cases, a model learns from them, and is replaced only by a better one.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.learning.assignment import Assignment
    from gynbtnet.learning.case_selection import Candidate, ChosenCase, choose_cases
    from gynbtnet.learning.challenge import Challenge, StructureChallenge
    from gynbtnet.learning.frozen_test import score_frozen_test
    from gynbtnet.learning.learn_from_reviews import (
        LearningRequest,
        LearningResult,
        choose_next_cases,
        find_worklist,
        learn,
    )
    from gynbtnet.learning.learning_folder import LearningFolder
    from gynbtnet.learning.next_cases import NextCases
    from gynbtnet.learning.scan_finder import ScanFinder
    from gynbtnet.learning.settings import LearningSettings
    from gynbtnet.learning.worklist_candidates import Worklist

__all__ = [
    "Assignment",
    "Candidate",
    "Challenge",
    "ChosenCase",
    "LearningFolder",
    "LearningRequest",
    "LearningResult",
    "LearningSettings",
    "NextCases",
    "ScanFinder",
    "StructureChallenge",
    "Worklist",
    "choose_cases",
    "choose_next_cases",
    "find_worklist",
    "learn",
    "score_frozen_test",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "assignment": ["Assignment"],
        "case_selection": ["Candidate", "ChosenCase", "choose_cases"],
        "challenge": ["Challenge", "StructureChallenge"],
        "frozen_test": ["score_frozen_test"],
        "learning_folder": ["LearningFolder"],
        "learn_from_reviews": ["LearningRequest", "LearningResult", "choose_next_cases", "find_worklist", "learn"],
        "next_cases": ["NextCases"],
        "scan_finder": ["ScanFinder"],
        "settings": ["LearningSettings"],
        "worklist_candidates": ["Worklist"],
    },
)
