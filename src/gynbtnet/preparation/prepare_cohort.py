"""Preparation of a cohort for training: resample, normalise and store every scan by the plan."""

import hashlib
import json
import logging
from collections.abc import Collection
from dataclasses import asdict, replace
from functools import partial
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.case_contours import read_contours
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.reference_contours import refuse_automatic
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.files.voxel_digest import voxel_digest
from gynbtnet.imaging.volume import Volume
from gynbtnet.preparation.body_voxels import body_voxels
from gynbtnet.preparation.foreground import foreground_voxels
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.preparation.planning.structure_overlaps import measure_overlaps
from gynbtnet.preparation.preprocess import preprocess_with_units, separate_resampling_axis, target_geometry
from gynbtnet.preparation.spline_resampling import resample_labels
from gynbtnet.preparation.store import (
    MANIFEST,
    PreparedCase,
    PreparedCohort,
    check_out,
    is_recorded,
    read_prepared_case,
    write_prepared_case,
    write_record_alone,
)
from gynbtnet.runtime.available_memory import available_bytes, check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.parallel import limit_jobs_to_memory, map_scans
from gynbtnet.runtime.phrases import by_axis

_LOG = logging.getLogger(__name__)

PREPARATION_VERSION = 2
"""Version of the preparation, increased whenever it gives other voxels; older prepared scans are then made again."""

_NOT_IN_VOXELS = (
    "batch_size",
    "preset",
    "strides",
    "network",
    "notes",
    "volumes",
    "postprocessing",
    "nesting",
)  # fields of a plan
_PROCESS_GB = 0.35  # Python and its libraries
_SOURCE_BYTES, _TARGET_BYTES = 12, 20  # peak memory per voxel before and after resampling, measured


