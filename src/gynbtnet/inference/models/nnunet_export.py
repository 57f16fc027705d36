"""A model as a folder that stock nnU-Net 2 predicts with."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gynbtnet.inference.models.model import Model
from gynbtnet.preparation.planning.nnunet_plans import OURS, STOCK, to_nnunet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.settings import ALL_AXES
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput

_OURS = ("dataset.json", "plans.json", "README.md", "fold_0", "gynbtnet.json")
_MARK = "gynbtnet.json"
_NETWORK = "gynbtnet.networks.nnunet_network.ReorientedGynBTNet"


def export_nnunet(model: Model, out: Path, *, force: bool = False) -> Path:
    """Write the folder ``out``, which ``nnUNetv2_predict_from_modelfolder -m`` runs where GynBTNet is installed too.

    Window, overlap, mirroring and resampling are nnU-Net's, set to what GynBTNet does. Differences are left, and the
    README in the folder says which.

    Raises:
        BadInput: where the model is no GynBTNet, or ``out`` holds anything, and not an earlier export and ``force``.
    """
    if model.plan.network != "gynbtnet":
        raise BadInput(f"{model.folder} is a {model.title}; only GynBTNet is exported for nnU-Net.")
    _check(out, force)
    with atomic_write(out) as partial:
        (partial / "fold_0").mkdir(parents=True)
        for name, content in zip(("plans.json", "dataset.json"), _plans(model), strict=True):
            _write(partial / name, content)
        _write(partial / _MARK, {"version": version("gynbtnet"), "weights_sha256": model.sha256})
        (partial / "README.md").write_text(_README.format(fold="0"), encoding="utf-8")
        weights = {f"network.{name}": value.cpu() for name, value in model.network.state_dict().items()}
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
            raise BadInput(f"{out} holds an earlier export; replace it with --force, or give another folder.")
        others = sorted(path.name for path in out.glob("[!.]*") if path.name not in _OURS)
        if others:
            raise BadInput(f"{out} holds {others[0]!r}, which is no part of an export; give another folder.")
        return
    ensure_replaceable(out, _OURS, _MARK)


def _plans(model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """``plans.json`` and ``dataset.json`` with our network under nnU-Net's usual configuration.

    The reader turns scans all one way, and the network turns them to the way that it knows.
    """
    plans, dataset = to_nnunet(model.plan)
    architecture = plans["configurations"][OURS]["architecture"] | {"network_class_name": _NETWORK}
    reader = "NibabelIOWithReorient"
    plans |= {
        "image_reader_writer": reader,
        "configurations": {STOCK: plans["configurations"][STOCK] | {"architecture": architecture}},
    }
    return plans, dataset | {"numTraining": 0, "overwrite_image_reader_writer": reader}


def _mirroring(plan: Plan) -> tuple[int, ...] | None:
    """The axes that nnU-Net may mirror: those mirrored in training. It can't swap labels, and so leaves out x there."""
    axes = tuple(ALL_AXES.index(axis) for axis in plan.mirror_axes if not (axis == "x" and plan.sides_swapped))
    return axes or None  # it takes None, and not an empty tuple, for none


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


_README = """# GynBTNet for nnU-Net

Research use only. nnU-Net 2 finds the network's class in GynBTNet, so both have to be installed:

    pip install gynbtnet nnunetv2
    nnUNetv2_predict_from_modelfolder -i SCANS -o CONTOURS -m THIS_FOLDER -f {fold}

Scans are CTs in HU, named `NAME_0000.nii.gz`, of any orientation; further channels are `NAME_0001.nii.gz` and so on.
The labels are those of `gynbtnet predict` but for single voxels at borders. These things are nnU-Net's own: values
below -1024 HU, which some scanners write outside their field of view, aren't raised to that (raise them first); a scan
is z-scored before it is resampled, and by GynBTNet after; one smaller than the patch is padded with its mean and not
with air; air around the patient is looked at too; logits, and not their differences from the highest one, are added in
half precision; left and right are not mirrored if structures swap their labels with them; and where thick slices are
resampled apart, labels come from the nearest slice.
"""
