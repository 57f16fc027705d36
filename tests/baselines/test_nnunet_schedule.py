"""Learning rate by the used share of a run of nnU-Net."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from gynbtnet.baselines.nnunet_schedule import schedule_by_share
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.runtime import BadInput

SHARES = [step / 8 for step in range(8)]


class PolyLRScheduler(LRScheduler):
    """A schedule with the name of nnU-Net's."""

    def get_lr(self) -> list[float | torch.Tensor]:
        return [group["lr"] for group in self.optimizer.param_groups]


def trainer(kind: type[LRScheduler], *arguments: Any) -> SimpleNamespace:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.01)
    return SimpleNamespace(optimizer=optimizer, lr_scheduler=kind(optimizer, *arguments), initial_lr=0.01)


def rates(shares: Iterable[float], **settings: Any) -> list[float]:
    """Rates of the steps that begin at the given used shares."""
    current = trainer(PolyLRScheduler)
    values, remaining = [], list(shares)
    schedule_by_share(current, NnUNetSettings(**settings), lambda: remaining[0])
    while remaining:
        current.lr_scheduler.step()
        values.append(current.optimizer.param_groups[0]["lr"])
        remaining.pop(0)
    return values


def test_cosine_is_pytorchs() -> None:
    expected = trainer(CosineAnnealingLR, 8)
    for rate in rates(SHARES, schedule="cosine"):
        assert rate == pytest.approx(expected.optimizer.param_groups[0]["lr"])
        expected.optimizer.step()
        expected.lr_scheduler.step()


def test_poly_is_its_own() -> None:
    polylr = pytest.importorskip("nnunetv2.training.lr_scheduler.polylr", reason="needs the extra gynbtnet[nnunet]")
    expected = trainer(polylr.PolyLRScheduler, 0.01, 8)
    for step, rate in enumerate(rates(SHARES, budget={"cpu_seconds": 90})):
        expected.lr_scheduler.step(step)
        assert rate == pytest.approx(expected.optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize(("budget", "first"), [({"cpu_seconds": 90}, 0.01 / 101), ({"steps": 20}, 0.01 / 11)])
def test_it_rises_in_the_warm_up_and_falls_after_it(budget: dict[str, float], first: float) -> None:
    values = rates((0, 0.25, 0.5, 0.75, 1.5), budget=budget, warm_up_share=0.5)
    assert values[0] == pytest.approx(first)
    assert values[0] < values[1] < values[2] == 0.01
    assert 0.01 > values[3] > values[4] > 0


def test_a_trainer_with_its_own_schedule_is_refused() -> None:
    current = trainer(CosineAnnealingLR, 3)
    schedule_by_share(current, NnUNetSettings(), lambda: 0.5)
    assert isinstance(current.lr_scheduler, CosineAnnealingLR)
    with pytest.raises(BadInput, match="has its own schedule"):
        schedule_by_share(current, NnUNetSettings(schedule="poly"), lambda: 0.5)
