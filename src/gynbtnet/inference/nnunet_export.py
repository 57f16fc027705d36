"""A model as a folder that stock nnU-Net 2 predicts with."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gynbtnet.errors import BadInput
from gynbtnet.inference.model import Model
from gynbtnet.whole_files import check_replaceable, written_whole

_OURS = ("dataset.json", "plans.json", "README.md", "fold_0", "gynbtnet.json")
_MARK = "gynbtnet.json"
_CONFIGURATION = "3d_fullres"


def export_nnunet(model: Model, out: Path, *, force: bool = False) -> Path:
    """Write the folder ``out``, which ``nnUNetv2_predict_from_modelfolder -m`` runs where GynBTNet is installed too.

    Window, overlap, mirroring and resampling are nnU-Net's, set to what GynBTNet does. Three differences are left, and
    the README in the folder says so: nnU-Net doesn't raise what lies below −1024 HU, pads a scan that is smaller than
    the patch with its mean and not with air, and adds logits in half precision.

    Raises:
        BadInput: where ``out`` holds anything, and not an earlier export and ``force``.
    """
    _check(out, force)
    with written_whole(out) as partial:
        (partial / "fold_0").mkdir(parents=True)
        _write(partial / "plans.json", _plans(model))
        _write(partial / "dataset.json", _dataset(model))
        _write(partial / _MARK, {"version": version("gynbtnet"), "weights_sha256": model.sha256})
        (partial / "README.md").write_text(_README.format(fold="0"), encoding="utf-8")
        weights = {f"network.{name}": value.cpu() for name, value in model.network.state_dict().items()}
        torch.save(
            {
                "network_weights": weights,
                "trainer_name": "nnUNetTrainer",
                "init_args": {"configuration": _CONFIGURATION},
                "inference_allowed_mirroring_axes": (0, 1, 2),
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
    check_replaceable(out, _OURS, _MARK)


def _plans(model: Model) -> dict[str, Any]:
    plan = model.plan
    properties: dict[str, float] = {}
    if plan.intensity is not None:
        found = plan.intensity
        properties = {
            "mean": found.mean,
            "std": found.std,
            "percentile_00_5": found.percentile_00_5,
            "percentile_99_5": found.percentile_99_5,
        }

    def resampling(name: str, is_seg: bool, order: int) -> dict[str, Any]:
        keywords = {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": False}
        return {name: "resample_data_or_seg_to_shape", f"{name}_kwargs": keywords}

    configuration = {
        "data_identifier": "GynBTNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": plan.batch_size,
        "patch_size": plan.patch_size,
        "spacing": plan.spacing,
        "normalization_schemes": ["CTNormalization" if plan.normalisation == "ct" else "ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **resampling("resampling_fn_data", False, 3),
        **resampling("resampling_fn_seg", True, 1),
        **resampling("resampling_fn_probabilities", False, 1),
        "batch_dice": False,
        "architecture": {
            "network_class_name": "gynbtnet.networks.nnunet_network.NNUNetNetwork",
            "arch_kwargs": {"preset": plan.preset, "strides": plan.strides},
            "_kw_requires_import": [],
        },
    }
    return {
        "dataset_name": "GynBTNet",
        "plans_name": "GynBTNetPlans",
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": properties},
        "configurations": {_CONFIGURATION: configuration},
    }


def _dataset(model: Model) -> dict[str, Any]:
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0} | {name: i for i, name in enumerate(model.plan.structures, start=1)},
        "numTraining": 0,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


_README = """# GynBTNet for nnU-Net

Research use only. nnU-Net 2 finds the network's class in GynBTNet, so both have to be installed:

    pip install gynbtnet nnunetv2
    nnUNetv2_predict_from_modelfolder -i SCANS -o CONTOURS -m THIS_FOLDER -f {fold}

Scans are CTs in HU, named `NAME_0000.nii.gz`, of any orientation. The labels are those of `gynbtnet predict` but for
single voxels at borders. Three things are nnU-Net's own: values below -1024 HU, which some scanners write outside their
field of view, aren't raised to that (raise them first); a scan smaller than the patch is padded with its mean and not
with air; and logits are added in half precision.
"""
