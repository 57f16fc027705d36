"""Replacement of the network in tests of the node: contours a cube in the middle of the scan, in milliseconds."""

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from gynbtnet.imaging import (
    Segmentation,
    StructureNames,
    Volume,
    read_ct_series,
    write_rtstruct,
    write_seg,
    write_volume,
)
from gynbtnet.node.jobs import Job, JobResult
from gynbtnet.node.worker import Worker
from gynbtnet.runtime import BadInput, atomic_write, sha256_of


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
    ct = read_ct_series(job.scan, repairs=job.repairs)
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
        write_volume(cube.labels, partial / "labels.nii.gz")
        manifest = {
            "schema": 1,
            "synthetic": True,
            "model": {"name": "fake", "weights": "last", "sha256": "f" * 64, "files": {}, "rules": ""},
            "input": {"kind": "DICOM", "series_uid": ct.series_uid, "sha256": sha256_of(*ct.files)},
            "settings": {"contour_style": "smooth", "hole_style": "keyhole", "outputs": list(job.outputs)},
            "failed": {},
            "structures": list(cube.structures),
            "scan": {"path": str(job.scan), "channels": [], "repairs": asdict(job.repairs)},
            "warnings": [],
            "flags": [],
            "predicted_dsc": {},
        }
        (partial / "prediction.json").write_text(json.dumps(manifest))
    with (job.model / "log").open("a") as log:
        log.write(f"{job.key} {job.version}\n")


def predictions(model: Path) -> list[str]:
    """Return a line for each contoured scan."""
    return (model / "log").read_text().splitlines() if (model / "log").exists() else []


class DirectWorker(Worker):
    """Predicts in this process, which saves the start of another one."""

    _result: JobResult | None = None

    def submit(self, job: Job) -> None:
        try:
            predict_cube(job)
            refused = None
        except BadInput as problem:
            refused = str(problem)
        self._result = JobResult(job, refused, 0.1)

    def result(self) -> JobResult | None:
        result, self._result = self._result, None
        return result
