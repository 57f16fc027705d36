"""Scans that stock nnU-Net has prepared, as they lie in its folder."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.preparation.foreground import foreground_voxels
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.store import MANIFEST, PreparedCase, PreparedCohort, write_record
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import map_scans
from gynbtnet.runtime.plain_data import load_json

_CONFIGURATION = "3d_fullres"


def import_nnunet(nnunet: Path, plan: Plan, out: Path, jobs: int = 1) -> PreparedCohort:
    """Let training read what nnU-Net's preprocessing wrote for its configuration ``3d_fullres``.

    Voxels stay where they are, and nothing is written there. Where structures lie is found from the labels anew, since
    nnU-Net keeps it in pickles, which may hold anything. A case is its own patient: nnU-Net doesn't know of patients.

    Args:
        nnunet: a dataset below ``nnUNet_preprocessed``: plans, ``dataset.json`` and the configuration's folder.
        plan: what the network sees; spacing and structures are what nnU-Net prepared by.
        out: folder for the records.
        jobs: processes at once.

    Raises:
        BadInput: where the folder holds no such scans, or the plan is for others.
        ScansFailed: where some scans can't be read.
    """
    nnunet, out = Path(nnunet).absolute(), Path(out).absolute()
    voxels = _voxels_of(nnunet, plan)
    ids = sorted(path.name[: -len("_seg.b2nd")] for path in voxels.glob("[!.]*_seg.b2nd"))
    if not ids:
        raise BadInput(
            f"There are no scans in {voxels}; expected those that `nnUNetv2_preprocess` (version 2.6 or later) wrote."
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    work = partial(_adopted, voxels=voxels, plan=plan, out=out)
    cases = map_scans(work, ids, name=str, title="Adopting", jobs=jobs)
    cohort = PreparedCohort(nnunet.name, tuple(cases), plan, out, synthetic=False)
    cohort.save()
    return cohort


def _voxels_of(nnunet: Path, plan: Plan) -> Path:
    """The folder with the configuration's voxels, once plans and ``dataset.json`` are found to fit ``plan``."""
    found = sorted(nnunet.glob("*Plans.json"))
    if len(found) != 1:
        raise BadInput(
            f"{nnunet} holds {len(found)} files *Plans.json; expected nnU-Net's preprocessed dataset with one."
        )
    plans, dataset = _json(found[0]), _json(nnunet / "dataset.json")
    try:
        configuration = plans["configurations"][_CONFIGURATION]
        spacing = tuple(float(length) for length in configuration["spacing"])
        order = list(plans["transpose_forward"])
        labels = {int(label): str(name) for name, label in dataset["labels"].items()}
        voxels = nnunet / str(configuration["data_identifier"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{found[0]} or dataset.json beside it is not as nnU-Net writes it ({error!r}), or its labels are regions; "
            "plan and preprocess the dataset with nnU-Net again, each label a number."
        ) from error
    structures = tuple(labels.get(number) for number in range(1, len(labels)))
    if order != [0, 1, 2] or not np.allclose(spacing, plan.spacing, rtol=1e-3) or structures != plan.structures:
        raise BadInput(
            f"nnU-Net prepared {nnunet} for {structures} at {spacing} mm with axes in the order {order}, and the plan "
            f"is for {plan.structures} at {plan.spacing} mm with axes 0, 1, 2; make the plan from nnU-Net's own."
        )
    return voxels


def _adopted(case_id: str, *, voxels: Path, plan: Plan, out: Path) -> PreparedCase:
    image_file, labels_file = voxels / f"{case_id}.b2nd", voxels / f"{case_id}_seg.b2nd"
    try:
        image, stored = (blosc2.open(str(path), mode="r", mmap_mode="r")[:] for path in (image_file, labels_file))
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"{image_file} or its labels are absent or damaged; preprocess them with nnU-Net again."
        ) from error
    if stored.max() > len(plan.structures):
        raise BadInput(f"{labels_file} holds label {stored.max()}, and the plan has {len(plan.structures)} structures.")
    labels = np.maximum(stored[0], 0).astype(np.uint8)
    foreground = foreground_voxels(labels)
    case = PreparedCase(
        id=case_id,
        patient=case_id,
        geometry=Geometry(labels.shape, plan.spacing),
        pad_values=tuple(float(channel.min()) for channel in image),
        labelled=True,
        foreground_labels=tuple(foreground),
        key=hashlib.sha256(image.tobytes() + labels.tobytes()).hexdigest(),
        folder=out,
        voxels=voxels,
    )
    write_record(case, foreground)
    return case


def _json(path: Path) -> Any:
    try:
        return load_json(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is absent or damaged; expected nnU-Net's preprocessed dataset with it.") from error
