"""Making a plan from a cohort or its fingerprint."""

import numpy as np

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.nesting import Nesting
from gynbtnet.imaging.regions import Regions
from gynbtnet.preparation.planning.fingerprint import Fingerprint, take_fingerprint
from gynbtnet.preparation.planning.intensity import Intensity
from gynbtnet.preparation.planning.memory_estimate import training_bytes
from gynbtnet.preparation.planning.patch_and_batch import patch_and_batch
from gynbtnet.preparation.planning.plan import CT, SYNTHETIC_NOTE, Plan
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.planning.structure_overlaps import CohortOverlaps, choose_regions
from gynbtnet.preparation.planning.target_spacing import shape_at, target_spacing
from gynbtnet.runtime.array_types import Spacing
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

_NOT_READ = Intensity(mean=0, std=1, percentile_00_5=-1, percentile_99_5=1, median=0, min=-1, max=1)
"""Placeholder for channels other than CT, which are z-scored; a plan has one entry per channel."""


def make_plan(source: Cohort | Fingerprint, settings: PlanSettings, *, jobs: int = 1) -> Plan:
    """Make a plan: use the settings, and choose the open ones from the data.

    Args:
        source: training cohort, without test patients, or its fingerprint. Scans of a cohort are read only if the
            settings need their intensities.
        settings: settings of a recipe.
        jobs: number of processes that read the scans.

    Returns:
        The plan.

    Raises:
        BadInput: If the source lacks the data for an open setting, or the settings need more memory than they allow.

    Example:
        >>> plan = make_plan(cohort, load_recipe("smoke").task.plan)
        >>> plan.spacing, plan.patch_size
        ((6.0, 5.0, 5.0), (16, 32, 32))
    """
    if isinstance(source, Cohort):
        measure = settings.normalisation == "ct" and settings.ct_scaling is None
        source = take_fingerprint(source, intensities=measure, jobs=jobs)
    intensities = _intensities(source, settings)
    if settings.normalisation == "ct" and intensities is None:
        raise BadInput(
            "Normalisation ct needs intensities inside the structures, but the cohort or its fingerprint has none; use "
            "normalisation: zscore, plan from contoured scans, or set ct_scaling."
        )
    spacing = settings.spacing or target_spacing(source.spacings, source.shapes)
    patch, batch = settings.patch_size, settings.batch_size
    regions, notes = _regions(source, settings)
    if patch is None or batch is None:
        patch, batch, note = _for_memory(source, settings, spacing, outputs=len(source.structures) + (regions is None))
        notes += note
    if source.is_synthetic:
        notes += (SYNTHETIC_NOTE,)
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
        regions=regions,
        nesting=Nesting.parse(settings.nesting),
    )


def _intensities(source: Fingerprint, settings: PlanSettings) -> tuple[Intensity, ...] | None:
    """Return the intensities for "ct"; None for "zscore", or if neither measured nor given."""
    if settings.normalisation != "ct":
        return None
    if settings.ct_scaling is None:
        return source.intensities
    given = settings.ct_scaling.as_intensity()
    return tuple(given if name.casefold() == CT else _NOT_READ for name in source.channels)


def _regions(source: Fingerprint, settings: PlanSettings) -> tuple[Regions | None, tuple[str, ...]]:
    """Return regions if structures overlap, otherwise None, with a note about the choice.

    Raises:
        BadInput: If nested structures are unknown, or structures overlap in too many combinations.
    """
    unknown = sorted(Nesting.parse(settings.nesting).structures.difference(source.structures))
    if unknown:
        raise BadInput(
            f"nesting names {unknown[0]}, which is not among the structures {', '.join(source.structures)}; correct "
            "the name, or request this structure."
        )
    overlaps = CohortOverlaps(source.overlaps, source.combinations)
    regions, reason = choose_regions(
        source.structures, overlaps, settings.outputs, settings.overlap_share, nested=bool(settings.nesting)
    )
    return regions, (reason,) if reason else ()


def _for_memory(
    source: Fingerprint, settings: PlanSettings, spacing: Spacing, *, outputs: int
) -> tuple[tuple[int, int, int], int, tuple[str, ...]]:
    """Return patch, batch, and a note that explains the choice."""
    shapes = [shape_at(spacing, *scan) for scan in zip(source.shapes, source.spacings, strict=True)]
    z, y, x = np.median(shapes, axis=0)
    network = {"in_channels": len(source.channels), "outputs": outputs}
    patch, batch = patch_and_batch(
        settings, spacing, (float(z), float(y), float(x)), cases=len(source.shapes), **network
    )
    needed = training_bytes(settings.preset, settings.resolved_strides(), patch_size=patch, batch_size=batch, **network)
    note = (
        f"Chosen for {settings.plan_memory_gb:g} GB and a median scan of {z:g}×{y:g}×{x:g} voxels: "
        f"{counted(batch, 'patch', 'patches')} of {'×'.join(map(str, patch))} voxels; training needs "
        f"{needed / 1e9:.3g} GB."
    )
    return patch, batch, (note,)
