"""What is told of a scan from outside its own header."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScanMetadata:
    """What a table or the names of folders say of a scan; None where they say nothing.

    Attributes:
        patient: who was scanned.
        fraction: which of the patient's fractions it is, from 1.
        applicator: see :mod:`gynbtnet.datasets.ingestion.applicator`.
        channels: image files of further channels, registered to the scan.
    """

    patient: str | None = None
    fraction: int | None = None
    applicator: str | None = None
    channels: tuple[Path, ...] = ()
