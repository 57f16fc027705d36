"""From a cohort, or what is known of one, to the plan that fits it."""

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.preparation.planning.fingerprint import Fingerprint, take_fingerprint
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.memory_estimate import training_bytes
from gynbtnet.preparation.planning.patch_and_batch import patch_and_batch
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.planning.target_spacing import shape_at, target_spacing
from gynbtnet.runtime.array_types import Spacing
from gynbtnet.runtime.errors import BadInput

_NOT_READ = Intensity(mean=0, std=1, percentile_00_5=-1, percentile_99_5=1, median=0, min=-1, max=1)
"""Of channels that aren't CT: a plan has one for each channel, and these are z-scored."""


def make_plan(source: Cohort | Fingerprint, settings: PlanSettings, *, jobs: int = 1) -> Plan:
    """Fill in what the settings leave open.

    Args:
        source: whose spacing and intensities count: the training patients', never the test's. Of a cohort as much is
            read as the settings ask for; with a fingerprint nothing is read again.
        settings: what a recipe says.
        jobs: processes that read a cohort's scans.

    Raises:
        BadInput: where the settings leave open what the source can't tell, or ask for more memory than they allow.
    """
    if isinstance(source, Cohort):
        measured = settings.normalisation == "ct" and settings.ct_scaling is None
        source = take_fingerprint(source, intensities=measured, jobs=jobs)
    intensities = _intensities(source, settings)
    if settings.normalisation == "ct" and intensities is None:
        raise BadInput(
            "No voxel inside a structure was measured, and normalisation ct needs some: the cohort has no contours, or "
            "its fingerprint was taken without them; use normalisation: zscore, plan from contoured scans, or give the "
            "numbers with ct_scaling."
        )
    spacing = settings.spacing or target_spacing(source.spacings, source.shapes)
    patch, batch = settings.patch_size, settings.batch_size
    notes: tuple[str, ...] = ()
    if patch is None or batch is None:
        patch, batch, notes = _for_memory(source, settings, spacing)
    return Plan(
        structures=source.structures,
        spacing=spacing,
        normalisation=settings.normalisation,
        intensities=intensities,
        patch_size=patch,
        batch_size=batch,
        preset=settings.preset,
        strides=settings.resolved_strides(),
        network=settings.network,
        channels=source.channels,
        separate_z=settings.separate_z,
        notes=notes,
        volumes=source.volumes,
    )


def _intensities(source: Fingerprint, settings: PlanSettings) -> tuple[Intensity, ...] | None:
    """What "ct" scales by; None for "zscore", or if nothing was measured and nothing is given."""
    if settings.normalisation != "ct":
        return None
    if settings.ct_scaling is None:
        return source.intensities
    given = settings.ct_scaling.as_intensity()
    return tuple(given if name.casefold() == CT else _NOT_READ for name in source.channels)


def _for_memory(
    source: Fingerprint, settings: PlanSettings, spacing: Spacing
) -> tuple[tuple[int, int, int], int, tuple[str, ...]]:
    """Patch, batch, and a sentence that says what they were chosen by."""
    shapes = [shape_at(spacing, *scan) for scan in zip(source.shapes, source.spacings, strict=True)]
    z, y, x = np.median(shapes, axis=0)
    network = {"in_channels": len(source.channels), "outputs": len(source.structures) + 1}
    patch, batch = patch_and_batch(
        settings, spacing, (float(z), float(y), float(x)), cases=len(source.shapes), **network
    )
    taken = training_bytes(settings.preset, settings.resolved_strides(), patch_size=patch, batch_size=batch, **network)
    note = (
        f"{batch} patches of {'×'.join(map(str, patch))} voxels were chosen for {settings.plan_memory_gb:g} GB and a "
        f"median scan of {z:g}×{y:g}×{x:g} voxels; training takes {taken / 1e9:.3g} GB."
    )
    return patch, batch, (note,)
