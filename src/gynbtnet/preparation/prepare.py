"""A cohort as its plan wants it, on disk and ready for training."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from scipy import ndimage

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.json_files import sha256_of
from gynbtnet.errors import BadInput
from gynbtnet.imaging.volume_files import read_volume
from gynbtnet.preparation.plan import Plan
from gynbtnet.preparation.preprocess import planned_separate_axis, preprocess_volume
from gynbtnet.preparation.resample import resample_labels
from gynbtnet.preparation.store import (
    MANIFEST,
    PreparedCase,
    PreparedCohort,
    read_prepared_case,
    write_prepared_case,
)
from gynbtnet.progress import track

PREPARATION_VERSION = 1
"""Raised whenever the same scan and plan would give other voxels, so that prepared scans are made again."""

_FOREGROUND_VOXELS = 10_000  # of each label, to draw patches around; as many as nnU-Net keeps


def prepare(cohort: Cohort, plan: Plan, out: Path, jobs: int = 1) -> PreparedCohort:
    """Resample, normalise and store every case of a cohort; cases that ``out`` holds already are kept.

    Args:
        cohort: what to prepare.
        plan: how; the same plan prepares the scans of a prediction.
        out: folder for it. The manifest is written last: an interrupted preparation is not taken for whole, and goes on
            where it stopped. A case is made again where its files, the plan or this version of the software changed.
        jobs: processes at once, each with one scan in memory.

    Raises:
        BadInput: where a file is absent or damaged, or a plan's structures aren't the cohort's.
    """
    if any(case.labels for case in cohort.cases) and cohort.structures != plan.structures:
        raise BadInput(
            f"The plan is for {list(plan.structures)} and the cohort {cohort.folder} has {list(cohort.structures)}; "
            "make the plan from this cohort with `gynbtnet plan`."
        )
    out = Path(out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    done = {case.id: case for case in track(_prepared(cohort, plan, out, jobs), "Preparing", total=len(cohort.cases))}
    prepared = PreparedCohort(
        cohort.name, tuple(done[case.id] for case in cohort.cases), plan, out, synthetic=cohort.synthetic
    )
    prepared.save()
    return prepared


def _prepared(cohort: Cohort, plan: Plan, out: Path, jobs: int) -> Iterator[PreparedCase]:
    if jobs == 1:
        yield from (_prepare_case(case, plan, out) for case in cohort.cases)
    else:
        run = Parallel(n_jobs=jobs, return_as="generator_unordered")
        yield from run(delayed(_prepare_case)(case, plan, out) for case in cohort.cases)


def _prepare_case(case: Case, plan: Plan, out: Path) -> PreparedCase:
    key = _key(case, plan)
    if (out / f"{case.id}.json").is_file():
        standing = read_prepared_case(out, case.id)
        if standing.key == key and all(path.is_file() for path in standing.files):
            return standing
    volume, *others = (read_volume(path) for path in case.images)
    image, geometry = preprocess_volume([volume, *others], plan)
    labels = None
    if case.labels is not None:
        truth = read_volume(case.labels)
        if not volume.geometry.is_same(truth.geometry):
            raise BadInput(
                f"{case.labels} lies on another grid than its scan, "
                f"{volume.geometry.difference(truth.geometry)}; run `gynbtnet ingest` again."
            )
        labels = resample_labels(
            truth.array.astype(np.uint8, copy=False),
            volume.geometry,
            geometry,
            separate=planned_separate_axis(volume.geometry, plan),
        )
    foreground = _foreground_voxels(labels) if labels is not None else {}
    prepared = PreparedCase(
        id=case.id,
        patient=case.patient,
        geometry=geometry,
        pad_value=float(image.min()),
        labelled=labels is not None,
        foreground_labels=tuple(foreground),
        key=key,
        folder=out,
        missing=case.missing,
    )
    write_prepared_case(prepared, image[0], labels, foreground, plan.patch_size)
    return prepared


def _key(case: Case, plan: Plan) -> str:
    """Digest of all that the prepared files depend on."""
    depends_on = {
        "version": PREPARATION_VERSION,
        "patient": case.patient,
        "image": sha256_of(*case.images),
        "labels": case.labels and sha256_of(case.labels),
        "spacing": plan.spacing,
        "normalisation": plan.normalisation,
        "separate_z": plan.separate_z,
        "channels": plan.channels,
        "intensities": plan.intensities and [asdict(intensity) for intensity in plan.intensities],
        "patch_size": plan.patch_size,
        "structures": plan.structures,
        "missing": case.missing,
    }
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()


def _foreground_voxels(labels: npt.NDArray[np.uint8]) -> dict[int, npt.NDArray[np.int32]]:
    """For each label that occurs, some of its voxels (n, 3), drawn without repetition."""
    voxels = {}
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = np.flatnonzero(labels[box] == label)
        chosen = np.random.default_rng([label]).permutation(len(inside))[:_FOREGROUND_VOXELS]
        found = np.stack(np.unravel_index(inside[np.sort(chosen)], labels[box].shape), axis=1)
        voxels[label] = (found + [side.start for side in box]).astype(np.int32)
    return voxels
