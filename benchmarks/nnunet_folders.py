"""Prediction with a folder that nnU-Net trained: ``gynbtnet predict`` compared with nnU-Net's own command.

The folder has nnU-Net's plans, network and checkpoint. Its network has random weights and heads that are fitted to a
synthetic scan by least squares, since an untrained one is undecided everywhere. Both commands run in turn, each in a
separate process with the same number of threads. Printed are wall and CPU seconds and the share of voxels with equal
labels.

Examples::

    python benchmarks/nnunet_folders.py                      # plain U-Net, all axes mirrored
    python benchmarks/nnunet_folders.py --network ResidualEncoderUNet --no-mirroring
    python benchmarks/nnunet_folders.py --matrix 40 128 128 --features 8 16 32 --patch 16 48 48
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gynbtnet.imaging import read_volume, write_volume
from gynbtnet.phantom import pelvic_geometry, phantom_case

MEAN, DEVIATION, LOW, HIGH = 20.0, 120.0, -200.0, 300.0  # HU
STOCK = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()"
NAMES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")


def make_plans(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the content of ``plans.json``."""
    stages = len(arguments.features)
    blocks = "n_conv_per_stage" if arguments.network == "PlainConvUNet" else "n_blocks_per_stage"
    values = {
        "n_stages": stages,
        "features_per_stage": arguments.features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (stages - 1)],
        blocks: [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    resampling = {
        f"resampling_fn_{kind}{end}": value
        for kind, is_seg, order in (("data", False, 3), ("seg", True, 1), ("probabilities", False, 1))
        for end, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}),
        )
    }
    configuration = {
        "data_identifier": "benchmark",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": arguments.patch,
        "spacing": [2.5, 2 * arguments.pixel, 2 * arguments.pixel],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        **resampling,
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{arguments.network}",
            "arch_kwargs": values,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    statistics = {"mean": MEAN, "std": DEVIATION, "percentile_00_5": LOW, "percentile_99_5": HIGH}
    return {
        "dataset_name": "Dataset001_Benchmark",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": statistics | {"median": MEAN, "min": LOW, "max": HIGH}},
        "configurations": {"3d_fullres": configuration},
    }


def write_folder(folder: Path, plans: dict[str, Any], image: np.ndarray, labels: np.ndarray, mirrored: bool) -> None:
    """Write a trained folder whose heads are fitted to an image (z, y, x) with labels."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    configuration = plans["configurations"]["3d_fullres"]
    described = configuration["architecture"]
    torch.manual_seed(0)
    network = get_network_from_plans(
        described["network_class_name"],
        described["arch_kwargs"],
        described["_kw_requires_import"],
        1,
        len(NAMES) + 1,
        deep_supervision=False,
    ).eval()
    fit_heads(network, image, labels, configuration["patch_size"])
    (folder / "fold_0").mkdir(parents=True)
    content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **dict(zip(NAMES, range(1, 6), strict=True))}}
    (folder / "dataset.json").write_text(json.dumps(content | {"numTraining": 1, "file_ending": ".nii.gz"}))
    (folder / "plans.json").write_text(json.dumps(plans))
    torch.save(
        {
            "network_weights": network.state_dict(),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": (0, 1, 2) if mirrored else None,
        },
        folder / "fold_0" / "checkpoint_final.pth",
    )


def fit_heads(network: nn.Module, image: np.ndarray, labels: np.ndarray, patch: list[int]) -> None:
    """Set the finest head to the least-squares fit of the labels on its features."""
    seen: list[torch.Tensor] = []
    head = network.decoder.seg_layers[-1]
    handle = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    centre = [int(n) for n in np.mean(np.argwhere(labels > 0), axis=0)]
    starts = [min(max(0, c - size // 2), n - size) for c, size, n in zip(centre, patch, image.shape, strict=True)]
    box = tuple(slice(start, start + size) for start, size in zip(starts, patch, strict=True))
    normalised = ((np.clip(image[box], LOW, HIGH) - MEAN) / DEVIATION).astype(np.float32)
    with torch.no_grad():
        network(torch.from_numpy(normalised)[None, None])
    handle.remove()
    features = seen[0][0].flatten(1).double()
    features = torch.cat([features, torch.ones(1, features.shape[1], dtype=torch.float64)])
    truth = torch.from_numpy(labels[box].astype(np.int64)).flatten()
    wanted = 20 * nn.functional.one_hot(truth, len(NAMES) + 1).double()
    ridge = 1e-3 * features.shape[1] * torch.eye(len(features), dtype=torch.float64)
    weights = torch.linalg.solve(features @ features.T + ridge, features @ wanted)
    with torch.no_grad():
        head.weight.copy_(weights[:-1].T.reshape(head.weight.shape))
        head.bias.copy_(weights[-1])


def timed(command: list[str], threads: int) -> tuple[float, float]:
    """Run a command and return its wall and CPU seconds, those of its own processes included."""
    own = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    places = {name: tempfile.gettempdir() for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=os.environ | own | places, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, sum(after[:2]) - sum(before[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="PlainConvUNet", help="PlainConvUNet or ResidualEncoderUNet")
    parser.add_argument("--matrix", type=int, nargs=3, default=[64, 256, 256], help="voxels (z, y, x)")
    parser.add_argument("--pixel", type=float, default=1.8, help="edge of a pixel in mm")
    parser.add_argument("--features", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--patch", type=int, nargs=3, default=[48, 96, 96])
    parser.add_argument("--no-mirroring", action="store_true", help="a model that wasn't mirrored in training")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = phantom_case(0, 1, 1, pelvic_geometry((2.5, arguments.pixel, arguments.pixel), tuple(arguments.matrix)))
        (folder / "scans").mkdir()
        write_volume(case.scan, folder / "scans" / "phantom_0000.nii.gz")
        coarse = (slice(None), slice(None, None, 2), slice(None, None, 2))
        labels = case.structures.labels.array[coarse]
        model = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
        write_folder(model, make_plans(arguments), case.scan.array[coarse], labels, mirrored=not arguments.no_mirroring)
        stock = [sys.executable, "-c", STOCK, "-i", str(folder / "scans"), "-o", str(folder / "stock")]
        stock += ["-m", str(model), "-f", "0", "-device", "cpu", "-npp", "1", "-nps", "1"]
        ours = [sys.executable, "-m", "gynbtnet", "predict", str(model), str(folder / "scans" / "phantom_0000.nii.gz")]
        results = {"nnUNetv2_predict": timed(stock, arguments.threads)}
        theirs = read_volume(folder / "stock" / "phantom.nii.gz").array
        equal = {"nnUNetv2_predict": 1.0}
        for title, options in (("gynbtnet predict --roi whole", ["--roi", "whole"]), ("gynbtnet predict", [])):
            out = folder / title.replace(" ", "_")
            results[title] = timed([*ours, "--out", str(out), *options], arguments.threads)
            equal[title] = float((read_volume(next(out.glob("*/labels.nii.gz"))).array == theirs).mean())
    wall, cpu = results["nnUNetv2_predict"]
    print(f"labelled by nnU-Net: {np.mean(theirs > 0):.1%} of the voxels, {len(np.unique(theirs)) - 1} structures")
    print("| command | wall s | CPU s | wall | CPU | equal labels |\n|---|---|---|---|---|---|")
    for title, (own_wall, own_cpu) in results.items():
        print(
            f"| `{title}` | {own_wall:.1f} | {own_cpu:.1f} | {wall / own_wall:.2f}× | {cpu / own_cpu:.2f}× | "
            f"{equal[title]:.3%} |"
        )


if __name__ == "__main__":
    main()
