"""Random changes to a patch that leave it a patient: nnU-Net's recipe, through batchgeneratorsv2."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

from gynbtnet.runtime.array_types import Triple
from gynbtnet.training.data.spatial_augmentation import SpatialAugmentation, draw_spatial_augmentation, is_flat

_X = 2


@dataclass(frozen=True)
class Augmentation:
    """Turns a box of a scan into a changed patch of ``patch_size``.

    ``full`` rotates and scales one patch in five each, then adds noise, blurs, brightens, changes contrast, resolution
    and gamma with nnU-Net's probabilities, and mirrors; ``light`` mirrors; ``none`` returns the box.

    Attributes:
        kind: how much is changed.
        patch_size: voxels (z, y, x).
        mirror_axes: positions among (z, y, x) of the axes that are mirrored, each half of the time.
        mirrored_labels: for each label the one that its structure has once x is mirrored; None if labels stay.
    """

    kind: Literal["full", "light", "none"]
    patch_size: Triple
    mirror_axes: tuple[int, ...] = (0, 1, 2)
    mirrored_labels: tuple[int, ...] | None = None

    def draw(self, random: np.random.Generator) -> SpatialAugmentation:
        """How the next patch is rotated and scaled, and so which box of the scan it shows."""
        return (
            draw_spatial_augmentation(self.patch_size, random)
            if self.kind == "full"
            else SpatialAugmentation(self.patch_size)
        )

    def __call__(
        self,
        image: npt.NDArray[np.float32],
        labels: npt.NDArray[np.uint8] | None,
        change: SpatialAugmentation,
        seed: npt.NDArray[np.uint32],
    ) -> tuple[torch.Tensor, torch.Tensor | None, bool]:
        """Change ``image`` (channel, z, y, x) and ``labels`` (z, y, x), both of the change's box, as ``seed`` says.

        The arrays may be written to.

        Returns:
            The changed image and labels, and whether ``mirrored_labels`` were applied.
        """
        swapped = False
        with _alone(seed):
            patch: dict[str, Any] = {"image": change.image(torch.from_numpy(image))}
            if labels is not None:
                patch["segmentation"] = torch.from_numpy(change.labels(labels))[None]
            if self.kind != "none":
                patch, swapped = self._mirrored(
                    patch if self.kind == "light" else _transforms(self.patch_size)(**patch)
                )
        changed = patch["segmentation"][0].contiguous() if labels is not None else None
        return patch["image"].contiguous(), changed, swapped

    def _mirrored(self, patch: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        mirror = MirrorTransform(allowed_axes=self.mirror_axes)
        drawn = mirror.get_parameters(**patch)
        mirrored = mirror.apply(patch, **drawn)
        if self.mirrored_labels is None or _X not in drawn["axes"]:
            return mirrored, False
        if "segmentation" in mirrored:
            labels = torch.tensor(self.mirrored_labels, dtype=mirrored["segmentation"].dtype)
            mirrored = mirrored | {"segmentation": labels[mirrored["segmentation"].long()]}
        return mirrored, True


@cache
def _transforms(patch_size: Triple) -> BasicTransform:
    always: dict[str, Any] = {"p_per_channel": 1, "synchronize_channels": False}
    brighter, steeper = BGContrast((0.75, 1.25)), BGContrast((0.7, 1.5))
    thick = (0,) if is_flat(patch_size) else ()
    coarser = SimulateLowResolutionTransform(
        (0.5, 1), synchronize_channels=False, synchronize_axes=True, ignore_axes=thick, p_per_channel=0.5
    )
    steps: tuple[tuple[float, BasicTransform], ...] = (
        (0.1, GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True)),
        (0.2, GaussianBlurTransform((0.5, 1.0), p_per_channel=0.5)),
        (0.15, MultiplicativeBrightnessTransform(brighter, **always)),
        (0.15, ContrastTransform(brighter, preserve_range=True, **always)),
        (0.25, coarser),
        (0.1, GammaTransform(steeper, p_invert_image=1, p_retain_stats=1, **always)),
        (0.3, GammaTransform(steeper, p_invert_image=0, p_retain_stats=1, **always)),
    )
    return ComposeTransforms([RandomTransform(step, probability) for probability, step in steps])


@contextmanager
def _alone(seed: npt.NDArray[np.uint32]) -> Iterator[None]:
    """Let the global generators, which batchgeneratorsv2 draws from, follow ``seed`` for a while, then go on as before.

    One thread meanwhile: sums over several threads round differently, and the patch must be the same in a worker
    process, which has one thread, as in the main process.
    """
    state, threads = np.random.get_state(), torch.get_num_threads()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed[0]))
        np.random.seed(seed)  # noqa: NPY002
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            np.random.set_state(state)  # noqa: NPY002
