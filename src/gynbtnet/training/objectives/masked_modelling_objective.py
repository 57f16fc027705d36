"""Objective of stage 1: reconstruct the hidden cells of a scan."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.dense_masked_autoencoder import DenseMaskedAutoencoder
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.sparse.masking import draw_mask
from gynbtnet.sparse.registered_parts import MaskRule, Target
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.losses import SPARK_EPSILON, denormalise_cells, masked_l2
from gynbtnet.training.recording.training_pictures import Plane, grey_rows


@dataclass(frozen=True)
class MaskedModellingObjective:
    """Squared error on masked cells, each one voxel of the deepest level; the score is this loss on fixed masks.

    Attributes:
        network: masked autoencoder with a sparse or a dense encoder.
        mask_ratio: share of the cells that is hidden.
        normalise_target: as ``normalise`` of :func:`masked_l2`.
        title: title of the progress bar.
        epsilon_hu: standard deviation in HU whose square is added to the variance of each cell of a CT channel; None
            for SparK's 1e-6. If it is set, batches need ``units``.
        ct: True for each channel that is CT; the others use SparK's 1e-6.
        mask: rule that draws the mask of a patch; None: random cells.
        target: target of the reconstruction; None: the image.
    """

    network: MaskedAutoencoder | DenseMaskedAutoencoder
    mask_ratio: float
    normalise_target: bool
    title: str = "Pretraining"
    epsilon_hu: float | None = None
    ct: tuple[bool, ...] = (True,)
    mask: MaskRule | None = None
    target: Target | None = None

    @property
    def score_names(self) -> tuple[str, ...]:
        """Name of the loss on the validation patches."""
        return ("validation_loss",)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error over the masked cells; each patch's mask is drawn from its own seed."""
        active = self._active(batch)
        reconstruction = network(batch["image"], active)
        return masked_l2(
            reconstruction,
            self._target(batch["image"]),
            ~active.mask,
            normalise=self.normalise_target,
            epsilon=self._epsilon(batch),
        )

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """Return the mean loss over ``patches``."""
        return {"validation_loss": float(np.mean([self.loss(self.network, patch).item() for patch in patches]))}

    def score(self, scores: Mapping[str, float]) -> float:
        """Return the negative loss."""
        return -scores["validation_loss"]

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """Plot the scan, the masked scan, and the reconstruction in the masked cells; middle slice of each patch.

        A network that learned normalised cells doesn't predict a cell's mean and contrast. The picture uses the true
        ones, and its title mentions it.
        """
        addition = ",\nwith true mean and contrast" if self.normalise_target else ""
        titles = ("scan", "seen", f"reconstructed{addition}")
        return grey_rows(titles, [self._planes(patch) for patch in patches])

    def _planes(self, patch: Batch) -> list[Plane]:
        image, active = patch["image"], self._active(patch)
        hidden = interpolate((~active.mask)[:, None].float().to(image.device), image.shape[2:]) > 0
        filled, target = self.network(image, active).float(), self._target(image)
        if self.normalise_target:
            filled = denormalise_cells(target, filled, active.grid, self._epsilon(patch))
        volumes = (target, torch.where(hidden, torch.nan, image), torch.where(hidden, filled, target))
        middle = image.shape[2] // 2
        return [volume[0, 0, middle].cpu().numpy() for volume in volumes]

    def _epsilon(self, batch: Batch) -> Tensor | float:
        """Return the addition to the variance of a cell; each patch has the unit of its scan, which z-scoring set."""
        if self.epsilon_hu is None:
            return SPARK_EPSILON
        ct_epsilon = (self.epsilon_hu / batch["units"]) ** 2
        ct = torch.tensor(self.ct).to(ct_epsilon.device, non_blocking=True)
        return torch.where(ct, ct_epsilon, SPARK_EPSILON)

    def _target(self, image: Tensor) -> Tensor:
        """Return what the reconstruction is compared with, without gradients."""
        if self.target is None:
            return image
        with torch.no_grad():
            return self.target.make(image)

    def _active(self, batch: Batch) -> ActiveBlocks:
        """Draw the masks patch by patch on the CPU, so that neither batch nor device changes a patch's mask."""
        grid = self.network.encoder.deepest_grid(batch["image"].shape[2:])
        masks = [self._mask(grid, torch.Generator().manual_seed(seed)) for seed in batch["seeds"].tolist()]
        return ActiveBlocks(torch.cat(masks), batch["image"].device)

    def _mask(self, grid: Triple, generator: torch.Generator) -> Tensor:
        """Return the mask (1, z, y, x) of one patch."""
        if self.mask is None:
            return draw_mask(1, grid, self.mask_ratio, generator)
        mask = self.mask(grid, self.mask_ratio, generator)
        if tuple(mask.shape) != tuple(grid) or mask.dtype != torch.bool:
            raise BadInput(
                f"The registered mask is {mask.dtype} of shape {tuple(mask.shape)}; expected torch.bool of shape "
                f"{tuple(grid)}, true for visible cells."
            )
        if mask.all():
            raise BadInput(
                f"The registered mask hides none of the {mask.numel()} cells of a patch, so that there is nothing to "
                "reconstruct; expected at least one hidden cell."
            )
        return mask[None].cpu()
