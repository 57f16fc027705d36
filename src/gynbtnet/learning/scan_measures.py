"""Measures of a contoured scan, and its distance from the scans of the training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.case_contours import read_contours
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.progress import track

_LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class ScanMeasures:
    """Measures of one scan by structure; a structure without voxels has none.

    Attributes:
        values: ln(volume in cm³), mean HU and standard deviation of HU of each structure.
    """

    values: Mapping[str, tuple[float, float, float]]


def measure_scan(scan: Volume, segmentation: Segmentation) -> ScanMeasures:
    """Measure volume and HU of each structure.

    Args:
        scan: HU.
        segmentation: structures on its grid, predicted or drawn.
    """
    values = {}
    voxel_cm3 = scan.geometry.voxel_volume / 1000
    for structure in segmentation.structures:
        hu = scan.array[segmentation.mask(structure)].astype(float)
        if len(hu):
            values[structure] = (float(np.log(len(hu) * voxel_cm3)), float(hu.mean()), float(hu.std()))
    return ScanMeasures(values)


@dataclass(frozen=True)
class _Measured:
    """Content of the file of measures: by digest of a case's files."""

    scans: Mapping[str, ScanMeasures] = field(default_factory=dict)


def measure_training(cohort: Cohort, file: Path) -> tuple[ScanMeasures, ...]:
    """Measure the scans of a cohort; each is measured once.

    Args:
        cohort: training cases with contours.
        file: file that keeps the measures.
    """
    known = dict(read_json(_Measured, file, "delete it").scans) if file.is_file() else {}
    measures = {}
    for case in track(cohort.cases, "Measuring scans"):
        digest = sha256_of(*case.files)
        measures[digest] = known.get(digest) or measure_scan(
            read_volume(case.image), read_contours(case, cohort.structures)
        )
    if measures.keys() != known.keys():
        write_json(_Measured(measures), file)
    return tuple(measures.values())


def distance_from(measures: ScanMeasures, training: Sequence[ScanMeasures]) -> float | None:
    """Return the distance of a scan from the nearest scan of the training.

    It is the root mean square of the differences, each in standard deviations between the training scans, over the
    measures that both scans have.

    Args:
        measures: the scan.
        training: scans of the training.

    Returns:
        The distance; None for fewer than three training scans, or without a common measure.
    """
    if len(training) < 3:
        return None
    names = sorted(measures.values)
    table = np.array([_row(scan, names) for scan in training]).reshape(len(training), -1)
    known = np.isfinite(table).sum(axis=0) >= 3
    if not known.any():
        return None
    own, table = np.array(_row(measures, names))[known], table[:, known]
    differences = (table - own) / np.maximum(np.nanstd(table, axis=0, ddof=1), _LEAST_SPREAD)
    comparable = np.isfinite(differences).any(axis=1)
    return float(np.sqrt(np.nanmean(differences[comparable] ** 2, axis=1)).min())


def _row(measures: ScanMeasures, names: Sequence[str]) -> npt.NDArray[np.float64]:
    missing = (np.nan, np.nan, np.nan)
    return np.array([measures.values.get(name, missing) for name in names], float).ravel()
