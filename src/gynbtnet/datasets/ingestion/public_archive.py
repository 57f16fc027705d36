"""Facts about a public archive of scans."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """Source and licence of a public archive.

    Attributes:
        title: title by its publishers.
        source: DOI or address.
        licence: terms of use; "unverified" if they are uncertain.
        scans: number of scans that the paper followed by this project took from it; None if it took none.
    """

    title: str
    source: str
    licence: str
    scans: int | None = None

    @property
    def note(self) -> str:
        """One sentence for readers of results on these scans."""
        return f"Scans in the layout of {self.title}, {self.source}; licence there: {self.licence}."
