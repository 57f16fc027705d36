"""Replacement of the network in tests of the node: contours a cube in the middle of the scan, in milliseconds."""

import json
import os
import time
from pathlib import Path

import numpy as np

from gynbtnet.imaging import Segmentation, StructureNames, Volume, read_ct_series, write_rtstruct, write_seg
from gynbtnet.node.jobs import Job
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput


def predict_cube(job: Job) -> None:
    """Contour, unless the folder of the model has a file with another order."""
    orders = job.model / "orders"
    order = orders.read_text() if orders.exists() else ""
    if order == "refuse":
        raise BadInput(f"The scan in {job.scan} shows no pelvis.")
    if order == "crash":
        raise ValueError("unexpected")
    if order == "die" or (order == "die once" and not (job.model / "died").exists()):
        (job.model / "died").touch()
        os._exit(9)
    if order == "hang":
        time.sleep(600)
    if order == "slow":
        time.sleep(1)
    if (job.out / "RS.dcm").exists():
        return  # as the real one, which keeps a prediction that is up to date
    ct = read_ct_series(job.scan)
    labels = np.zeros(ct.volume.geometry.shape, np.uint8)
    labels[1:-1, 4:8, 4:8] = 1
    with atomic_write(job.out) as partial:
        partial.mkdir()
        cube = Segmentation(Volume(labels, ct.volume.geometry), ("hr_ctv",))
        names = StructureNames.load(None)
        about = {"names": names, "description": "fake", "software_version": "0"}
        write_rtstruct(cube, ct, partial / "RS.dcm", label="fake", **about)  # type: ignore[arg-type]
        if "seg" in job.outputs:
            write_seg(cube, ct, partial / "SEG.dcm", **about)  # type: ignore[arg-type]
        (partial / "prediction.json").write_text(json.dumps({"model": {"sha256": "f" * 64}}))
    with (job.model / "log").open("a") as log:
        log.write(f"{job.key} {job.version}\n")


def predictions(model: Path) -> list[str]:
    """Return a line for each contoured scan."""
    return (model / "log").read_text().splitlines() if (model / "log").exists() else []
