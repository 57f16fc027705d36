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
from gynbtnet.training.data.batches import Batch
from gynbtnet.training.objectives.losses import SPARK_EPSILON, masked_l2, with_contrast_of
from gynbtnet.training.training_pictures import Plane, grey_rows


@dataclass(frozen=True)
class MaskedModellingObjective:
    """L2 on the masked cells, a mask cell being one voxel of the deepest level; the score is that loss on fixed masks.

    Attributes:
        mask_ratio: share of the cells that is hidden.
        normalise_target: as ``normalise`` of :func:`masked_l2`.
        epsilon_hu: root of what is added to the variance of each cell of a CT channel, in HU; None for SparK's 1e-6.
            With it, a batch has ``units``.
        ct: for each channel, whether it is CT; the others take SparK's 1e-6.
    """

    network: MaskedAutoencoder
    mask_ratio: float
    normalise_target: bool
    title: str = "Pretraining"
    epsilon_hu: float | None = None
    ct: tuple[bool, ...] = (True,)

    @property
    def score_names(self) -> tuple[str, ...]:
        """The loss on the validation patches."""
        return ("validation_loss",)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean squared error over the masked cells, each patch's mask drawn from its own seed."""
        active = self._active(batch)
        reconstruction = network(batch["image"], active)
        return masked_l2(
            reconstruction,
            batch["image"],
            ~active.mask,
            normalise=self.normalise_target,
            epsilon=self._epsilon(batch),
        )

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
            filled = with_contrast_of(image, filled, active.grid, self._epsilon(patch))
        volumes = (image, torch.where(hidden, torch.nan, image), torch.where(hidden, filled, image))
        middle = image.shape[2] // 2
        return [volume[0, 0, middle].cpu().numpy() for volume in volumes]

    def _epsilon(self, batch: Batch) -> Tensor | float:
        """What is added to the variance of a cell: each patch has its own scan's unit, which z-scoring made."""
        if self.epsilon_hu is None:
            return SPARK_EPSILON
        of_ct = (self.epsilon_hu / batch["units"]) ** 2
        return torch.where(torch.tensor(self.ct, device=of_ct.device), of_ct, SPARK_EPSILON)

    def _active(self, batch: Batch) -> ActiveBlocks:
        """Drawn sample by sample on the CPU, so that neither the batch nor the device changes a patch's mask."""
        grid = self.network.encoder.deepest_grid(batch["image"].shape[2:])
        masks = [
            draw_active_blocks(1, grid, self.mask_ratio, torch.Generator().manual_seed(seed)).mask
            for seed in batch["seeds"].tolist()
        ]
        return ActiveBlocks(torch.cat(masks).to(batch["image"].device))
