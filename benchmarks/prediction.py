"""Prediction from file to file, compared with nnU-Net on the same weights, overlap, mirroring and device.

A network is trained for minutes on a synthetic scan, since an untrained one is undecided everywhere. Then our program
and ``nnUNetv2_predict_from_modelfolder`` on our export run in turn, each in a separate process. Printed are wall and
CPU seconds of the process tree, its peak memory, and the share of voxels with equal labels. Memory is the proportional
set size, so that shared pages count once.

Examples::

    python benchmarks/prediction.py                                      # preset XS, 512×512×120, mirroring
    python benchmarks/prediction.py --no-mirroring --planned 2.5 1.5 1.5 --patch 80 160 160 --steps 600
    python benchmarks/prediction.py --no-mirroring --backends eager openvino --fast
    python benchmarks/prediction.py --device cuda --preset L --folds 5   # an ensemble on a GPU
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from safetensors.torch import save_file

from gynbtnet.imaging import read_volume, write_volume
from gynbtnet.inference import (
    LABELS_FILE,
    Model,
    PredictionRequest,
    PredictionSettings,
    export_nnunet,
    load_model,
    predict_scan,
)
from gynbtnet.phantom import pelvic_geometry, phantom_case
from gynbtnet.preparation import Plan, preprocess_volume, resample_labels, save_plan
from gynbtnet.training import build_network, deeply_supervised, keep_freed_memory

PATCH = (64, 96, 96)
CROP = (32, 64, 64)  # small crops, for fast training
WINDOW_EVERY = 15  # steps from one whole window to the next: norms of a crop differ from those of a window
THEIRS = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()"


def make_scan(folder: Path, matrix: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    case = phantom_case(0, 1, 1, pelvic_geometry(spacing, matrix))
    (folder / "scans").mkdir()
    write_volume(case.scan, folder / "scans" / "phantom_0000.nii.gz")
    write_volume(case.structures.labels, folder / "labels.nii.gz")


def train(folder: Path, plan: Plan, steps: int, folds: int, device: str) -> None:
    """Train and save a model, or an ensemble whose folds are one network with slightly changed weights."""
    image, grid = preprocess_volume([read_volume(folder / "scans" / "phantom_0000.nii.gz")], plan)
    truth = read_volume(folder / "labels.nii.gz")
    labels = torch.from_numpy(resample_labels(truth.array.astype(np.uint8), truth.geometry, grid).astype(np.int64))
    torch.manual_seed(0)
    keep_freed_memory()
    network = build_network(plan, deep_supervision=True).to(device)
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    voxels = [torch.nonzero(labels == label) for label in labels.unique() if label]
    for step in range(steps):
        crop = tuple(map(min, plan.patch_size, CROP if step % WINDOW_EVERY else plan.patch_size))
        # as many crops from anywhere as on each structure: a network that has never seen air segments structures in it
        kind = int(torch.randint(len(voxels) + 1, ()))
        middle = (
            voxels[kind][torch.randint(len(voxels[kind]), ())].tolist()
            if kind < len(voxels)
            else [int(n * torch.rand(())) for n in grid.shape]
        )
        corner = [
            min(max(m - int(torch.randint(size, ())), 0), n - size)
            for m, size, n in zip(middle, crop, grid.shape, strict=True)
        ]
        box = tuple(slice(low, low + size) for low, size in zip(corner, crop, strict=True))
        logits = network(torch.from_numpy(image[(slice(None), *box)].copy())[None].to(device))
        loss = deeply_supervised(logits, labels[box][None].to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if not step % 20:
            print(f"training: step {step}, loss {loss:.3f}", file=sys.stderr, flush=True)
    model = folder / "model"
    for fold in range(folds):
        fold_folder = model / f"fold_{fold}" if folds > 1 else model
        save_plan(plan, fold_folder)
        state = {
            name: value.cpu() * (1 + 0.01 * fold * torch.randn(value.shape))
            for name, value in network.state_dict().items()
        }
        save_file(state, fold_folder / "weights_last.safetensors")
        export_nnunet(Model.load(fold_folder, device="cpu"), folder / f"export_{fold}")
        if fold:
            shutil.move(folder / f"export_{fold}" / "fold_0", folder / "export_0" / f"fold_{fold}")


def measured(command: list[str], threads: int) -> tuple[float, float, float]:
    """Run a command and return wall seconds, CPU seconds and peak GB of the process with all its children."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "nnUNet_def_n_proc": str(threads)}
    before, began = os.times(), time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        peak, ended = [0.0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                total = 0
                try:
                    for member in (root := psutil.Process(process.pid), *root.children(recursive=True)):
                        total += member.memory_full_info().pss
                except psutil.Error:
                    continue
                peak[0] = max(peak[0], total)

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        ended.set()
        watcher.join()
        if code:
            log.seek(0)
            raise SystemExit(log.read().decode())
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, peak[0] / 1e9


def ours(folder: Path, out: Path, settings: PredictionSettings) -> None:
    """Predict the scan with our program; this runs in the measured process."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    scan = folder / "scans" / "phantom_0000.nii.gz"
    model = load_model(folder / "model", settings)
    predict_scan(model, PredictionRequest.from_path(model, scan, out, settings=settings, synthetic=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="XS")
    parser.add_argument("--matrix", type=int, nargs=3, default=(120, 512, 512))
    parser.add_argument("--spacing", type=float, nargs=3, default=(2.5, 0.9, 0.9), help="mm along z, y, x")
    parser.add_argument("--planned", type=float, nargs=3, default=(2.5, 3, 3), help="spacing of the network in mm")
    parser.add_argument("--patch", type=int, nargs=3, default=PATCH)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-mirroring", action="store_true")
    parser.add_argument("--steps", type=int, default=1000, help="training steps")
    parser.add_argument("--folder", type=Path, help="folder for scan and model, which are reused if they exist")
    parser.add_argument("--backends", nargs="+", default=["eager"])
    parser.add_argument("--fast", action="store_true", help="also run ours with --fast")
    parser.add_argument("--whole", action="store_true", help="also run ours with the windows of nnU-Net")
    parser.add_argument("--repeats", type=int, default=1, help="rounds over all variants; the least of each counts")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        folder, settings, out = options.worker
        ours(Path(folder), Path(out), PredictionSettings.model_validate_json(settings))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder.absolute() if options.folder else Path(temporary)
        plan = Plan(
            structures=("hr_ctv", "bladder", "rectum", "sigmoid", "uterus"),
            spacing=tuple(options.planned),
            normalisation="zscore",
            intensities=None,
            patch_size=tuple(options.patch),
            batch_size=2,
            preset=options.preset,
            strides=((1, 1, 1), *[(2, 2, 2)] * 4, *[(1, 1, 1)] * (options.preset != "XS")),
        )
        if not folder.exists() or not any(folder.iterdir()):
            folder.mkdir(exist_ok=True)
            make_scan(folder, tuple(options.matrix), tuple(options.spacing))
            train(folder, plan, options.steps, options.folds, options.device)
        base = PredictionSettings(mirroring=not options.no_mirroring, device=options.device)
        runs = {f"ours, {name}": base.model_copy(update={"backend": name}) for name in options.backends}
        if options.whole:
            runs["ours, --roi whole"] = base.model_copy(update={"roi": "whole"})
        if options.fast:
            runs["ours, --fast"] = base.fast()
        nnunet_command = [sys.executable, "-W", "ignore", "-c", THEIRS, "-i", folder / "scans"]
        nnunet_command += ["-m", folder / "export_0", "-f", *range(options.folds), "-device", options.device]
        nnunet_command += ["-npp", "1", "-nps", "1", *["--disable_tta"] * options.no_mirroring, "-o"]
        commands = {"nnU-Net": nnunet_command}
        for name, settings in runs.items():
            commands[name] = [sys.executable, __file__, "--worker", folder, settings.model_dump_json()]
        labels, measurements = {}, {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                with tempfile.TemporaryDirectory() as out:
                    measurements[name].append(measured([*map(str, command), out], options.threads))
                    labels_file = Path(out) / ("phantom.nii.gz" if name == "nnU-Net" else LABELS_FILE)
                    labels[name] = read_volume(labels_file).array
        truth = read_volume(folder / "labels.nii.gz").array
        print("| | wall s | CPU s | peak GB | wall | CPU | memory | equal labels | mean DSC |")
        print("|---" * 9 + "|")
        least = {name: [min(values) for values in zip(*rounds, strict=True)] for name, rounds in measurements.items()}
        for name in commands:
            dice = [
                2
                * ((labels[name] == label) & (truth == label)).sum()
                / ((labels[name] == label).sum() + (truth == label).sum())
                for label in range(1, len(plan.structures) + 1)
            ]
            ratios = [theirs / own for theirs, own in zip(least["nnU-Net"], least[name], strict=True)]
            equal = (labels[name] == labels["nnU-Net"]).mean()
            numbers = [f"{value:.1f}" for value in least[name]] + [f"{ratio:.2f}×" for ratio in ratios]
            print(f"| {name} | {' | '.join(numbers)} | {equal:.5%} | {np.mean(dice):.3f} |", flush=True)


if __name__ == "__main__":
    main()
