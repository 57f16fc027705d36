"""Folders as nnU-Net trains them: its plans, its network with random weights, and its checkpoint."""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet, ResidualUNet
from torch import nn

from gynbtnet.imaging import Geometry, Volume

NAME = "nnUNetTrainer__nnUNetPlans__3d_fullres"
STATISTICS = {
    "mean": 40.0,
    "std": 150.0,
    "percentile_00_5": -160.0,
    "percentile_99_5": 300.0,
    "median": 40.0,
    "min": -500.0,
    "max": 900.0,
}
LABELS: dict[str, Any] = {"background": 0, "urinary_bladder": 1, "Rectum": 2, "Bowel loops": 3}
REGIONS: dict[str, Any] = {"background": 0, "pelvic organs": [1, 2, 3], "rectum": 2, "gut": [2, 3]}
_NETWORKS: dict[str, Any] = {
    "PlainConvUNet": PlainConvUNet,
    "ResidualEncoderUNet": ResidualEncoderUNet,
    "ResidualUNet": ResidualUNet,
}


def architecture(kind: str = "PlainConvUNet", axes: int = 3, **changes: Any) -> dict[str, Any]:
    """Return the section ``architecture`` of a small network."""
    blocks = "n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage"
    kernels, strides = [[1, 3, 3], [3, 3, 3], [3, 3, 3]], [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
    values = {
        "n_stages": 3,
        "features_per_stage": [8, 12, 16],
        "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
        "kernel_sizes": [kernel[3 - axes :] for kernel in kernels],
        "strides": [stride[3 - axes :] for stride in strides],
        blocks: [2, 1, 2],
        "n_conv_per_stage_decoder": [1, 2],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    } | changes
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
        "arch_kwargs": values,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def resampling(**changes: Any) -> dict[str, Any]:
    """Return the resampling of a configuration as nnU-Net's planner writes it."""
    kwargs = {"order_z": 0, "force_separate_z": None} | changes
    return {
        f"resampling_fn_{kind}{end}": value
        for kind, is_seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1))
        for end, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", {"is_seg": is_seg, "order": order, **kwargs}),
        )
    }


def configuration(axes: int = 3, channels: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a configuration of ``plans.json``."""
    return {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 32, 24][3 - axes :],
        "spacing": [4.0, 2.0, 2.5][3 - axes :],
        "normalization_schemes": ["CTNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        **resampling(),
        "architecture": architecture(axes=axes),
        "batch_dice": False,
    } | changes


def plans_of(configurations: Mapping[str, Any], channels: int = 1, **changes: Any) -> dict[str, Any]:
    """Return the content of ``plans.json``."""
    return {
        "dataset_name": "Dataset999_Test",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {str(i): STATISTICS for i in range(channels)},
        "configurations": dict(configurations),
    } | changes


def dataset_of(labels: Mapping[str, Any] = LABELS, channels: Sequence[str] = ("CT",), **changes: Any) -> dict[str, Any]:
    """Return the content of ``dataset.json``."""
    names = {str(i): name for i, name in enumerate(channels)}
    return {"channel_names": names, "labels": dict(labels), "numTraining": 4, "file_ending": ".nii.gz"} | changes


def nnunet_network(described: Mapping[str, Any], inputs: int, outputs: int) -> nn.Module:
    """Return nnU-Net's own network with weights that give varied labels."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    network: nn.Module = get_network_from_plans(
        described["network_class_name"],
        described["arch_kwargs"],
        described["_kw_requires_import"],
        inputs,
        outputs,
        deep_supervision=True,
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "seg_layers" in name:
                centred = parameter - parameter.mean(1, keepdim=True) if name.endswith("weight") else parameter
                parameter.copy_(20 * centred if name.endswith("weight") else 0 * centred)
            elif ".norm." in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return network


def write_fold(
    folder: Path,
    network: nn.Module,
    *,
    configuration_name: str = "3d_fullres",
    trainer: str = "nnUNetTrainer",
    mirror_axes: Sequence[int] | None = (0, 1, 2),
    name: str = "checkpoint_final.pth",
) -> Path:
    """Write a fold with the entries of nnU-Net's checkpoints, numpy's numbers included."""
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True)
    torch.save(
        {
            "network_weights": network.state_dict(),
            "optimizer_state": optimizer.state_dict(),
            "grad_scaler_state": None,
            "logging": {"mean_fg_dice": [np.float64(0.5)], "ema_fg_dice": [np.float32(0.4)], "lrs": [0.01]},
            "_best_ema": np.float64(0.4),
            "current_epoch": 2,
            "init_args": {"configuration": configuration_name, "fold": 0, "device": torch.device("cpu")},
            "trainer_name": trainer,
            "inference_allowed_mirroring_axes": None if mirror_axes is None else tuple(mirror_axes),
        },
        folder / name,
    )
    return folder / name


