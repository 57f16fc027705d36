"""Errors that the user can resolve, a pause that is not an error, and unexpected errors as the log keeps them."""

import traceback
from collections.abc import Sequence

from gynbtnet.runtime.phrases import counted


class BadInput(Exception):  # noqa: N818 - a plain name for users
    """Raised if an input can't be used as it is.

    The message is one sentence that a clinician can act on: what was found, where, what was expected, what to do.
    It never contains a patient's name, ID or birth date. The command line prints it and exits with code 2.

    Example:
        >>> try:
        ...     read_volume(folder / "absent.nii.gz")
        ... except BadInput as error:
        ...     print(str(error).startswith("There is no"))
        True
    """

    def __init__(self, sentence: str) -> None:
        # Names and UIDs from damaged files hold line breaks and worse.
        super().__init__("".join(character if character.isprintable() else "?" for character in sentence))


class Diverged(BadInput):
    """Raised if the loss of a training is no longer finite."""


class Paused(Exception):  # noqa: N818 - not an error
    """Raised if work ends early because its settings ask for it; the same call resumes it.

    The command line prints the sentence and exits with code 75.
    """


class ScansFailed(Exception):  # noqa: N818 - a plain name for users
    """Raised if some of many scans failed and the others are done. The command line prints the list and exits with 1.

    Attributes:
        failed: name of each failed scan and the reason, a sentence.
    """

    def __init__(self, failed: Sequence[tuple[str, str]], scans: int) -> None:
        self.failed = tuple(failed)
        lines = "".join(f"\n  {name}: {reason}" for name, reason in failed)
        others = " and the others are done" if len(failed) < scans else ""
        super().__init__(
            f"{len(failed)} of {counted(scans, 'scan')} failed{others}; correct or remove what failed and run the same "
            f"command again:{lines}"
        )


def traceback_without_message(error: BaseException) -> str:
    """Return type and traceback of an error and of those that led to it, for the log.

    The messages are left out, since that of a library can quote a header with a patient's name.

    Args:
        error: the error, after it was raised.

    Returns:
        Several lines, the last error first.
    """
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    earlier = "" if cause is None else f"after {traceback_without_message(cause)}"
    return f"{type(error).__name__}:\n{''.join(traceback.format_tb(error.__traceback__))}{earlier}"
