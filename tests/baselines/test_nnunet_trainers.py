"""Trainer classes of nnU-Net by name, and their optimiser."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gynbtnet.baselines.nnunet_trainers import check_trainer, configure_optimiser, find_trainer
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.runtime import BadInput

pytest.importorskip("nnunetv2", reason="the baseline nnU-Net needs the extra gynbtnet[nnunet]")


@pytest.mark.parametrize(
    "name", ["nnUNetTrainer_None", "os", "nnUNetTrainer_5epochs", "nnUNetTrainerBenchmark_5epochs"]
)
def test_unknown_trainers_and_those_of_a_fixed_length_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"no trainer '{name}' .* expected, e.g., nnUNetTrainer, nnUNetTrainerAdam"):
        check_trainer(name)


@pytest.mark.slow
def test_a_variant_is_found_without_torchvision() -> None:
    script = (
        "import sys; from gynbtnet.baselines.nnunet_trainers import check_trainer, find_trainer\n"
        "check_trainer('nnUNetTrainer_DASegOrd0'); assert 'nnunetv2' not in sys.modules\n"
        "print(find_trainer('nnUNetTrainer_DASegOrd0').__name__, 'torchvision' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["nnUNetTrainer_DASegOrd0", "False"]


def configured(name: str, **settings: Any) -> tuple[Any, Any]:
    """Optimiser and schedule of a trainer with a network of one layer."""
    kind = find_trainer(name)
    trainer = object.__new__(kind)
    own = SimpleNamespace(initial_lr=0.01, weight_decay=3e-5, num_epochs=1000, network=torch.nn.Linear(2, 1))
    trainer.__dict__ |= vars(own)
    configure_optimiser(trainer, NnUNetSettings(**settings))
    optimizer, schedule = trainer.configure_optimizers()
    return optimizer, schedule


def test_the_published_optimiser_is_the_default() -> None:
    optimizer, schedule = configured("nnUNetTrainer")
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.01, 0.99, True, 3e-5)
    assert type(schedule).__name__ == "PolyLRScheduler"


def test_settings_change_the_optimiser() -> None:
    settings = {"learning_rate": 3e-3, "weight_decay": 0.01}
    for name, optimiser in (("nnUNetTrainer", "adamw"), ("nnUNetTrainerAdam", None)):
        optimizer, schedule = configured(name, optimiser=optimiser, **settings)
        assert isinstance(optimizer, torch.optim.AdamW)
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (3e-3, 0.01)
        assert schedule.initial_lr == 3e-3
    optimizer, _ = configured("nnUNetTrainer", momentum=0.9)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert isinstance(configured("nnUNetTrainer", optimiser="sgd")[0], torch.optim.SGD)


def test_an_optimiser_that_a_trainer_does_not_take_is_refused() -> None:
    with pytest.raises(BadInput, match="nnUNetTrainerAdam has its own optimiser or schedule"):
        configured("nnUNetTrainerAdam", optimiser="sgd")
    with pytest.raises(BadInput, match="nnUNetTrainerAdam uses AdamW; omit momentum"):
        configured("nnUNetTrainerAdam", momentum=0.9)
