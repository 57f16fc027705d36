"""The errors that are the user's to mend, and the one end that is none."""

from collections.abc import Sequence


class BadInput(Exception):  # noqa: N818 - "bad input" is what it is; the command line prints the sentence and exits with 2
    """Something given to us can't be used as it is.

    The message is one sentence that a clinician can act on: what was found, where, what was expected, what to do.
    It never holds a patient's name, ID or birth date. The command line prints it and exits with code 2.
    """

    def __init__(self, sentence: str) -> None:
        # Names and UIDs from damaged files hold line breaks and worse.
        super().__init__("".join(one if one.isprintable() else "?" for one in sentence))


class Paused(Exception):  # noqa: N818 - no error: the command line prints the sentence and exits with 75
    """Work stopped before its end because its settings said so; the same call goes on from there."""


class ScansFailed(Exception):  # noqa: N818 - they did
    """Some of many scans failed, and the others are done. The command line prints the list and exits with 1.

    Attributes:
        failed: of each its name and the reason, a sentence.
    """

    def __init__(self, failed: Sequence[tuple[str, str]], scans: int) -> None:
        self.failed = tuple(failed)
        listed = "".join(f"\n  {name}: {reason}" for name, reason in failed)
        super().__init__(
            f"{len(failed)} of {scans} scans failed and the others are done; mend or take out these, and the same "
            f"command goes on with them alone:{listed}"
        )
