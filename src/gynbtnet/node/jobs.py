"""A prediction that the worker makes, and its result."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.dicom.slice_repairs import Repairs


@dataclass(frozen=True)
class Job:
    """A series to predict.

    Attributes:
        key: series.
        content: digest of its instances.
        version: version of the result.
        scan: folder of its instances.
        out: folder of the prediction.
        model: path of the model.
        fast: as ``gynbtnet predict --fast``.
        backend: library that computes the network.
        outputs: contour files to write.
        repairs: faults of the stack that are repaired instead of refused.
    """

    key: str
    content: str
    version: str
    scan: Path
    out: Path
    model: Path
    fast: bool
    backend: str
    outputs: tuple[str, ...]
    repairs: Repairs


@dataclass(frozen=True)
class JobResult:
    """Outcome of a job.

    Attributes:
        job: the job.
        refused: reason why the scan was not contoured; None if it was.
        seconds: duration.
        died: the worker's process ended or hung.
    """

    job: Job
    refused: str | None
    seconds: float
    died: bool = False
