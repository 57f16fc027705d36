"""Import of a dataset that stock nnU-Net preprocessed, without a copy of its voxels."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import blosc2
import numpy as np

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.regions import Regions
from gynbtnet.preparation.foreground import foreground_voxels
from gynbtnet.preparation.planning.nnunet_names import parse_structures
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.store import MANIFEST, PreparedCase, PreparedCohort, check_out, write_record
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.parallel import map_scans
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.plain_data import load_json

_CONFIGURATION = "3d_fullres"


def import_nnunet(nnunet: Path, plan: Plan, out: Path, jobs: int = 1) -> PreparedCohort:
    """Import a dataset that nnU-Net preprocessed for its configuration ``3d_fullres``, so that training can read it.

    The voxels stay in nnU-Net's folder, which isn't changed. Positions of structures are computed from the labels,
    because nnU-Net stores them in pickles, and loading a pickle can run any code. Each case counts as one patient,
    because nnU-Net doesn't record patients. If the dataset has regions, structures overlap as in a plan of ours.

    Args:
        nnunet: dataset below ``nnUNet_preprocessed`` with plans, ``dataset.json`` and the configuration's folder.
        plan: plan of the network, with the spacing and structures of nnU-Net's preprocessing.
        out: folder for the records.
        jobs: number of processes.

    Returns:
        The prepared cohort, also saved in ``out``.

    Raises:
        BadInput: If the folder contains no such scans, or nnU-Net's spacing, axes or structures differ from the plan.
            Also if ``out`` is the dataset's folder or another dataset.
        ScansFailed: If some scans can't be read.
    """
    nnunet, out = Path(nnunet).absolute(), Path(out).absolute()
    voxels = _find_voxels(nnunet, plan)
    ids = sorted(path.name[: -len("_seg.b2nd")] for path in voxels.glob("[!.]*_seg.b2nd"))
    if not ids:
        raise BadInput(
            f"There are no scans in {voxels}; expected the files that `nnUNetv2_preprocess` (version 2.6 or later) "
            "writes."
        )
    check_out(out, nnunet)
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    import_case = partial(_import_case, voxels=voxels, plan=plan, out=out)
    cases = map_scans(import_case, ids, name=str, title="Importing", jobs=jobs)
    if plan.regions is not None:  # a mirrored patch needs the mirror images of all combinations
        plan = replace(plan, regions=plan.regions.with_combinations(plan.regions.combinations))
    cohort = PreparedCohort(nnunet.name, tuple(cases), plan, out, synthetic=False, imported=True)
    cohort.save()
    return cohort


def _find_voxels(nnunet: Path, plan: Plan) -> Path:
    """Return the folder with the configuration's voxels, after checking plans and ``dataset.json`` against ``plan``."""
    plans_files = sorted(nnunet.glob("*Plans.json"))
    if len(plans_files) != 1:
        raise BadInput(
            f"{nnunet} contains {len(plans_files)} files *Plans.json; expected a dataset preprocessed by nnU-Net, with "
            "one such file."
        )
    plans, dataset = _read_json(plans_files[0]), _read_json(nnunet / "dataset.json")
    try:
        configuration = plans["configurations"][_CONFIGURATION]
        spacing = tuple(float(length) for length in configuration["spacing"])
        order = list(plans["transpose_forward"])
        structures, regions = parse_structures(dataset)
        voxels = nnunet / str(configuration["data_identifier"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{plans_files[0]} or the dataset.json next to it is not as nnU-Net writes it ({error!r}); plan and "
            "preprocess the dataset with nnU-Net again."
        ) from error
    if (
        order != [0, 1, 2]
        or not np.allclose(spacing, plan.spacing, rtol=1e-3)
        or (structures, regions) != (plan.structures, plan.regions)
    ):
        raise BadInput(
            f"{nnunet} has {_described(structures, regions)}, spacing {spacing} mm and axis order {order}. The plan "
            f"has {_described(plan.structures, plan.regions)}, spacing {plan.spacing} mm and axis order [0, 1, 2]; "
            "make the plan from nnU-Net's plans."
        )
    return voxels


def _described(structures: tuple[str, ...], regions: Regions | None) -> str:
    return f"structures {structures}" + (f" with the labels {regions.labels}" if regions else "")


def _import_case(case_id: str, *, voxels: Path, plan: Plan, out: Path) -> PreparedCase:
    image_file, labels_file = voxels / f"{case_id}.b2nd", voxels / f"{case_id}_seg.b2nd"
    try:
        image, stored = (blosc2.open(str(path), mode="r", mmap_mode="r")[:] for path in (image_file, labels_file))
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(
            f"{image_file} or its labels file is absent or damaged; preprocess the dataset with nnU-Net again."
        ) from error
    known = len(plan.regions.combinations) if plan.regions else len(plan.structures)
    if stored.max() > known:
        raise BadInput(
            f"{labels_file} contains label {stored.max()}, but the plan has only {counted(known, 'label')}; make the "
            "plan from nnU-Net's plans."
        )
    labels = np.maximum(stored[0], 0).astype(np.uint8)
    foreground = foreground_voxels(labels, plan.regions)
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


def _read_json(path: Path) -> Any:
    try:
        return load_json(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is absent or damaged; expected it in a dataset preprocessed by nnU-Net.") from error
