"""The one error that is the user's to mend."""


class BadInput(Exception):  # noqa: N818 - "bad input" is what it is; the command line prints the sentence and exits with 2
    """Something given to us can't be used as it is.

    The message is one sentence that a clinician can act on: what was found, where, what was expected, what to do.
    It never holds a patient's name, ID or birth date. The command line prints it and exits with code 2.
    """

    def __init__(self, sentence: str) -> None:
        # Names and UIDs from damaged files hold line breaks and worse.
        super().__init__("".join(one if one.isprintable() else "?" for one in sentence))
