"""Learning rate by the used share of a run of nnU-Net."""

from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import floats, sampled_from
from torch.optim.lr_scheduler import CosineAnnealingLR

from gynbtnet.baselines.nnunet_schedule import rate_factor, schedule_by_share
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.runtime import BadInput


def test_cosine_is_pytorchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    schedule = CosineAnnealingLR(optimizer, T_max=8)
    for step in range(8):
        assert rate_factor(step / 8, "cosine") == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_poly_is_its_own() -> None:
    polylr = pytest.importorskip("nnunetv2.training.lr_scheduler.polylr", reason="needs the extra gynbtnet[nnunet]")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    schedule = polylr.PolyLRScheduler(optimizer, 1.0, 8)
    for step in range(8):
        schedule.step(step)
        assert rate_factor(step / 8, "poly") == pytest.approx(optimizer.param_groups[0]["lr"])


@given(floats(0, 1), floats(0, 1), floats(0, 0.9), sampled_from(["poly", "cosine"]))
def test_it_rises_in_the_warm_up_and_falls_after_it(
    one: float, other: float, warm_up: float, schedule: Literal["poly", "cosine"]
) -> None:
    earlier, later = sorted((one, other))
    first, second = (rate_factor(share, schedule, warm_up) for share in (earlier, later))
    assert 0 <= min(first, second) <= max(first, second) <= 1
    if later < warm_up:
        assert first <= second
    elif earlier >= warm_up:
        assert first >= second
    assert rate_factor(warm_up, schedule, warm_up) == 1


def test_a_trainer_with_its_own_schedule_is_refused() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    trainer = SimpleNamespace(optimizer=optimizer, lr_scheduler=CosineAnnealingLR(optimizer, 3), initial_lr=1.0)
    schedule_by_share(trainer, NnUNetSettings(), lambda: 0.5)
    assert isinstance(trainer.lr_scheduler, CosineAnnealingLR)
    with pytest.raises(BadInput, match="schedule of its own"):
        schedule_by_share(trainer, NnUNetSettings(schedule="poly"), lambda: 0.5)
