"""Constancy check of a model: a synthetic scan gives the same voxels as on the day of commissioning."""

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from gynbtnet.imaging.files.mask_bits import read_mask_bits, write_mask_bits
from gynbtnet.imaging.structure_masks import StructureMasks
from gynbtnet.imaging.volume import Volume
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.review import review_segmentation, rules_sha256
from gynbtnet.phantom.case import pelvic_geometry, phantom_case
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, write_json

RECORD, MASKS = "self_test.json", "masks.nii.gz"
_SEED = 271
_SPACING, _MATRIX = (5.0, 3.0, 3.0), (40, 96, 128)


@dataclass(frozen=True)
class SelfTestRecord:
    """Result of a self-test, and all that it depends on.

    Attributes:
        time: when it was made, ISO 8601.
        conditions: model, settings, versions and device, by name.
        scan_sha256: SHA-256 of the voxels of the phantom.
        masks_sha256: SHA-256 of the voxels of all structures.
        structures: structures in the order of the bits.
    """

    time: str
    conditions: Mapping[str, str]
    scan_sha256: str
    masks_sha256: str
    structures: tuple[str, ...]


@dataclass(frozen=True)
class SelfTest:
    """A record with the masks that it describes."""

    record: SelfTestRecord
    masks: StructureMasks


@dataclass(frozen=True)
class SelfTestDifference:
    """Differences of two self-tests; empty if they are the same.

    Attributes:
        voxels: number of voxels that differ, by structure; only structures with a difference.
        changes: conditions that differ, one sentence each.
        same_scan: False if the phantom itself has other voxels.
    """

    voxels: Mapping[str, int]
    changes: tuple[str, ...]
    same_scan: bool = True

    @property
    def same_voxels(self) -> bool:
        """Return whether both give the same voxels."""
        return not self.voxels


def run_self_test(model: Segmenter, settings: PredictionSettings | None = None) -> SelfTest:
    """Predict the phantom.

    Args:
        model: the model.
        settings: settings of the prediction; None: the defaults.

    Returns:
        The structures after post-processing, and the record.

    Raises:
        BadInput: If the model needs more than a CT.
    """
    if len(model.channels) > 1:
        raise BadInput(
            f"The model reads the channels {', '.join(model.channels)}; the self-test has only a CT and can't check it."
        )
    settings = settings or PredictionSettings()
    scan = phantom_case(_SEED, 0, 0, pelvic_geometry(_SPACING, _MATRIX)).scan
    segmentation = review_segmentation(model, model.segment([scan], settings), settings).segmentation
    masks = StructureMasks.of({name: segmentation.mask(name) for name in segmentation.structures}, scan.geometry)
    record = SelfTestRecord(
        time=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        conditions=_conditions(model, settings),
        scan_sha256=_digest(scan),
        masks_sha256=_digest(masks.bits),
        structures=segmentation.structures,
    )
    return SelfTest(record, masks)


def record_self_test(test: SelfTest, folder: Path) -> None:
    """Write a self-test to a new folder, as the one that later ones are compared with.

    Args:
        test: the self-test.
        folder: folder to make.

    Raises:
        BadInput: If the folder exists.
    """
    if folder.exists():
        raise BadInput(
            f"{folder} exists; a record that later tests are compared with isn't replaced. Give a new folder, or "
            "delete this one."
        )
    with atomic_write(folder) as partial:
        partial.mkdir()
        write_mask_bits(test.masks, partial / MASKS)
        write_json(test.record, partial / RECORD)


def read_self_test(folder: Path) -> SelfTest:
    """Read a self-test that :func:`record_self_test` wrote.

    Args:
        folder: folder of the record.

    Returns:
        The self-test.

    Raises:
        BadInput: If it is absent or damaged.
    """
    remedy = "record one with `gynbtnet monitor --self-test MODEL --record` on the day of commissioning"
    record = read_json(SelfTestRecord, folder / RECORD, remedy)
    masks = read_mask_bits(folder / MASKS, record.structures)
    if masks.bits.geometry.shape != _MATRIX:
        raise BadInput(f"{folder} is of a version with another synthetic scan; {remedy}.")
    if _digest(masks.bits) != record.masks_sha256:
        raise BadInput(f"{folder / MASKS} has other voxels than {RECORD} states; {remedy}.")
    return SelfTest(record, masks)


def compare_self_tests(before: SelfTest, now: SelfTest) -> SelfTestDifference:
    """Compare a self-test with an earlier one.

    Args:
        before: the earlier self-test.
        now: the present one.

    Returns:
        The differing voxels of each structure, and what else has changed.
    """
    old, new = before.record.conditions, now.record.conditions
    changes = tuple(
        f"{name}: {old.get(name, 'none')} → {new.get(name, 'none')}"
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    )
    nothing = np.zeros(_MATRIX, bool)
    voxels = {}
    for name in dict.fromkeys((*before.record.structures, *now.record.structures)):
        one, other = (test.masks.mask(name) if name in test.record.structures else nothing for test in (before, now))
        if differing := int(np.count_nonzero(one != other)):
            voxels[name] = differing
    return SelfTestDifference(voxels, changes, before.record.scan_sha256 == now.record.scan_sha256)


def _conditions(model: Segmenter, settings: PredictionSettings) -> dict[str, str]:
    device = str(model.device)
    if device.startswith("cuda"):
        device = f"{device} ({torch.cuda.get_device_name(model.device)})"
    libraries = ("gynbtnet", "torch", "numpy", "scipy", "SimpleITK", *model.libraries)
    return {
        "weights (SHA-256)": model.sha256,
        "rules (SHA-256)": rules_sha256(model),
        "settings": settings.model_dump_json(),
        "device": device,
        "threads": str(torch.get_num_threads()),
        **{name: version(name) for name in dict.fromkeys(libraries)},
    }


def _digest(volume: Volume) -> str:
    """Return the SHA-256 of the voxels, their type and the grid."""
    array = np.ascontiguousarray(volume.array)
    head = f"{array.dtype.newbyteorder('<')} {array.shape} {volume.geometry.to_json()}"
    return hashlib.sha256(head.encode() + array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()
