"""What is known of a public archive of scans."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """Where scans come from and on which terms.

    Attributes:
        title: what its publishers call it.
        source: its DOI or address.
        licence: what may be done with it, and where that is not certain, that it isn't.
        scans: how many the paper that this project follows took from it; None where it took none.
    """

    title: str
    source: str
    licence: str
    scans: int | None = None

    @property
    def note(self) -> str:
        """A sentence for those who read results on these scans."""
        return f"Scans in the layout of {self.title}, {self.source}; licence there: {self.licence}."
