"""Stage 1: reconstruct what was hidden."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.sparse.masking import draw_active_blocks
from gynbtnet.training.batches import Batch
from gynbtnet.training.losses import masked_l2, with_contrast_of
from gynbtnet.training.pictures import Plane, grey_rows


@dataclass(frozen=True)
class MaskedModelling:
    """L2 on the masked cells, a mask cell being one voxel of the deepest level; the score is that loss on fixed masks.

    Attributes:
        mask_ratio: share of the cells that is hidden.
        normalise_target: as ``normalise`` of :func:`masked_l2`.
    """

    network: MaskedAutoencoder
    mask_ratio: float
    normalise_target: bool
    title: str = "Pretraining"

    @property
    def score_names(self) -> tuple[str, ...]:
        """The loss on the validation patches."""
        return ("validation_loss",)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean squared error over the masked cells, each patch's mask drawn from its own seed."""
        active = self._active(batch)
        reconstruction = network(batch["image"], active)
        return masked_l2(reconstruction, batch["image"], ~active.mask, normalise=self.normalise_target)

    def validate(self, patches: Iterable[Batch]) -> dict[str, float]:
        """The mean loss over ``patches``."""
        return {"validation_loss": float(np.mean([self.loss(self.network, patch).item() for patch in patches]))}

    def score(self, scores: Mapping[str, float]) -> float:
        """The loss turned round."""
        return -scores["validation_loss"]

    def picture(self, patches: Sequence[Batch]) -> Figure:
        """Scan, masked scan, and the scan with the reconstruction in the masked cells; middle slice of each patch.

        A network that learned normalised cells says nothing of a cell's mean and contrast: the picture lends it the
        true ones, and says so.
        """
        lent = ",\nwith true mean and contrast" if self.normalise_target else ""
        titles = ("scan", "seen", f"reconstructed{lent}")
        return grey_rows(titles, [self._planes(patch) for patch in patches])

    def _planes(self, patch: Batch) -> list[Plane]:
        image, active = patch["image"], self._active(patch)
        hidden = interpolate((~active.mask)[:, None].float(), image.shape[2:]) > 0
        filled = self.network(image, active).float()
        if self.normalise_target:
            filled = with_contrast_of(image, filled, active.grid)
        volumes = (image, torch.where(hidden, torch.nan, image), torch.where(hidden, filled, image))
        middle = image.shape[2] // 2
        return [volume[0, 0, middle].cpu().numpy() for volume in volumes]

    def _active(self, batch: Batch) -> ActiveBlocks:
        """Drawn sample by sample on the CPU, so that neither the batch nor the device changes a patch's mask."""
        grid = self.network.encoder.deepest_grid(batch["image"].shape[2:])
        masks = [
            draw_active_blocks(1, grid, self.mask_ratio, torch.Generator().manual_seed(seed)).mask
            for seed in batch["seeds"].tolist()
        ]
        return ActiveBlocks(torch.cat(masks).to(batch["image"].device))
