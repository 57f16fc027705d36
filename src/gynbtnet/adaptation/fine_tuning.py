"""Training of the last decoder levels on a few patches, for a limited time."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gynbtnet.adaptation.patches import PatchSource, draw_batch
from gynbtnet.adaptation.settings import AdaptationSettings
from gynbtnet.networks.unet import GynBTNet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.runtime.progress import progress_bar
from gynbtnet.training.data.batches import move_batch
from gynbtnet.training.objectives.segmentation_objective import SegmentationObjective

_UNKNOWN_STEPS = 1000
"""Length of the progress bar without a number of steps."""


@dataclass(frozen=True)
class FineTuned:
    """Result of the training.

    Attributes:
        network: trained copy of the network, in evaluation mode.
        steps: number of steps.
        seconds: their duration.
    """

    network: nn.Module
    steps: int
    seconds: float


def fine_tune(
    network: GynBTNet,
    sources: Sequence[PatchSource],
    plan: Plan,
    settings: AdaptationSettings,
    *,
    seconds: float,
    steps: int | None,
    clock: Callable[[], float] = time.perf_counter,
) -> FineTuned:
    """Train a copy of the network; only its last decoder levels and the head change.

    The same number of steps gives the same weights on a CPU.

    Args:
        network: network, which stays as it is.
        sources: prepared fractions.
        plan: plan of the network.
        settings: levels, learning rate and seed.
        seconds: longest time; no step begins that would end later if it took as long as the longest one so far.
        steps: largest number of steps; None: as many as the time allows.
        clock: clock in seconds.
    """
    own = copy.deepcopy(network).eval().requires_grad_(False)
    trained = nn.ModuleList([*own.decoder.projections[-settings.levels :], *own.decoder.levels[-settings.levels :]])
    trained.append(own.decoder.heads[-1])
    trained.requires_grad_(True)
    device = next(own.parameters()).device
    objective = SegmentationObjective(own, plan.structures, batch_dice=False, regions=plan.regions)
    optimizer = torch.optim.AdamW(trained.parameters(), settings.learning_rate)
    random = np.random.default_rng(settings.seed)
    began, longest, done = clock(), 0.0, 0
    with progress_bar("Adapting to the patient", steps or _UNKNOWN_STEPS) as advance:
        while steps is None or done < steps:
            start = clock()
            if start - began + longest > seconds:
                break
            batch = move_batch(draw_batch(sources, plan.patch_size, plan.batch_size, random), lambda t: t.to(device))
            loss = objective.loss(own, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            longest, done = max(longest, clock() - start), done + 1
            advance()
    return FineTuned(own.requires_grad_(False), done, clock() - began)
