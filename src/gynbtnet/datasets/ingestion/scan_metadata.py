"""Scan metadata from the user: from a table or from folder names."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScanMetadata:
    """Metadata of a scan; None for everything that a table or folder name doesn't state.

    Attributes:
        patient: identifier of the patient.
        fraction: number of the fraction, from 1.
        applicator: applicator type, see :mod:`gynbtnet.datasets.ingestion.applicator`.
        channels: image files of further channels, registered to the scan.
    """

    patient: str | None = None
    fraction: int | None = None
    applicator: str | None = None
    channels: tuple[Path, ...] = ()
