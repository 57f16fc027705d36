"""Export of a model as a folder with which unmodified nnU-Net 2 predicts."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_archive import CARD
from gynbtnet.networks.transfer import PartNames
from gynbtnet.preparation.planning.nnunet_names import nnunet_outputs
from gynbtnet.preparation.planning.nnunet_plans import OURS, STOCK, to_nnunet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import ALL_AXES
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput

_OURS = ("dataset.json", "plans.json", "README.md", "fold_0", "gynbtnet.json", CARD)
_MARK = "gynbtnet.json"
_NETWORK = "gynbtnet.networks.nnunet_network.ReorientedGynBTNet"


def export_nnunet(model: Model, out: Path, *, force: bool = False, card: str | None = None) -> Path:
    """Write a model folder for ``nnUNetv2_predict_from_modelfolder -m``; GynBTNet must be installed there, too.

    If structures overlap, they are regions of nnU-Net. nnU-Net's window, overlap, mirroring and resampling are set to
    those of GynBTNet. The README in the folder lists the remaining differences.

    Args:
        model: GynBTNet model.
        out: folder to write.
        force: replace an earlier export.
        card: model card; None: the folder has none.

    Returns:
        The folder.

    Raises:
        BadInput: If the network is not GynBTNet, or ``out`` contains anything except an earlier export that ``force``
            may replace.
    """
    if model.plan.network != "gynbtnet":
        raise BadInput(f"{model.folder} is a {model.title} model; only GynBTNet can be exported for nnU-Net.")
    _check(out, force)
    with atomic_write(out) as partial:
        (partial / "fold_0").mkdir(parents=True)
        plans, dataset = _plans(model)
        for name, content in (("plans.json", plans), ("dataset.json", dataset)):
            _write(partial / name, content)
        _write(partial / _MARK, {"version": version("gynbtnet"), "weights_sha256": model.sha256})
        (partial / "README.md").write_text(_readme(model.plan), encoding="utf-8")
        if card is not None:
            (partial / CARD).write_text(card, encoding="utf-8")
        weights = {f"network.{name}": value for name, value in _ordered_weights(model, dataset).items()}
        torch.save(
            {
                "network_weights": weights,
                "trainer_name": "nnUNetTrainer",
                "init_args": {"configuration": STOCK},
                "inference_allowed_mirroring_axes": _mirroring(model.plan),
            },
            partial / "fold_0" / "checkpoint_final.pth",
        )
    return out


def _check(out: Path, force: bool) -> None:
    if (out / _MARK).is_file():
        if not force:
            raise BadInput(f"{out} contains an earlier export; replace it with --force, or give another folder.")
        others = sorted(path.name for path in out.glob("[!.]*") if path.name not in _OURS)
        if others:
            raise BadInput(f"{out} contains {others[0]!r}, which is not part of an export; give another folder.")
        return
    ensure_replaceable(out, _OURS, _MARK)


def _plans(model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``plans.json`` and ``dataset.json`` with our network under nnU-Net's usual configuration.

    nnU-Net's reader reorients all scans to one orientation, and the network reorients them to that of its training.
    """
    plans, dataset = to_nnunet(model.plan)
    architecture = plans["configurations"][OURS]["architecture"] | {"network_class_name": _NETWORK}
    reader = "NibabelIOWithReorient"
    plans |= {
        "image_reader_writer": reader,
        "configurations": {STOCK: plans["configurations"][STOCK] | {"architecture": architecture}},
    }
    return plans, dataset | {"numTraining": 0, "overwrite_image_reader_writer": reader}


def _ordered_weights(model: Model, dataset: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights with outputs in nnU-Net's order, which differs from ours if structures overlap."""
    weights = {name: value.cpu() for name, value in model.network.state_dict().items()}
    if not model.plan.overlapping:
        return weights
    order = [model.plan.structures.index(name) for name in nnunet_outputs(dataset)]
    heads = PartNames().heads
    return {name: value[order] if name.startswith(heads) else value for name, value in weights.items()}


def _readme(plan: Plan) -> str:
    text = _README.format(fold="0")
    if plan.overlapping:
        text += _OVERLAPPING
    if plan.nesting.pairs:
        nested = ", ".join(f"{inner} inside {outer}" for inner, outer in plan.nesting.pairs)
        text += f"- Nested structures ({nested}) are not kept inside each other.\n"
    return text


def _mirroring(plan: Plan) -> tuple[int, ...] | None:
    """Return the axes that nnU-Net may mirror; x only if no labels are swapped with it, because nnU-Net can't."""
    axes = tuple(ALL_AXES.index(axis) for axis in plan.mirror_axes if not (axis == "x" and plan.sides_swapped))
    return axes or None  # nnU-Net expects None instead of an empty tuple


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


_README = """# GynBTNet for nnU-Net

Research use only. nnU-Net 2 imports the network's class from GynBTNet, so both must be installed:

    pip install gynbtnet nnunetv2
    nnUNetv2_predict_from_modelfolder -i SCANS -o CONTOURS -m THIS_FOLDER -f {fold}

Scans are CTs in HU of any orientation, named `NAME_0000.nii.gz`; further channels are `NAME_0001.nii.gz` and so on.
The labels are those of `gynbtnet predict`, except for single voxels at borders. nnU-Net differs in these points:

- Values below -1024 HU, which some scanners write outside their field of view, are kept; GynBTNet raises them to -1024.
- A scan is z-scored before resampling, not after.
- A scan smaller than the patch is padded with its mean, not with air.
- Air around the patient is also predicted.
- Logits are added in half precision, not their differences from the highest one.
- Left and right are not mirrored if structures have sides.
- If thick slices are resampled separately, labels are taken from the nearest slice.
"""

_OVERLAPPING = """\
- Structures may overlap, but nnU-Net writes one label map, in which targets cover organs. The mask of a structure
  consists of the voxels with a probability above 0.5: add `--save_probabilities` to the command. The order is that of
  `labels` in `dataset.json`.
"""
