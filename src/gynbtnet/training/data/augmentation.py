"""Data augmentation as in nnU-Net, with the transforms of batchgeneratorsv2."""

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
    """Augmentation of a box of a scan; the result is a patch of ``patch_size``.

    ``full`` rotates one patch in five and scales one in five. With nnU-Net's probabilities it then adds noise, blurs,
    brightens, and changes contrast, resolution and gamma; at last it mirrors. ``light`` only mirrors, and ``none``
    returns the box.

    Attributes:
        kind: ``full``, ``light`` or ``none``.
        patch_size: voxels (z, y, x).
        mirror_axes: positions among (z, y, x) of the axes that are mirrored, each with probability 0.5.
        mirrored_labels: new label of each label after mirroring along x; None if labels don't change.
    """

    kind: Literal["full", "light", "none"]
    patch_size: Triple
    mirror_axes: tuple[int, ...] = (0, 1, 2)
    mirrored_labels: tuple[int, ...] | None = None

    def draw(self, random: np.random.Generator) -> SpatialAugmentation:
        """Draw rotation and scaling of the next patch, which determine its box in the scan."""
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
        """Augment an image and its labels, both cropped to the box of ``change``.

        Args:
            image: (channel, z, y, x); may be overwritten.
            labels: (z, y, x), or None; may be overwritten.
            change: rotation and scaling from :meth:`draw`.
            seed: seed of all other random changes.

        Returns:
            The augmented image and labels, and whether ``mirrored_labels`` were applied.
        """
        swapped = False
        with _seeded_single_thread(seed):
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
        parameters = mirror.get_parameters(**patch)
        mirrored = mirror.apply(patch, **parameters)
        if self.mirrored_labels is None or _X not in parameters["axes"]:
            return mirrored, False
        if "segmentation" in mirrored:
            labels = torch.tensor(self.mirrored_labels, dtype=mirrored["segmentation"].dtype)
            mirrored = mirrored | {"segmentation": labels[mirrored["segmentation"].long()]}
        return mirrored, True


@cache
def _transforms(patch_size: Triple) -> BasicTransform:
    per_channel: dict[str, Any] = {"p_per_channel": 1, "synchronize_channels": False}
    brighter, steeper = BGContrast((0.75, 1.25)), BGContrast((0.7, 1.5))
    thick_axes = (0,) if is_flat(patch_size) else ()
    coarser = SimulateLowResolutionTransform(
        (0.5, 1), synchronize_channels=False, synchronize_axes=True, ignore_axes=thick_axes, p_per_channel=0.5
    )
    steps: tuple[tuple[float, BasicTransform], ...] = (
        (0.1, GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True)),
        (0.2, GaussianBlurTransform((0.5, 1.0), p_per_channel=0.5)),
        (0.15, MultiplicativeBrightnessTransform(brighter, **per_channel)),
        (0.15, ContrastTransform(brighter, preserve_range=True, **per_channel)),
        (0.25, coarser),
        (0.1, GammaTransform(steeper, p_invert_image=1, p_retain_stats=1, **per_channel)),
        (0.3, GammaTransform(steeper, p_invert_image=0, p_retain_stats=1, **per_channel)),
    )
    return ComposeTransforms([RandomTransform(step, probability) for probability, step in steps])


@contextmanager
def _seeded_single_thread(seed: npt.NDArray[np.uint32]) -> Iterator[None]:
    """Seed the global generators, from which batchgeneratorsv2 draws, inside the block; restore their state afterwards.

    The block uses one thread, because sums over several threads are rounded differently. The patch must be equal in the
    main process and in a worker process, which has one thread.
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
