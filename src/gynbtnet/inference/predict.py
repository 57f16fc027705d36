"""Contours of a scan, on the scan's own grid."""

import numpy as np
import numpy.typing as npt
import torch

from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.inference.model import Model
from gynbtnet.inference.settings import PredictionSettings
from gynbtnet.inference.sliding_window import slide
from gynbtnet.preparation.preprocess import preprocess_volume
from gynbtnet.preparation.resample import resample
from gynbtnet.preparation.turn import turn_between
from gynbtnet.progress import track

_SLAB_BYTES = 256 * 2**20


def predict(model: Model, volume: Volume, settings: PredictionSettings | None = None) -> Segmentation:
    """Contour the structures of ``model`` on a CT in HU of any grid, that of ``volume``."""
    settings = settings or PredictionSettings()
    image, grid = preprocess_volume([volume], model.plan)
    cuda = model.device.type == "cuda"
    bfloat16 = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
        logits = slide(
            model.network,
            image,
            model.plan.patch_size,
            overlap=settings.overlap,
            mirroring=settings.mirroring,
            device=model.device,
        )
    labels = labels_on(volume.geometry, logits.numpy(), grid)
    return Segmentation(Volume(labels, volume.geometry), model.plan.structures)


def labels_on(target: Geometry, logits: npt.NDArray[np.float32], source: Geometry) -> npt.NDArray[np.uint8]:
    """The highest of ``logits`` (channels, z, y, x) on ``source``, interpolated linearly at the voxels of ``target``.

    Slab by slab along the target's z, so that all logits at its resolution never exist.
    """
    turn = turn_between(source, target)
    logits, source = turn.array(logits), turn.geometry(source)
    labels = np.empty(target.shape, np.uint8)
    thickness = max(1, _SLAB_BYTES // (4 * len(logits) * target.shape[1] * target.shape[2]))
    for first in track(range(0, target.shape[0], thickness), "Contours on the scan"):
        slab = _slab(target, first, min(first + thickness, target.shape[0]))
        lowest, highest = source.to_index([slab.to_world((0, 0, 0)), slab.to_world((slab.shape[0] - 1, 0, 0))])[:, 0]
        low = int(np.clip(np.floor(lowest), 0, source.shape[0] - 1))
        high = int(np.clip(np.ceil(highest), low, source.shape[0] - 1)) + 1
        fine = resample(logits[:, low:high], _slab(source, low, high), slab, order=1)
        labels[first : first + slab.shape[0]] = torch.from_numpy(np.ascontiguousarray(fine)).argmax(0).numpy()
    return labels


def _slab(geometry: Geometry, first: int, last: int) -> Geometry:
    """The slices from ``first`` to before ``last`` of a grid."""
    _, rows, columns = geometry.shape
    origin = geometry.to_world((first, 0, 0))
    return Geometry((last - first, rows, columns), geometry.spacing, tuple(origin), geometry.direction)
