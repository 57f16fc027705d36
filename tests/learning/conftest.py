"""A small cohort with its model, and predictions that are reviewed as in the browser."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from gynbtnet.datasets import Cohort, Split, ingest
from gynbtnet.imaging import Geometry, Segmentation, StructureMasks, Volume, paint_masks, write_ct_series, write_volume
from gynbtnet.learning import LearningRequest, LearningSettings, ScanFinder
from gynbtnet.learning import round as learning_round
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.review import open_case, open_session, patches_between, write_review
from gynbtnet.runtime import sha256_of, write_json
from gynbtnet.training import SegmentationSettings

STRUCTURES = ("bladder", "rectum")
SHAPE, SPACING = (16, 32, 32), (4.0, 3.0, 3.0)
GEOMETRY = Geometry(SHAPE, SPACING, (-48.0, -48.0, 0.0))
STRIDES = ((1, 1, 1), *((2, 2, 2),) * 4)
SPLIT = Split(tuple(f"p{i}" for i in range(5)), (("p5",), ("p6",)), 0)
SHORT = SegmentationSettings(
    epochs=2,
    steps_per_epoch=1,
    checkpoint_interval_epochs=1,
    validation_patches=1,
    picture_interval_epochs=100,
    augmentation="none",
    network_form="plain",
    learning_rate=1e-3,
)


def balls(seed: int) -> tuple[Volume, dict[str, np.ndarray]]:
    """Return a scan with two balls, and their masks."""
    random = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE)
    masks = {}
    for name, row in zip(STRUCTURES, (10, 22), strict=True):
        centre = np.array([8, row, 16]) + random.integers(-1, 2, 3)
        masks[name] = ((z - centre[0]) / 4) ** 2 + ((y - centre[1]) / 5) ** 2 + ((x - centre[2]) / 6) ** 2 <= 1
    image = random.normal(40, 10, SHAPE) + 80 * masks["bladder"] - 60 * masks["rectum"]
    return Volume(image.astype(np.int16), GEOMETRY), masks


def label_map(masks: Mapping[str, np.ndarray]) -> Segmentation:
    """Return masks as exclusive labels."""
    painted = paint_masks(StructureMasks.of(dict(masks), GEOMETRY))
    return Segmentation(painted.labels, tuple(masks))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a cohort of seven patients p0 to p6 and the model ``model``, which is not trained."""
    folder = tmp_path_factory.mktemp("learning")
    raw = folder / "raw"
    for number in range(7):
        scan, masks = balls(number)
        write_volume(scan, raw / "imagesTr" / f"p{number}_0000.nii.gz")
        write_volume(label_map(masks).labels, raw / "labelsTr" / f"p{number}.nii.gz")
    labels = {"background": 0, "bladder": 1, "rectum": 2}
    description = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 7, "file_ending": ".nii.gz"}
    write_json(description, raw / "dataset.json")
    ingest(raw, folder / "cohort", "nnunet", structures=STRUCTURES)
    SPLIT.save(folder / "split.json")
    model = folder / "model"
    save_plan(Plan(STRUCTURES, SPACING, "zscore", None, SHAPE, 1, "XS", STRIDES, mirror_axes=()), model)
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=3, strides=STRIDES).state_dict(), model / "weights_last.safetensors")
    recipe = {"stage": "segmentation", "settings": SHORT.model_dump(mode="json")}
    (model / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a challenger be a copy of the champion, since only its training takes long."""

    def copy(prepared: object, training: object, run: Path, *, start: Path, **_: object) -> Path:
        shutil.copytree(start, run)
        return run

    monkeypatch.setattr(learning_round, "finetune", copy)


@pytest.fixture
def request_of(source: Path, tmp_path: Path) -> Callable[..., LearningRequest]:
    """Return a function that makes the call of ``learn`` on ``predictions`` in the temporary folder."""

    def make(*, split: Split | None = SPLIT, finder: ScanFinder | None = None, **settings: object) -> LearningRequest:
        (tmp_path / "predictions").mkdir(exist_ok=True)
        return LearningRequest(
            reviews=tmp_path / "predictions",
            model=source / "model",
            finder=finder or ScanFinder.create(Cohort.load(source / "cohort")),
            out=tmp_path / "learned",
            split=split,
            settings=LearningSettings(**{"length": 1, "validation": 0, **settings}),
        )

    return make


@pytest.fixture
def predicted(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a scan and a prediction of it, in which the rectum is right and the bladder is cut.

    The scan is an image file, or a DICOM series of a patient.
    """

    def write(
        name: str,
        seed: int,
        *,
        patient: str | None = None,
        suffix: str = ".nii.gz",
        agreement: float | None = None,
        flags: tuple[str, ...] = (),
        low: float | None = None,
    ) -> Path:
        scan, masks = balls(seed)
        folder, path = tmp_path / "predictions" / name, tmp_path / "scans" / f"{name}{suffix}"
        uid = None
        if patient is None:
            write_volume(scan, path)
            files: tuple[Path, ...] = (path,)
        else:
            path = tmp_path / "scans" / name
            text = {"study_description": "SYNTHETIC", "series_description": "SYNTHETIC test"}
            series = write_ct_series(scan, path, patient_id=patient, seed=seed, **text)
            files, uid = series.files, series.series_uid
        cut = masks["bladder"].copy()
        cut[:, :, 16:] = False
        write_volume(label_map(masks | {"bladder": cut}).labels, folder / "labels.nii.gz")
        manifest = {
            "schema": 1,
            "synthetic": True,
            "model": {"name": "model", "weights": "last", "sha256": "ab" * 32, "files": {}, "rules": ""},
            "input": {"kind": "image file" if uid is None else "DICOM", "series_uid": uid, "sha256": sha256_of(*files)},
            "settings": {"contour_style": "smooth", "hole_style": "keyhole"},
            "structures": list(STRUCTURES),
            "scan": {"path": str(path), "channels": [], "repairs": {}},
            "warnings": [],
            "agreement": {"bladder": agreement, "rectum": 0.99 if agreement is not None else None},
            "flags": [{"structure": structure, "kind": "fragmented", "sentence": "Fragmented."} for structure in flags],
            "predicted_dsc": {
                structure: None if low is None else {"structure": structure, "dsc": low, "low": low, "high": 1.0}
                for structure in STRUCTURES
            },
        }
        (folder / "prediction.json").write_text(json.dumps(manifest))
        return folder

    return write


@pytest.fixture
def reviewed() -> Callable[..., Path]:
    """Return a function that reviews a prediction and returns the folder of the review."""

    def review(
        prediction: Path,
        masks: Mapping[str, np.ndarray] | None = None,
        *,
        accepted: tuple[str, ...] = STRUCTURES,
        time: str | None = None,
    ) -> Path:
        case = open_case(prediction)
        with open_session(case) as session:
            for name, mask in (masks or {}).items():
                patches = tuple(patches_between(session.displayed(name), mask, 0))
                if patches:
                    session.edit(name, "brush", patches)
            for name in accepted:
                session.accept(name, accepted=True, sure=True)
            out = write_review(case, session)
        if time is not None:
            record = json.loads((out / "review.json").read_text())
            (out / "review.json").write_text(json.dumps(record | {"time": time}))
        return out

    return review


def truth(seed: int) -> dict[str, np.ndarray]:
    """Return the true bladder of a scan, which its prediction lacks a part of."""
    return {"bladder": balls(seed)[1]["bladder"]}
