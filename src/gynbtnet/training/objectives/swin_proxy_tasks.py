"""Stage 1 of Swin-UNETR: what was cut out, how it was turned, and whether it is the same place.

Tang et al. 2022, "Self-supervised pre-training of Swin transformers for 3D medical image analysis", CVPR, section 3.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, normalize

from gynbtnet.training.data.batches import Batch
from gynbtnet.training.training_pictures import Plane, grey_rows

_TURNS = 4
_TEMPERATURE = 0.5
_CUT_EDGES = (1 / 20, 1 / 4)  # shortest and longest edge of a cut-out, of the patch's


@dataclass(frozen=True)
class Views:
    """Two views of each patch of a batch: the first of every patch, then the second of every patch.

    Attributes:
        whole: (2 · batch, channels, z, y, x), turned about z.
        turns: (2 · batch,) quarter turns, 0 to 3.
        cut: (2 · batch, 1, z, y, x), True where voxels are cut out.
    """

    whole: Tensor
    turns: Tensor
    cut: Tensor

    @property
    def seen(self) -> Tensor:
        """``whole`` with zeros, the mean of a normalised scan, in the cut-outs."""
        return self.whole.masked_fill(self.cut, 0.0)


@dataclass(frozen=True)
class SwinProxyTasks:
    """The sum of three losses with weight 1 each: inpainting (L1), rotation (cross-entropy), contrast (NT-Xent).

    The score is that sum on fixed views. ``network`` is a :class:`gynbtnet.networks.swin_pretraining.SwinPretraining`.

    Attributes:
        cutout_ratio: share of a view's voxels that is cut out, at least.
    """

    network: nn.Module
    cutout_ratio: float
    title: str = "Pretraining"

    @property
    def score_names(self) -> tuple[str, ...]:
        """The sum on the validation patches, and what it is made of."""
        return ("validation_loss", "validation_inpainting", "validation_rotation", "validation_contrast")

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Inpainting, rotation and contrast of two views of each patch; the other patches are what it is told from."""
        views = draw_views(batch, self.cutout_ratio)
        answers = network(views.seen)
        return (
            l1_loss(answers.image, views.whole)
            + cross_entropy(answers.rotation, views.turns)
            + contrast(answers.representation)
        )

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """The losses over ``patches``, each view told from those of all the others."""
        inpainting, rotation, representations = [], [], []
        for patch in patches:
            views = draw_views(patch, self.cutout_ratio)
            answers = self.network(views.seen)
            inpainting.append(l1_loss(answers.image, views.whole).item())
            rotation.append(cross_entropy(answers.rotation, views.turns).item())
            representations.append(answers.representation.unflatten(0, (2, -1)))
        parts = (
            float(np.mean(inpainting)),
            float(np.mean(rotation)),
            contrast(torch.cat(representations, 1).flatten(0, 1)).item(),
        )
        return dict(zip(self.score_names, (sum(parts), *parts), strict=True))

    def score(self, scores: Mapping[str, float]) -> float:
        """The sum turned round."""
        return -scores["validation_loss"]

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """The first view of each patch as it was, as it is seen, and reconstructed; middle slice."""
        return grey_rows(("scan, turned", "seen", "reconstructed"), [self._planes(patch) for patch in patches])

    def _planes(self, patch: Batch) -> list[Plane]:
        views = draw_views(patch, self.cutout_ratio)
        reconstructed = self.network(views.seen).image.float()
        volumes = (views.whole, views.whole.masked_fill(views.cut, torch.nan), reconstructed)
        middle = views.whole.shape[2] // 2
        return [volume[0, 0, middle].cpu().numpy() for volume in volumes]


def draw_views(batch: Batch, cutout_ratio: float) -> Views:
    """Two views of each patch, drawn from the patch's own seed, so that neither batch nor device changes them.

    Quarter turns need patches as long along y as along x. Boxes are cut out one by one, each edge at most a quarter of
    the patch's, until ``cutout_ratio`` of the voxels is gone.
    """
    image = batch["image"]
    drawn = [torch.Generator().manual_seed(seed) for seed in batch["seeds"].tolist()]
    turns = torch.stack([torch.randint(_TURNS, (2,), generator=random) for random in drawn], 1).flatten()
    cut = torch.stack([torch.stack([_cut_outs(image.shape[2:], cutout_ratio, r) for _ in range(2)]) for r in drawn], 1)
    turned = [patch.rot90(int(turn), (2, 3)) for patch, turn in zip(torch.cat((image, image)), turns, strict=True)]
    return Views(torch.stack(turned), turns.to(image.device), cut.flatten(0, 1)[:, None].to(image.device))


def _cut_outs(shape: Sequence[int], share: float, random: torch.Generator) -> Tensor:
    cut = torch.zeros(*shape, dtype=torch.bool)
    while cut.count_nonzero() < share * prod(shape):
        shortest, longest = (torch.tensor([max(1, round(n * edge)) for n in shape]) for edge in _CUT_EDGES)
        edges = shortest + (torch.rand(3, generator=random) * (longest - shortest + 1)).long()
        corner = (torch.rand(3, generator=random) * (torch.tensor(shape) - edges + 1)).long()
        z, y, x = (slice(int(low), int(low + edge)) for low, edge in zip(corner, edges, strict=True))
        cut[z, y, x] = True
    return cut


def contrast(representations: Tensor) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1; temperature 0.5): each view is to be likest to the other of its patch.

    Args:
        representations: (2 · patches, features), the first views of all patches, then the second.

    Returns:
        The mean over views of the cross-entropy among all other views; zero for a single patch, which nothing is to be
        told from.
    """
    unit = normalize(representations.float(), dim=1)
    likeness = unit @ unit.T / _TEMPERATURE
    likeness = likeness.masked_fill(torch.eye(len(unit), dtype=torch.bool, device=unit.device), -torch.inf)
    return cross_entropy(likeness, torch.arange(len(unit), device=unit.device).roll(len(unit) // 2))
