"""A model whose weights are set by hand: what is brighter than the scan's mean is a structure."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.inference.models.model import Model
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan

PUBLIC_DATA = Path(__file__).parents[3] / "shared" / "data"
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))


@pytest.fixture(scope="session")
def public_data() -> Path:
    if not (PUBLIC_DATA / "sts").is_dir():
        pytest.skip(f"the public scans are not at {PUBLIC_DATA.name}/ beside the repository")
    return PUBLIC_DATA


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    plan = Plan(
        structures=("bladder", "rectum"),
        spacing=(2.0, 2.0, 2.0),
        normalisation="zscore",
        intensities=None,
        patch_size=(16, 32, 32),
        batch_size=2,
        preset="XS",
        strides=STRIDES,
    )
    torch.manual_seed(0)
    network = GynBTNet("XS", outputs=3, strides=STRIDES)
    folder = tmp_path / "model"
    save_plan(plan, folder)
    save_file(network.state_dict(), folder / "weights_last.safetensors")
    return folder


class Bright(torch.nn.Module):
    """Network that finds the bladder above one standard deviation, and never a rectum."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([1 - image, image - 1, torch.full_like(image, -9)], 1)


@pytest.fixture
def bright_model(model_folder: Path) -> Model:
    model = Model.load(model_folder)
    object.__setattr__(model, "network", Bright())
    return model
