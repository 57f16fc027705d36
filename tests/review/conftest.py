"""Predictions as `gynbtnet predict` writes them, of small synthetic scans in any orientation."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright

from gynbtnet.datasets import Cohort, ingest
from gynbtnet.imaging import (
    Geometry,
    OverlappingSegmentation,
    Segmentation,
    StructureMasks,
    StructureNames,
    Volume,
    paint_masks,
    write_ct_series,
    write_mask_folder,
    write_rtstruct,
    write_volume,
)
from gynbtnet.runtime import sha256_of

from .served_page import CHROMIUM, Served

STRUCTURES = ("hr_ctv", "bladder", "rectum")
SHAPE = (12, 40, 36)
SPACING = (3.0, 1.5, 1.5)
AXIAL = Geometry(SHAPE, SPACING, (-27.0, -30.0, 40.0))
FLIPPED = Geometry(SHAPE, SPACING, (27.0, 30.0, 40.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
_c, _s = np.cos(0.3), np.sin(0.3)
OBLIQUE = Geometry(SHAPE, SPACING, (-27.0, -30.0, 40.0), (_c, -_s, 0, _s, _c, 0, 0, 0, 1.0))
TILTED = Geometry(SHAPE, SPACING, (-27.0, -30.0, 40.0), (1.0, 0, 0, 0, _c, -_s, 0, _s, _c))
GRIDS = {"axial": AXIAL, "flipped": FLIPPED, "oblique": OBLIQUE, "tilted": TILTED}


def phantom_masks() -> dict[str, np.ndarray]:
    """Return three ellipsoids; the rectum has a separate part."""
    z, y, x = np.indices(SHAPE)

    def ball(cz: float, cy: float, cx: float, rz: float, ry: float, rx: float) -> np.ndarray:
        return ((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1

    masks = {"hr_ctv": ball(6, 20, 18, 3, 5, 6), "bladder": ball(6, 9, 18, 4, 6, 9), "rectum": ball(5, 32, 18, 5, 4, 4)}
    masks["rectum"][10:12, 30:33, 4:7] = True
    return masks


def write_dose(path: Path, geometry: Geometry = AXIAL) -> Path:
    """Write a dose that falls from 20 Gy at the head by 1 Gy per slice of 3 mm, on the grid of the scan."""
    gradient = np.broadcast_to(np.arange(SHAPE[0], dtype=np.float32)[:, None, None] + 9, SHAPE)
    write_volume(Volume(np.ascontiguousarray(gradient), geometry), path)
    return path


def ingest_scan(image: Path, labels: Path, folder: Path) -> tuple[Path, str]:
    """Make a cohort of one scan with the labels of a prediction as reference; return it and the id of its case."""
    nnunet = folder / "nnunet"
    for name in ("imagesTr", "labelsTr"):
        (nnunet / name).mkdir(parents=True)
    shutil.copy(image, nnunet / "imagesTr" / "patient-001_0000.nii.gz")
    shutil.copy(labels, nnunet / "labelsTr" / "patient-001.nii.gz")
    numbers = {"background": 0, **{name: number for number, name in enumerate(STRUCTURES, start=1)}}
    content = {"channel_names": {"0": "CT"}, "labels": numbers, "numTraining": 1, "file_ending": ".nii.gz"}
    (nnunet / "dataset.json").write_text(json.dumps(content))
    ingest(nnunet, folder / "cohort", "nnunet")
    (case,) = Cohort.load(folder / "cohort").cases
    return folder / "cohort", case.id


@pytest.fixture
def make_prediction(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a scan and its prediction, and returns the folder of the prediction."""

    def make(
        name: str = "case-1",
        geometry: Geometry = AXIAL,
        *,
        dicom: bool = True,
        rtstruct: bool = True,
        structures: tuple[str, ...] = STRUCTURES,
        masks: Mapping[str, np.ndarray] | None = None,
        flags: tuple[tuple[str, str], ...] = (("rectum", "fragmented"),),
        low: float | None = 0.8,
        overlapping: bool = False,
    ) -> Path:
        drawn = dict(zip(structures, phantom_masks().values(), strict=True)) if masks is None else dict(masks)
        image = np.random.default_rng(0).normal(40, 15, geometry.shape)
        for mask in drawn.values():
            image[mask] += 60
        image[:, :, 0] = -1000
        folder, source = tmp_path / "predictions" / name, tmp_path / "scans" / name
        folder.mkdir(parents=True)
        segmentation: Segmentation = paint_masks(StructureMasks.of(drawn, geometry))
        assert isinstance(segmentation, OverlappingSegmentation)
        if overlapping:
            write_mask_folder(segmentation, folder / "masks")
        else:
            segmentation = Segmentation(segmentation.labels, structures)
            write_volume(segmentation.labels, folder / "labels.nii.gz")
        if dicom:
            series = write_ct_series(
                Volume(image, geometry),
                source,
                patient_id="SYNTHETIC-1",
                study_description="SYNTHETIC",
                series_description="SYNTHETIC test",
                seed=len(name),
            )
            files, uid, path = series.files, series.series_uid, source
            if rtstruct:
                write_rtstruct(
                    segmentation,
                    series,
                    folder / "RS.dcm",
                    names=StructureNames.load(),
                    label="model 0",
                    description="SYNTHETIC. Research use only, not reviewed",
                    software_version="0",
                    remarks={"rectum": "REVIEW."},
                )
        else:
            path = source.with_suffix(".nii.gz")
            write_volume(Volume(image.astype(np.int16), geometry), path)
            files, uid = (path,), None
        manifest = {
            "schema": 1,
            "synthetic": True,
            "model": {"name": "model", "weights": "last", "sha256": "ab" * 32, "files": {}, "rules": ""},
            "input": {"kind": "DICOM" if dicom else "image file", "series_uid": uid, "sha256": sha256_of(*files)},
            "settings": {"contour_style": "smooth", "hole_style": "keyhole"},
            "structures": list(structures),
            "scan": {"path": str(path), "channels": [], "repairs": {}},
            "warnings": [],
            "flags": [
                {"structure": structure, "kind": kind, "sentence": f"{structure} has a {kind} flag. Check it."}
                for structure, kind in flags
            ],
            "predicted_dsc": {
                name: None if low is None else {"structure": name, "dsc": low + 0.1, "low": low, "high": low + 0.15}
                for name in structures
            },
        }
        (folder / "prediction.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def serve(browser: Browser) -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(folder: Path, *options: str) -> Served:
        running.append(Served(folder, browser, *options))
        return running[-1]

    yield start
    for context in browser.contexts:
        context.close()
    for served in running:
        served.stop()
        assert served.foreign == [], "a request left 127.0.0.1"
        assert served.errors == []
