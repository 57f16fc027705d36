"""Objective of stage 1 of Swin-UNETR: inpainting, rotation and contrast.

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
from gynbtnet.training.recording.training_pictures import Plane, grey_rows

_ROTATIONS = 4
_TEMPERATURE = 0.5
_CUT_EDGES = (1 / 20, 1 / 4)  # shortest and longest edge of a cut-out, relative to the patch


@dataclass(frozen=True)
class Views:
    """Two views of each patch of a batch: the first of every patch, then the second of every patch.

    Attributes:
        target: (2 · batch, channels, z, y, x), rotated about z.
        rotations: (2 · batch,), number of 90° rotations, 0 to 3.
        cut: (2 · batch, 1, z, y, x), True for voxels that are cut out.
    """

    target: Tensor
    rotations: Tensor
    cut: Tensor

    @property
    def seen(self) -> Tensor:
        """Input of the network: ``target`` with zeros, the mean of a normalised scan, in the cut-outs."""
        return self.target.masked_fill(self.cut, 0.0)


@dataclass(frozen=True)
class SwinProxyTasks:
    """Sum of three losses with weight 1 each: inpainting (L1), rotation (cross-entropy), contrast (NT-Xent).

    The score is this sum on fixed views.

    Attributes:
        network: a :class:`gynbtnet.networks.swin_pretraining.SwinPretraining`.
        cutout_ratio: minimum share of a view's voxels that is cut out.
        title: title of the progress bar.
    """

    network: nn.Module
    cutout_ratio: float
    title: str = "Pretraining"

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the sum on the validation patches and of its three parts."""
        return ("validation_loss", "validation_inpainting", "validation_rotation", "validation_contrast")

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of two views of each patch; the contrastive loss compares them with the other patches."""
        views = draw_views(batch, self.cutout_ratio)
        outputs = network(views.seen)
        return (
            l1_loss(outputs.image, views.target)
            + cross_entropy(outputs.rotation, views.rotations)
            + contrastive_loss(outputs.representation)
        )

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """Return the losses over ``patches``; the contrastive loss compares the views of all of them."""
        inpainting, rotation, representations = [], [], []
        for patch in patches:
            views = draw_views(patch, self.cutout_ratio)
            outputs = self.network(views.seen)
            inpainting.append(l1_loss(outputs.image, views.target).item())
            rotation.append(cross_entropy(outputs.rotation, views.rotations).item())
            representations.append(outputs.representation.unflatten(0, (2, -1)))
        parts = (
            float(np.mean(inpainting)),
            float(np.mean(rotation)),
            contrastive_loss(torch.cat(representations, 1).flatten(0, 1)).item(),
        )
        return dict(zip(self.score_names, (sum(parts), *parts), strict=True))

    def score(self, scores: Mapping[str, float]) -> float:
        """Return the negative sum."""
        return -scores["validation_loss"]

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """Plot the first view of each patch: the target, the input and the reconstruction; middle slice."""
        return grey_rows(("scan, rotated", "seen", "reconstructed"), [self._planes(patch) for patch in patches])

    def _planes(self, patch: Batch) -> list[Plane]:
        views = draw_views(patch, self.cutout_ratio)
        reconstructed = self.network(views.seen).image.float()
        volumes = (views.target, views.target.masked_fill(views.cut, torch.nan), reconstructed)
        middle = views.target.shape[2] // 2
        return [volume[0, 0, middle].cpu().numpy() for volume in volumes]


def draw_views(batch: Batch, cutout_ratio: float) -> Views:
    """Draw two views of each patch from the patch's own seed, so that neither batch nor device changes them.

    Boxes are cut out one by one, each edge at most a quarter of the patch's edge, until ``cutout_ratio`` of the voxels
    is removed.

    Args:
        batch: patches with ``image`` and ``seeds``, as long along y as along x.
        cutout_ratio: minimum share of the voxels to cut out of each view.
    """
    image = batch["image"]
    generators = [torch.Generator().manual_seed(seed) for seed in batch["seeds"].tolist()]
    rotations = torch.stack([torch.randint(_ROTATIONS, (2,), generator=g) for g in generators], 1).flatten()
    cut = torch.stack(
        [torch.stack([_cut_outs(image.shape[2:], cutout_ratio, g) for _ in range(2)]) for g in generators], 1
    )
    patches = zip(torch.cat((image, image)), rotations, strict=True)
    rotated = [patch.rot90(int(number), (2, 3)) for patch, number in patches]
    return Views(torch.stack(rotated), rotations.to(image.device), cut.flatten(0, 1)[:, None].to(image.device))


def _cut_outs(shape: Sequence[int], share: float, random: torch.Generator) -> Tensor:
    cut = torch.zeros(*shape, dtype=torch.bool)
    while cut.count_nonzero() < share * prod(shape):
        shortest, longest = (torch.tensor([max(1, round(n * edge)) for n in shape]) for edge in _CUT_EDGES)
        edges = shortest + (torch.rand(3, generator=random) * (longest - shortest + 1)).long()
        corner = (torch.rand(3, generator=random) * (torch.tensor(shape) - edges + 1)).long()
        z, y, x = (slice(int(low), int(low + edge)) for low, edge in zip(corner, edges, strict=True))
        cut[z, y, x] = True
    return cut


def contrastive_loss(representations: Tensor) -> Tensor:
    """Return NT-Xent, which is low if each view is most similar to the other view of its patch.

    The source is equation 1 of Chen et al. 2020, with temperature 0.5.

    Args:
        representations: (2 · patches, features), the first views of all patches, then the second.

    Returns:
        The mean over views of the cross-entropy among all other views; zero for a single patch.
    """
    unit = normalize(representations.float(), dim=1)
    similarity = unit @ unit.T / _TEMPERATURE
    similarity = similarity.masked_fill(torch.eye(len(unit), dtype=torch.bool, device=unit.device), -torch.inf)
    return cross_entropy(similarity, torch.arange(len(unit), device=unit.device).roll(len(unit) // 2))