def prepare(
    cohort: Cohort,
    plan: Plan,
    out: Path,
    jobs: int = 1,
    memory_gb: float | None = None,
    *,
    allow_automatic: bool = False,
) -> PreparedCohort:
    """Resample, normalise and store every case of a cohort; cases that ``out`` contains already are kept.

    The manifest is written last, so an interrupted preparation is recognised as incomplete. It continues at the next
    call. A case is made again if its files, the plan or :data:`PREPARATION_VERSION` changed.

    Args:
        cohort: cohort to prepare.
        plan: spacing, normalisation and structures; prediction prepares scans by the same plan.
        out: folder for the prepared cohort.
        jobs: number of processes, each with one scan in memory; reduced if memory is short.
        memory_gb: memory of all processes together in GB; None means four fifths of the available memory.
        allow_automatic: accept contours that GynBTNet predicted and nobody has approved.

    Returns:
        The prepared cohort, also saved in ``out``.

    Raises:
        BadInput: If contours are predictions and not ``allow_automatic``, the plan's structures differ from the
            cohort's, or memory is too small for a single scan. Also if ``out`` is the folder of a cohort.
        ScansFailed: If files of a case are absent, damaged or don't fit each other. It is raised at the end; the other
            cases are kept.
    """
    if not allow_automatic:
        refuse_automatic(cohort, "for training")
    if any(case.labels for case in cohort.cases) and cohort.structures != plan.structures:
        raise BadInput(
            f"The plan has structures {list(plan.structures)}, but the cohort {cohort.folder} has "
            f"{list(cohort.structures)}; make the plan from this cohort with `gynbtnet plan`."
        )
    out = Path(out).absolute()
    check_out(out, cohort.folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    if plan.regions is not None:
        combinations = measure_overlaps(cohort, jobs).combinations
        plan = replace(plan, regions=plan.regions.with_combinations(combinations))
    if cohort.cases:
        peaks_gb = [peak_gb(case, plan) for case in cohort.cases]
        feasible_gb = [peak for peak in peaks_gb if peak * 1e9 <= available_bytes()]
        jobs = limit_jobs_to_memory(jobs, max(feasible_gb, default=_PROCESS_GB), memory_gb)
    prepare_case = partial(_prepare_case, plan=plan, out=out)
    cases = map_scans(prepare_case, cohort.cases, name=attrgetter("id"), title="Preparing", jobs=jobs)
    prepared = PreparedCohort(cohort.name, tuple(cases), plan, out, synthetic=cohort.synthetic)
    prepared.save()
    return prepared


def peak_gb(case: Case, plan: Plan) -> float:
    """Return the estimated peak memory of a process that prepares one case, in GB (1e9 bytes)."""
    source, target = prod(case.geometry.shape), prod(target_geometry(case.geometry, plan).shape)
    further_channels = (len(case.images) - 1) * 4 * (source + target)
    return _PROCESS_GB + (source * _SOURCE_BYTES + target * _TARGET_BYTES + further_channels) / 1e9


def _prepare_case(case: Case, *, plan: Plan, out: Path) -> PreparedCase:
    key = _key(case, plan)
    if is_recorded(out, case.id):
        existing = read_prepared_case(out, case.id)
        if existing.key == key and existing.units and all(path.is_file() for path in existing.files):
            return existing if existing.scan_digest else _with_digests(existing, case)
    check_memory(
        (peak_gb(case, plan) - _PROCESS_GB) * 1e9,
        f"The preparation of {by_axis(case.geometry.shape)} voxels (z, y, x), resampled to "
        f"{by_axis(target_geometry(case.geometry, plan).shape)},",
        "crop the scan, plan with a larger spacing, or use a machine with more memory",
    )
    volumes = [read_volume(path) for path in case.images]
    source = volumes[0].geometry
    scan_digest = voxel_digest(volumes[0])
    preprocessed = preprocess_with_units(volumes, plan)
    image, geometry = preprocessed.image, preprocessed.geometry
    ct = next((volume for volume, name in zip(volumes, plan.channels, strict=True) if name.casefold() == CT), None)
    body = None if ct is None else body_voxels(ct, geometry)
    del volumes, ct
    labels = None
    if case.labels is not None:
        reference = _label_map(case, plan)
        if not source.is_same(reference.geometry):
            raise BadInput(
                f"{case.labels} is on another grid than its scan, {source.difference(reference.geometry)}; run "
                "`gynbtnet ingest` again."
            )
        source_labels = reference.array.astype(np.uint8, copy=False)
        labels = resample_labels(source_labels, source, geometry, separate=separate_resampling_axis(source, plan))
    foreground = foreground_voxels(labels, plan.regions) if labels is not None else {}
    if labels is not None:
        _warn_of_vanished(case.id, plan, np.unique(source_labels), foreground)
    prepared = PreparedCase(
        id=case.id,
        patient=case.patient,
        geometry=geometry,
        pad_values=tuple(float(channel.min()) for channel in image),
        labelled=labels is not None,
        foreground_labels=tuple(foreground),
        key=key,
        folder=out,
        missing=_missing(case, plan),
        units=preprocessed.units,
        body_known=body is not None,
        scan_digest=scan_digest,
        source_digests=_source_digests(case),
    )
    write_prepared_case(prepared, image, labels, foreground, plan.patch_size, body, plan.regions)
    return prepared


def _warn_of_vanished(
    case_id: str, plan: Plan, source_labels: npt.NDArray[np.uint8], foreground: Collection[int]
) -> None:
    """Log the structures that have voxels in the source and none on the grid of the plan."""
    for number, structure in enumerate(plan.structures, start=1):
        own = (number,) if plan.regions is None else plan.regions.labels[number - 1]
        if number not in foreground and np.isin(own, source_labels).any():
            _LOG.warning(
                "%s: %s is too thin for the grid of the plan: no voxel of it remains. Plan with a smaller spacing, or "
                "leave the scan out.",
                *(case_id, structure),
            )


def _with_digests(prepared: PreparedCase, case: Case) -> PreparedCase:
    """Add the digests of a scan to the record of an earlier version."""
    known = replace(prepared, scan_digest=voxel_digest(read_volume(case.image)), source_digests=_source_digests(case))
    write_record_alone(known)
    return known


def _source_digests(case: Case) -> tuple[str, ...]:
    return tuple(sorted(set(case.source.sha256.values())))


def _label_map(case: Case, plan: Plan) -> Volume:
    """Return the label map of a case; if structures overlap, the map of their combinations."""
    assert case.labels is not None
    if plan.regions is None:
        return read_contours(replace(case, masks=None), plan.structures).labels
    return plan.regions.label_map(read_contours(case, plan.structures))


def _missing(case: Case, plan: Plan) -> tuple[str, ...]:
    """Return the structures whose voxels are unknown in the prepared label map."""
    return case.missing if plan.overlapping else case.unlabelled


def _key(case: Case, plan: Plan) -> str:
    """Return a digest of everything that the prepared files depend on."""
    inputs = {
        "version": PREPARATION_VERSION,
        "patient": case.patient,
        "images": [sha256_of(path) for path in case.images],
        "labels": case.labels and sha256_of(case.labels),
        **({"masks": sha256_of(case.masks)} if plan.overlapping and case.masks else {}),
        **({"foreground": "structures"} if plan.overlapping else {}),  # earlier: combinations of structures
        "plan": _settings_of_voxels(plan),
        "missing": _missing(case, plan),
    }
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _settings_of_voxels(plan: Plan) -> dict[str, Any]:
    """Return the fields of a plan that the prepared files depend on; an exclusive plan has no regions."""
    omitted = (*_NOT_IN_VOXELS, *(() if plan.overlapping else ("regions",)))
    return {name: value for name, value in asdict(plan).items() if name not in omitted}