def write_trained(
    folder: Path,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    *,
    described: Mapping[str, Any] | None = None,
    configuration_name: str = "3d_fullres",
    folds: int = 1,
    inputs: int | None = None,
    outputs: int | None = None,
    **checkpoint: Any,
) -> Path:
    """Write a trained folder with nnU-Net's network and random weights.

    Args:
        folder: folder to write.
        plans: content of ``plans.json``.
        dataset: content of ``dataset.json``.
        described: section ``architecture`` of the network; None: that of the configuration.
        configuration_name: name of the configuration.
        folds: number of folds.
        inputs: channels that the network reads; None: those of the dataset.
        outputs: outputs of the network; None: one for each entry of ``labels``.
        checkpoint: further arguments of :func:`write_fold`.
    """
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    own = described or plans["configurations"][configuration_name]["architecture"]
    names = dataset.get("channel_names") or dataset["modality"]
    for fold in range(folds):
        torch.manual_seed(fold)
        network = nnunet_network(own, inputs or len(names), outputs or len(dataset["labels"]))
        write_fold(folder / f"fold_{fold}", network, configuration_name=configuration_name, **checkpoint)
    return folder


def scan_of_blobs(
    shape: tuple[int, int, int] = (14, 50, 44),
    spacing: tuple[float, float, float] = (3.0, 1.7, 1.9),
    *,
    seed: int = 0,
    empty: int = 0,
) -> Volume:
    """Return smooth structures of random brightness in a box, in HU; ``empty`` voxels at each side are 0."""
    from scipy import ndimage

    generator = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(generator.normal(size=shape), 2)
    values = (40 + 150 * values / values.std()).round()
    values[values == 0] = 1
    inside = tuple(slice(empty, n - empty) for n in shape)
    array = np.zeros(shape, np.int16)
    array[inside] = values[inside]
    return Volume(array, Geometry(shape, spacing))


def stock_prediction(folder: Path, volumes: Sequence[Volume], previous: Any = None) -> Any:
    """Return the label map of nnU-Net's own predictor for arrays in nnU-Net's orientation.

    nnU-Net adds windows and their weights in half precision, and with random weights its rounding decides one voxel in
    a thousand. Here it adds them in single precision.
    """
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nnunetv2.inference import predict_from_raw_data as stock

        predictor = stock.nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), None, "checkpoint_final.pth")
        image = np.stack([volume.array for volume in volumes]).astype(np.float32)
        spacing = {"spacing": list(volumes[0].geometry.spacing)}
        before = None if previous is None else previous[None].astype(np.int8)
        zeros, gaussian = torch.zeros, stock.compute_gaussian

        def single(*shape: Any, **options: Any) -> torch.Tensor:
            return zeros(*shape, **options | ({"dtype": torch.float32} if "dtype" in options else {}))

        def weights(*arguments: Any, **options: Any) -> torch.Tensor:
            return gaussian(*arguments, **options, dtype=torch.float32)

        with mock.patch.object(torch, "zeros", single), mock.patch.object(stock, "compute_gaussian", weights):
            return predictor.predict_single_npy_array(image, spacing, before)
