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
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

Size = tuple[int, int, int]

_LARGEST_ANGLE = np.deg2rad(30)
_SCALES = (0.7, 1.4)  # above 1 the patch shows more of the patient
_AXES = (0, 1, 2)  # a pelvis seen in a mirror is a pelvis: the five structures have no side of their own


@dataclass(frozen=True)
class Augmentation:
    """Turns a crop of :attr:`crop_size` into a changed patch of ``patch_size``.

    ``full`` rotates and scales one patch in five each, then adds noise, blurs, brightens, changes contrast, resolution
    and gamma with nnU-Net's probabilities, and mirrors; ``light`` mirrors; ``none`` returns the crop.
    """

    kind: Literal["full", "light", "none"]
    patch_size: Size

    @property
    def crop_size(self) -> Size:
        """What must be cut from the scan (z, y, x) so that a patch turned about one axis lies within."""
        if self.kind != "full":
            return self.patch_size
        cosine, sine = np.cos(_LARGEST_ANGLE), np.sin(_LARGEST_ANGLE)
        z, y, x = self.patch_size
        across = [(z, max(y, x)), (y, max(z, x)), (x, max(z, y))]
        # nnU-Net's reckoning, 0.85 its scale: what a larger one shows beyond this repeats the border
        z, y, x = (int(np.ceil(max(n, cosine * n + sine * other) / 0.85)) for n, other in across)
        return z, y, x

    def __call__(
        self, image: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8] | None, seed: npt.NDArray[np.uint32]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Change ``image`` (channel, z, y, x) and ``labels`` (z, y, x) of :attr:`crop_size` as ``seed`` says."""
        patch: dict[str, Any] = {"image": torch.from_numpy(image)}
        if labels is not None:
            patch["segmentation"] = torch.from_numpy(labels)[None]
        if self.kind != "none":
            with _drawing_from(seed):
                patch = _transforms(self.kind, self.patch_size)(**patch)
        return patch["image"].contiguous(), patch["segmentation"][0].contiguous() if labels is not None else None


@cache
def _transforms(kind: str, patch_size: Size) -> BasicTransform:
    mirror = MirrorTransform(allowed_axes=_AXES)
    if kind == "light":
        return mirror
    # nnU-Net turns a patch of thick slices in plane only, since out of plane it would mix voxels of unequal size
    flat = max(patch_size) / min(patch_size) > 3
    always: dict[str, Any] = {"p_per_channel": 1, "synchronize_channels": False}
    brighter, steeper = BGContrast((0.75, 1.25)), BGContrast((0.7, 1.5))
    coarser = SimulateLowResolutionTransform(
        (0.5, 1), synchronize_channels=False, synchronize_axes=True, ignore_axes=(0,) if flat else (), p_per_channel=0.5
    )
    steps: tuple[tuple[float, BasicTransform], ...] = (
        (0.1, GaussianNoiseTransform((0, 0.1), p_per_channel=1)),
        (0.2, GaussianBlurTransform((0.5, 1.0), p_per_channel=0.5)),
        (0.15, MultiplicativeBrightnessTransform(brighter, **always)),
        (0.15, ContrastTransform(brighter, preserve_range=True, **always)),
        (0.25, coarser),
        (0.1, GammaTransform(steeper, p_invert_image=1, p_retain_stats=1, **always)),
        (0.3, GammaTransform(steeper, p_invert_image=0, p_retain_stats=1, **always)),
    )
    turn = SpatialTransform(
        patch_size,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=0.2,
        rotation=_angle_in_plane if flat else (-_LARGEST_ANGLE, _LARGEST_ANGLE),
        p_scaling=0.2,
        scaling=_SCALES,
        p_synchronize_scaling_across_axes=1,
        padding_mode_image="border",
    )
    return ComposeTransforms([turn, *(RandomTransform(step, probability) for probability, step in steps), mirror])


def _angle_in_plane(*, dim: int, **_: Any) -> float:
    return float(np.random.uniform(-_LARGEST_ANGLE, _LARGEST_ANGLE)) if dim == 0 else 0.0  # noqa: NPY002 - see _drawing_from


@contextmanager
def _drawing_from(seed: npt.NDArray[np.uint32]) -> Iterator[None]:
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
