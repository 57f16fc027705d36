"""A cohort as its plan wants it, on disk and ready for training."""

import hashlib
import json
from dataclasses import asdict
from functools import partial
from math import prod
from operator import attrgetter
from pathlib import Path

import numpy as np

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.preparation.body_voxels import body_voxels
from gynbtnet.preparation.foreground import foreground_voxels
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.preparation.preprocess import preprocess_with_units, separate_resampling_axis, target_geometry
from gynbtnet.preparation.resample import resample_labels
from gynbtnet.preparation.store import (
    MANIFEST,
    PreparedCase,
    PreparedCohort,
    is_recorded,
    read_prepared_case,
    write_prepared_case,
)
from gynbtnet.runtime.available_memory import available_bytes, check_memory
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.parallel import limit_jobs_to_memory, map_scans
from gynbtnet.runtime.phrases import by_axis

PREPARATION_VERSION = 2
"""Raised whenever the same scan and plan would give other voxels, so that prepared scans are made again."""

_NOT_IN_VOXELS = ("batch_size", "preset", "strides", "network", "notes", "volumes", "postprocessing")  # of a plan
_PROCESS_GB = 0.35  # Python and its libraries
_SOURCE_BYTES, _TARGET_BYTES = 12, 20  # held at once for each voxel before and after resampling, measured


def prepare(cohort: Cohort, plan: Plan, out: Path, jobs: int = 1, memory_gb: float | None = None) -> PreparedCohort:
    """Resample, normalise and store every case of a cohort; cases that ``out`` holds already are kept.

    Args:
        cohort: what to prepare.
        plan: how; the same plan prepares the scans of a prediction.
        out: folder for it. The manifest is written last: an interrupted preparation is not taken for whole, and goes on
            where it stopped. A case is made again where its files, the plan or this version of the software changed.
        jobs: processes at once, each with one scan in memory; fewer where memory is short.
        memory_gb: what all processes may take together; None: four fifths of what is free.

    Returns:
        The prepared cases, with the plan.

    Raises:
        BadInput: where a plan's structures aren't the cohort's, or memory doesn't hold a single scan.
        ScansFailed: at the end, where files of a case are absent or damaged or don't fit; the others are kept.
    """
    if any(case.labels for case in cohort.cases) and cohort.structures != plan.structures:
        raise BadInput(
            f"The plan is for {list(plan.structures)} and the cohort {cohort.folder} has {list(cohort.structures)}; "
            "make the plan from this cohort with `gynbtnet plan`."
        )
    out = Path(out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    if cohort.cases:
        fitting = [peak for peak in (peak_gb(case, plan) for case in cohort.cases) if peak * 1e9 <= available_bytes()]
        jobs = limit_jobs_to_memory(jobs, max(fitting, default=_PROCESS_GB), memory_gb)
    work = partial(_prepare_case, plan=plan, out=out)
    cases = map_scans(work, cohort.cases, name=attrgetter("id"), title="Preparing", jobs=jobs)
    prepared = PreparedCohort(cohort.name, tuple(cases), plan, out, synthetic=cohort.synthetic)
    prepared.save()
    return prepared


def peak_gb(case: Case, plan: Plan) -> float:
    """About what a process takes at its peak, in GB (1e9 bytes), while it prepares one case."""
    source, target = prod(case.geometry.shape), prod(target_geometry(case.geometry, plan).shape)
    further = (len(case.images) - 1) * 4 * (source + target)
    return _PROCESS_GB + (source * _SOURCE_BYTES + target * _TARGET_BYTES + further) / 1e9


def _prepare_case(case: Case, *, plan: Plan, out: Path) -> PreparedCase:
    key = _key(case, plan)
    if is_recorded(out, case.id):
        standing = read_prepared_case(out, case.id)
        if standing.key == key and standing.units and all(path.is_file() for path in standing.files):
            return standing
    check_memory(
        (peak_gb(case, plan) - _PROCESS_GB) * 1e9,
        f"The preparation of {by_axis(case.geometry.shape)} voxels (z, y, x), resampled to "
        f"{by_axis(target_geometry(case.geometry, plan).shape)},",
        "crop the scan, plan with a larger spacing, or take a machine with more memory",
    )
    volumes = [read_volume(path) for path in case.images]
    source = volumes[0].geometry
    done = preprocess_with_units(volumes, plan)
    image, geometry = done.image, done.geometry
    ct = next((volume for volume, name in zip(volumes, plan.channels, strict=True) if name.casefold() == CT), None)
    body = None if ct is None else body_voxels(ct, geometry)
    del volumes, ct
    labels = None
    if case.labels is not None:
        truth = read_volume(case.labels)
        if not source.is_same(truth.geometry):
            raise BadInput(
                f"{case.labels} lies on another grid than its scan, {source.difference(truth.geometry)}; run "
                "`gynbtnet ingest` again."
            )
        contours = truth.array.astype(np.uint8, copy=False)
        labels = resample_labels(contours, source, geometry, separate=separate_resampling_axis(source, plan))
    foreground = foreground_voxels(labels) if labels is not None else {}
    prepared = PreparedCase(
        id=case.id,
        patient=case.patient,
        geometry=geometry,
        pad_values=tuple(float(channel.min()) for channel in image),
        labelled=labels is not None,
        foreground_labels=tuple(foreground),
        key=key,
        folder=out,
        missing=case.unlabelled,
        units=done.units,
        body_known=body is not None,
    )
    write_prepared_case(prepared, image, labels, foreground, plan.patch_size, body)
    return prepared


def _key(case: Case, plan: Plan) -> str:
    """Digest of all that the prepared files depend on."""
    depends_on = {
        "version": PREPARATION_VERSION,
        "patient": case.patient,
        "images": [sha256_of(path) for path in case.images],
        "labels": case.labels and sha256_of(case.labels),
        "plan": {name: value for name, value in asdict(plan).items() if name not in _NOT_IN_VOXELS},
        "missing": case.unlabelled,
    }
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
