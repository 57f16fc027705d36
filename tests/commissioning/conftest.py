"""A kit of a tiny model on six local patients: boxes of known HU in a body, which the model finds by thresholds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import gynbtnet.commissioning.commission as module
from gynbtnet.commissioning.commission import commission_model
from gynbtnet.commissioning.limits import Limits
from gynbtnet.commissioning.record import CommissioningRecord
from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry, Volume, voxel_digest, write_volume
from gynbtnet.inference import PredictionSettings, load_model
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Intensity, Plan, save_plan
from gynbtnet.training import TrainingScans

STRUCTURES = ("hr_ctv", "bladder")
GRID = Geometry((16, 24, 32), (8.0, 8.0, 8.0), (-124.0, -92.0, -60.0))
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
PATIENTS = 6
SETTINGS = PredictionSettings(mirroring=False, overlap=0.25, device="cpu", preview=False)


def boxes(patient: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the HU of a scan and its reference contours; the bladder of the scan is one slice longer in some."""
    random = np.random.default_rng([5, patient])
    _, y, x = np.indices(GRID.shape)
    body = ((y - 12) / 10) ** 2 + ((x - 16) / 14) ** 2 < 1
    inner = ((y - 12) / 8) ** 2 + ((x - 16) / 12) ** 2 < 1
    hu = np.where(inner, 40, np.where(body, -100, -1000)) + random.integers(-60, 61, GRID.shape)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[5:9, 10:15, 13:19] = 1
    labels[4:10, 4:9, 11:21] = 2
    hu[labels == 1] = 400
    hu[labels == 2] = 900  # without noise, so that no voxel is missed
    hu[10 : 10 + patient % 3, 4:9, 11:21] = 900
    return hu.astype(np.int16), labels


class Thresholds(torch.nn.Module):
    """Network that finds the bladder above 700 HU, and the HR-CTV between 250 and 700 HU."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        bladder, target = image - 7.0, torch.minimum(image - 2.5, 7.0 - image)
        return torch.cat([torch.zeros_like(image), target, bladder], 1)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    intensity = Intensity(0.0, 100.0, -1000.0, 2000.0, 0.0, -1000.0, 2000.0)
    plan = Plan(STRUCTURES, GRID.spacing, "ct", (intensity,), (16, 32, 32), 2, "XS", STRIDES)
    save_plan(plan, folder)
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=3, strides=STRIDES).state_dict(), folder / "weights_last.safetensors")
    TrainingScans(("0" * 64,)).save(folder)
    return folder


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("local")
    cases = []
    for patient in range(PATIENTS):
        name = f"patient-{patient + 1:03d}_f1"
        image, labels = folder / "imagesTr" / f"{name}_0000.nii.gz", folder / "labelsTr" / f"{name}.nii.gz"
        hu, contours = boxes(patient)
        write_volume(Volume(hu, GRID), image)
        write_volume(Volume(contours, GRID), labels)
        cases.append(
            Case(name[:11], 1, name, (image,), labels, Source(synthetic=True), GRID, applicator="tandem and ovoids")
        )
    cohort = Cohort("local", STRUCTURES, tuple(cases), folder)
    cohort.save()
    return cohort


@pytest.fixture(scope="session")
def doses(local: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Doses that fall from front to back and towards the head, in Gy."""
    folder = tmp_path_factory.mktemp("doses")
    z, y, _ = np.indices(GRID.shape)
    for case in local.cases:
        write_volume(Volume((12 - 0.3 * y - 0.1 * z).astype(np.float32), GRID), folder / f"{case.id}.nii.gz")
    return folder


@pytest.fixture(scope="session")
def limits() -> Limits:
    reason = {"why": "For a test.", "source": "this test"}
    return Limits.model_validate(
        {
            "intended_use": "Boxes <in> a body & nothing else.",
            "set_by": "A. Physicist",
            "limits": {
                "hr_ctv": {
                    "surface_dsc": {"limit": 0.7, "tolerance_mm": 2, **reason},
                    "dsc": {"limit": 0.99, **reason},
                    "delta_d90_gy": {"limit": 2.5, **reason},
                },
                "bladder": {
                    "dsc": {"limit": 0.97, **reason},
                    "hd95_mm": {"limit": 10, **reason},
                    "added_path_length": {"limit": 0.5, **reason},
                    "delta_d2cc_gy": {"limit": 5, **reason},
                },
            },
        }
    )


@pytest.fixture(scope="session")
def with_thresholds() -> Callable[..., object]:
    """Function that loads the model with its network replaced by thresholds."""

    def load(path: Path, settings: PredictionSettings | None = None) -> object:
        model = load_model(path, settings)
        object.__setattr__(model, "network", Thresholds())
        return model

    return load


@pytest.fixture(scope="session")
def kit(
    model_path: Path,
    local: Cohort,
    doses: Path,
    limits: Limits,
    with_thresholds: Callable[..., object],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, CommissioningRecord]:
    folder = tmp_path_factory.mktemp("kits") / "kit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_model", with_thresholds)
        record = commission_model(model_path, local, limits, folder, doses=doses, settings=SETTINGS)
    return folder, record


def digest(patient: int) -> str:
    """Return the digest of a local scan's voxels."""
    return voxel_digest(Volume(boxes(patient)[0], GRID))
