"""Measurements of a cohort for its plan: sizes, spacings, and intensities inside the structures.

The file uses the vocabulary of nnU-Net's ``dataset_fingerprint.json``, so each program reads the other's. nnU-Net crops
scans to nonzero voxels. A CT has no zero background around the patient, and we crop nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from pydantic import TypeAdapter

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.files.label_names import labels_by_name
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.orientation import reorientation_to_lps
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.nnunet_names import (
    nnunet_channel_names,
    parse_channel_names,
    parse_labels,
)
from gynbtnet.preparation.planning.structure_overlaps import StructureOverlap, measure_overlaps
from gynbtnet.preparation.planning.structure_volumes import StructureVolume, structure_volumes
from gynbtnet.runtime.array_types import Float32Array, Spacing, Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json
from gynbtnet.runtime.plain_data import load_json
from gynbtnet.runtime.progress import track

FINGERPRINT = "dataset_fingerprint.json"

_VOLUMES = TypeAdapter(tuple[StructureVolume, ...])
_OVERLAPS, _COMBINATIONS = TypeAdapter(tuple[StructureOverlap, ...]), TypeAdapter(tuple[tuple[str, ...], ...])
_INTENSITY_SAMPLES = 10_000_000  # of all cases together; more samples don't change the percentiles


@dataclass(frozen=True)
class Fingerprint:
    """Measurements from which a plan is made. It contains nothing about a single patient except the scan size.

    Attributes:
        channels: name of each channel, in order.
        structures: label i + 1 is structures[i]; empty for scans without contours.
        spacings: spacing of each scan in mm along the patient's (z, y, x).
        shapes: voxels of each scan along (z, y, x).
        intensities: intensities of each channel inside the structures; None if not measured or without contours.
        volumes: volumes of the structures that at least two patients have.
        overlaps: shares of structures that others also have.
        combinations: combinations of structures that share voxels.
        is_synthetic: whether any scan is synthetic.
    """

    channels: tuple[str, ...]
    structures: tuple[str, ...]
    spacings: tuple[Spacing, ...]
    shapes: tuple[Triple, ...]
    intensities: tuple[Intensity, ...] | None
    volumes: tuple[StructureVolume, ...] = ()
    overlaps: tuple[StructureOverlap, ...] = ()
    combinations: tuple[tuple[str, ...], ...] = ()
    is_synthetic: bool = False

    def save(self, folder: Path) -> None:
        """Write ``dataset_fingerprint.json`` to ``folder`` atomically."""
        properties = {str(i): asdict(intensity) for i, intensity in enumerate(self.intensities or ())}
        content = {
            "channel_names": nnunet_channel_names(self.channels),
            "labels": labels_by_name(self.structures),
            "spacings": self.spacings,
            "shapes_after_crop": self.shapes,
            "foreground_intensity_properties_per_channel": properties,
            "median_relative_size_after_cropping": 1.0,
            "structure_volumes": [asdict(volume) for volume in self.volumes],
            "structure_overlaps": [asdict(overlap) for overlap in self.overlaps],
            "structure_combinations": self.combinations,
            "is_synthetic": self.is_synthetic,
        }
        write_json(content, Path(folder) / FINGERPRINT)

    @classmethod
    def load(cls, path: Path) -> "Fingerprint":
        """Read a fingerprint from its file or folder.

        Raises:
            BadInput: If it is absent or damaged.
        """
        path = Path(path) / FINGERPRINT if Path(path).is_dir() else Path(path)
        if not path.is_file():
            raise BadInput(f"There is no {path}; expected a fingerprint, which `gynbtnet plan` writes next to a plan.")
        try:
            content: Any = load_json(path)
            properties = content["foreground_intensity_properties_per_channel"]
            fingerprint = cls(
                channels=parse_channel_names(content["channel_names"]),
                structures=parse_labels(content["labels"]),
                spacings=tuple(_three(spacing, float) for spacing in content["spacings"]),
                shapes=tuple(_three(shape, int) for shape in content["shapes_after_crop"]),
                intensities=tuple(Intensity(**properties[str(i)]) for i in range(len(properties))) or None,
                volumes=_VOLUMES.validate_python(content.get("structure_volumes", ())),
                overlaps=_OVERLAPS.validate_python(content.get("structure_overlaps", ())),
                combinations=_COMBINATIONS.validate_python(content.get("structure_combinations", ())),
                is_synthetic=content.get("is_synthetic") is True,
            )
            if not len(fingerprint.spacings) == len(fingerprint.shapes) > 0:
                raise ValueError(f"{len(fingerprint.spacings)} spacings and {len(fingerprint.shapes)} shapes")
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError) as error:
            raise BadInput(
                f"{path} is damaged or not a fingerprint ({error!r}); write it again with `gynbtnet plan`."
            ) from error
        return fingerprint


def take_fingerprint(cohort: Cohort, *, intensities: bool = True, jobs: int = 1) -> Fingerprint:
    """Measure a cohort of training patients; it must not contain test patients.

    Args:
        cohort: the training cohort; its manifest has sizes and spacings, and scans are read for intensities.
        intensities: whether to measure intensities.
        jobs: number of processes, each with one scan in memory.

    Returns:
        The measurements.

    Raises:
        BadInput: If the cohort has no case or a scan can't be read.
    """
    if not cohort.cases:
        raise BadInput(f"The cohort {cohort.folder} has no case to plan for; expected at least one.")
    geometries = [reorientation_to_lps(case.geometry).geometry(case.geometry) for case in cohort.cases]
    found = measure_overlaps(cohort, jobs)
    return Fingerprint(
        channels=cohort.channels,
        structures=cohort.structures,
        spacings=tuple(geometry.spacing for geometry in geometries),
        shapes=tuple(geometry.shape for geometry in geometries),
        intensities=_measure_intensities(cohort, jobs) if intensities else None,
        volumes=structure_volumes(cohort),
        overlaps=found.overlaps,
        combinations=found.combinations,
        is_synthetic=cohort.synthetic,
    )


def _measure_intensities(cohort: Cohort, jobs: int) -> tuple[Intensity, ...] | None:
    """Measure intensities of voxels sampled inside the structures, the same number from each case, as nnU-Net does."""
    labelled = [case for case in cohort.cases if case.labels is not None]
    samples = _INTENSITY_SAMPLES // max(1, len(labelled))
    run = Parallel(n_jobs=jobs, return_as="generator")
    sampling = run(delayed(_sample_voxels)(case, samples, seed) for seed, case in enumerate(labelled))
    samples_of = [values for values in track(sampling, "Measuring intensities", total=len(labelled)) if values[0].size]
    return tuple(Intensity.of(channel) for channel in zip(*samples_of, strict=True)) or None


def _sample_voxels(case: Case, samples: int, seed: int) -> list[Float32Array]:
    """Sample the same voxels from every channel, with replacement, inside the structures of one case."""
    assert case.labels is not None
    inside = np.flatnonzero(as_whole_labels(read_volume(case.labels), case.labels).array)
    if inside.size:
        inside = np.random.default_rng([seed]).choice(inside, samples)
    return [read_volume(image).array.ravel()[inside].astype(np.float32) for image in case.images]


def _three(values: Sequence[Any], kind: type) -> Any:
    z, y, x = values
    return kind(z), kind(y), kind(x)
