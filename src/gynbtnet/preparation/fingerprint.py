"""What a cohort tells about the plan that fits it: spacing, and intensity inside its structures.

nnU-Net's rules (Isensee et al. 2021, Nature Methods 18, supplementary note 2), as its version 2 applies them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.errors import BadInput
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume_files import read_volume
from gynbtnet.preparation.plan import Intensity, Plan
from gynbtnet.preparation.settings import PlanSettings
from gynbtnet.preparation.turn import turn_to_patient
from gynbtnet.progress import track

_ANISOTROPY = 3
_INTENSITY_SAMPLES = 10_000_000  # of all cases together; more doesn't move the percentiles


def make_plan(cohort: Cohort | None, settings: PlanSettings) -> Plan:
    """Fill in what the settings leave to the cohort.

    Args:
        cohort: whose spacing and intensities count: the training patients', never the test's. May be None where the
            settings leave nothing to it; the plan then has no structures.
        settings: what a recipe says.

    Raises:
        BadInput: where the settings leave to a cohort what it can't tell.
    """
    if cohort is None and (settings.spacing is None or settings.normalisation == "ct"):
        raise BadInput(
            "The plan takes its spacing or its intensities from a cohort, and none is given; give one, or set spacing "
            "and normalisation: zscore."
        )
    if cohort is not None and not cohort.cases:
        raise BadInput(f"The cohort {cohort.folder} has no case to plan for; expected at least one.")
    spacing = settings.spacing
    if spacing is None and cohort is not None:
        spacing = target_spacing([case.geometry for case in cohort.cases])
    intensity = foreground_intensity(cohort) if cohort is not None and settings.normalisation == "ct" else None
    assert spacing is not None
    return Plan(
        structures=cohort.structures if cohort is not None else (),
        spacing=spacing,
        normalisation=settings.normalisation,
        intensity=intensity,
        patch_size=settings.patch_size,
        batch_size=settings.batch_size,
        preset=settings.preset,
        strides=settings.resolved_strides(),
        network=settings.network,
    )


def target_spacing(geometries: Sequence[Geometry]) -> tuple[float, float, float]:
    """The median spacing (z, y, x) in mm of scans; where slices are thick, the tenth percentile of their distance.

    Slices are thick where their median distance is over 3 times the coarser in-plane spacing and the median number of
    them under a third of the smaller in-plane size.
    """
    turned = [turn_to_patient(geometry).geometry(geometry) for geometry in geometries]
    spacings = np.array([geometry.spacing for geometry in turned])
    target = np.median(spacings, axis=0)
    size = np.median([geometry.shape for geometry in turned], axis=0)
    thick = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != thick]
    in_plane = target[others].max()
    if target[thick] > _ANISOTROPY * in_plane and size[thick] * _ANISOTROPY < size[others].min():
        target[thick] = max(np.percentile(spacings[:, thick], 10), in_plane)
    z, y, x = target
    return float(z), float(y), float(x)


def foreground_intensity(cohort: Cohort) -> Intensity:
    """Mean, deviation and percentiles in HU of voxels drawn inside the structures, as many from each case.

    Raises:
        BadInput: where no case has a voxel of a structure.
    """
    samples = _INTENSITY_SAMPLES // max(1, len(cohort.cases))
    drawn = [
        values
        for i, case in enumerate(track(cohort.cases, "Measuring intensities"))
        if case.labels is not None and len(values := _foreground(case.image, case.labels, samples, i))
    ]
    if not drawn:
        raise BadInput(
            f"No case of the cohort {cohort.folder} has a voxel inside a structure, and normalisation ct needs some; "
            "use normalisation: zscore."
        )
    values = np.concatenate(drawn)
    low, high = np.percentile(values, (0.5, 99.5))
    return Intensity(float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)), float(low), float(high))


def _foreground(image: Path, labels: Path, samples: int, seed: int) -> npt.NDArray[np.float32]:
    """HU of ``samples`` voxels drawn, with repetition, inside the structures of one case."""
    inside = read_volume(image).array[read_volume(labels).array > 0].astype(np.float32)
    return np.random.default_rng([seed]).choice(inside, samples) if len(inside) else inside
