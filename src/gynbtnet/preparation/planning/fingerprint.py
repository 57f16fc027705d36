"""What a cohort tells about the plan that fits it: sizes, spacings, and intensities inside its structures.

On disk in the words of nnU-Net's ``dataset_fingerprint.json``, so that either reads the other's. nnU-Net crops scans to
where they aren't zero; a CT is zero nowhere around the patient, and we crop nothing.
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
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.nnunet_names import (
    nnunet_channel_names,
    parse_channel_names,
    parse_labels,
)
from gynbtnet.preparation.planning.structure_volumes import StructureVolume, structure_volumes
from gynbtnet.runtime.array_types import Float32Array, Spacing, Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json
from gynbtnet.runtime.plain_data import load_json
from gynbtnet.runtime.progress import track

FINGERPRINT = "dataset_fingerprint.json"

_VOLUMES = TypeAdapter(tuple[StructureVolume, ...])
_INTENSITY_SAMPLES = 10_000_000  # of all cases together; more doesn't move the percentiles


@dataclass(frozen=True)
class Fingerprint:
    """What a plan is made from; small, and holds nothing of a single patient but the size of the scan.

    Attributes:
        channels: what each image of a case is, in their order.
        structures: label i + 1 is structures[i]; empty for scans without contours.
        spacings: of each scan in mm along (z, y, x) as they lie in the patient.
        shapes: voxels of each scan along (z, y, x).
        intensities: of each channel inside the structures; None where they weren't measured, or nothing is inside.
        volumes: of the structures that two patients have.
    """

    channels: tuple[str, ...]
    structures: tuple[str, ...]
    spacings: tuple[Spacing, ...]
    shapes: tuple[Triple, ...]
    intensities: tuple[Intensity, ...] | None
    volumes: tuple[StructureVolume, ...] = ()

    def save(self, folder: Path) -> None:
        """Write ``dataset_fingerprint.json`` into ``folder``, whole."""
        properties = {str(i): asdict(intensity) for i, intensity in enumerate(self.intensities or ())}
        content = {
            "channel_names": nnunet_channel_names(self.channels),
            "labels": labels_by_name(self.structures),
            "spacings": self.spacings,
            "shapes_after_crop": self.shapes,
            "foreground_intensity_properties_per_channel": properties,
            "median_relative_size_after_cropping": 1.0,
            "structure_volumes": [asdict(volume) for volume in self.volumes],
        }
        write_json(content, Path(folder) / FINGERPRINT)

    @classmethod
    def load(cls, path: Path) -> "Fingerprint":
        """Read what :meth:`save` wrote, from the file or the folder that it is in.

        Raises:
            BadInput: where it is absent or damaged.
        """
        path = Path(path) / FINGERPRINT if Path(path).is_dir() else Path(path)
        if not path.is_file():
            raise BadInput(f"There is no {path}; expected a fingerprint, which `gynbtnet plan` writes beside a plan.")
        try:
            content: Any = load_json(path)
            properties = content["foreground_intensity_properties_per_channel"]
            found = cls(
                channels=parse_channel_names(content["channel_names"]),
                structures=parse_labels(content["labels"]),
                spacings=tuple(_three(spacing, float) for spacing in content["spacings"]),
                shapes=tuple(_three(shape, int) for shape in content["shapes_after_crop"]),
                intensities=tuple(Intensity(**properties[str(i)]) for i in range(len(properties))) or None,
                volumes=_VOLUMES.validate_python(content.get("structure_volumes", ())),
            )
            if not len(found.spacings) == len(found.shapes) > 0:
                raise ValueError(f"{len(found.spacings)} spacings and {len(found.shapes)} shapes")
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError) as error:
            raise BadInput(
                f"{path} is damaged or no fingerprint ({error!r}); write it again with `gynbtnet plan`."
            ) from error
        return found


def take_fingerprint(cohort: Cohort, *, intensities: bool = True, jobs: int = 1) -> Fingerprint:
    """Measure a cohort: the training patients' alone, never the test's.

    Args:
        cohort: its manifest tells sizes and spacings; scans are read for their intensities.
        intensities: whether to measure them.
        jobs: processes at once, each with one scan in memory.

    Raises:
        BadInput: where the cohort has no case, or a scan can't be read.
    """
    if not cohort.cases:
        raise BadInput(f"The cohort {cohort.folder} has no case to plan for; expected at least one.")
    turned = [reorientation_to_lps(case.geometry).geometry(case.geometry) for case in cohort.cases]
    return Fingerprint(
        channels=cohort.channels,
        structures=cohort.structures,
        spacings=tuple(geometry.spacing for geometry in turned),
        shapes=tuple(geometry.shape for geometry in turned),
        intensities=_measured(cohort, jobs) if intensities else None,
        volumes=structure_volumes(cohort),
    )


def _measured(cohort: Cohort, jobs: int) -> tuple[Intensity, ...] | None:
    """Of voxels drawn inside the structures, as many from each case, as nnU-Net does it."""
    labelled = [case for case in cohort.cases if case.labels is not None]
    samples = _INTENSITY_SAMPLES // max(1, len(labelled))
    run = Parallel(n_jobs=jobs, return_as="generator")
    drawing = run(delayed(_drawn)(case, samples, seed) for seed, case in enumerate(labelled))
    drawn = [values for values in track(drawing, "Measuring intensities", total=len(labelled)) if values[0].size]
    return tuple(Intensity.of(of_channel) for of_channel in zip(*drawn, strict=True)) or None


def _drawn(case: Case, samples: int, seed: int) -> list[Float32Array]:
    """Of every channel the same ``samples`` voxels, drawn with repetition inside the structures of one case."""
    assert case.labels is not None
    inside = np.flatnonzero(read_volume(case.labels).array)
    if inside.size:
        inside = np.random.default_rng([seed]).choice(inside, samples)
    return [read_volume(image).array.ravel()[inside].astype(np.float32) for image in case.images]


def _three(values: Sequence[Any], kind: type) -> Any:
    z, y, x = values
    return kind(z), kind(y), kind(x)
