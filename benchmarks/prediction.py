"""A scan contoured from file to file, beside stock nnU-Net on the same weights, overlap, mirroring and device.

A synthetic scan is made, and a network trained on it for minutes: an untrained one is undecided everywhere. Then, each
in a process of its own and one after the other: ours, and ``nnUNetv2_predict_from_modelfolder`` on our export. Printed
are wall and CPU seconds of the whole process tree, its peak memory (proportional set size, so that shared pages count
once), and the share of voxels with equal labels.

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
CROP = (32, 64, 64)  # what a network learns on fast
WINDOW_EVERY = 15  # steps, a whole window: the norms of a crop are another network's than those of a window
THEIRS = "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as run; run()"


def make_scan(folder: Path, matrix: tuple[int, int, int], spacing: tuple[float, float, float]) -> None:
    case = phantom_case(0, 1, 1, pelvic_geometry(spacing, matrix))
    (folder / "scans").mkdir()
    write_volume(case.scan, folder / "scans" / "phantom_0000.nii.gz")
    write_volume(case.structures.labels, folder / "labels.nii.gz")


def train(folder: Path, plan: Plan, steps: int, folds: int, device: str) -> None:
    """A model, or an ensemble whose folds are one network with weights changed a little."""
    image, grid = preprocess_volume([read_volume(folder / "scans" / "phantom_0000.nii.gz")], plan)
    drawn = read_volume(folder / "labels.nii.gz")
    labels = torch.from_numpy(resample_labels(drawn.array.astype(np.uint8), drawn.geometry, grid).astype(np.int64))
    torch.manual_seed(0)
    keep_freed_memory()
    network = build_network(plan, deep_supervision=True).to(device)
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    places = [torch.nonzero(labels == label) for label in labels.unique() if label]
    for step in range(steps):
        crop = tuple(map(min, plan.patch_size, CROP if step % WINDOW_EVERY else plan.patch_size))
        # as many crops anywhere as on a structure: a network that has never seen air draws in it
        kind = int(torch.randint(len(places) + 1, ()))
        middle = (
            places[kind][torch.randint(len(places[kind]), ())].tolist()
            if kind < len(places)
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
        place = model / f"fold_{fold}" if folds > 1 else model
        save_plan(plan, place)
        state = {
            name: value.cpu() * (1 + 0.01 * fold * torch.randn(value.shape))
            for name, value in network.state_dict().items()
        }
        save_file(state, place / "weights_last.safetensors")
        export_nnunet(Model.load(place, device="cpu"), folder / f"export_{fold}")
        if fold:
            shutil.move(folder / f"export_{fold}" / "fold_0", folder / "export_0" / f"fold_{fold}")


def measured(command: list[str], threads: int) -> tuple[float, float, float]:
    """Wall and CPU seconds, and peak GB, of a process with all its children."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "nnUNet_def_n_proc": str(threads)}
    before, began = os.times(), time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        peak, ended = [0.0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                total = 0
                try:
                    for one in (root := psutil.Process(process.pid), *root.children(recursive=True)):
                        total += one.memory_full_info().pss
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
    """What the measured process of ours does."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    scan = folder / "scans" / "phantom_0000.nii.gz"
    model = load_model(folder / "model", settings)
    predict_scan(model, PredictionRequest.from_path(model, scan, out, settings=settings, synthetic=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="XS")
    parser.add_argument("--matrix", type=int, nargs=3, default=(120, 512, 512))
    parser.add_argument("--spacing", type=float, nargs=3, default=(2.5, 0.9, 0.9), help="mm along z, y, x")
    parser.add_argument("--planned", type=float, nargs=3, default=(2.5, 3, 3), help="mm that the network sees")
    parser.add_argument("--patch", type=int, nargs=3, default=PATCH)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-mirroring", action="store_true")
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    parser.add_argument("--folder", type=Path, help="keeps scan and model, and goes on with them if they are there")
    parser.add_argument("--backends", nargs="+", default=["eager"])
    parser.add_argument("--fast", action="store_true", help="ours with --fast too")
    parser.add_argument("--whole", action="store_true", help="ours with windows where nnU-Net has them too")
    parser.add_argument("--repeats", type=int, default=1, help="of all in turn; the least of each counts")
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
        theirs = [sys.executable, "-W", "ignore", "-c", THEIRS, "-i", folder / "scans"]
        theirs += ["-m", folder / "export_0", "-f", *range(options.folds), "-device", options.device]
        theirs += ["-npp", "1", "-nps", "1", *["--disable_tta"] * options.no_mirroring, "-o"]
        commands = {"nnU-Net": theirs}
        for name, settings in runs.items():
            commands[name] = [sys.executable, __file__, "--worker", folder, settings.model_dump_json()]
        found, figures = {}, {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                with tempfile.TemporaryDirectory() as out:
                    figures[name].append(measured([*map(str, command), out], options.threads))
                    made = Path(out) / ("phantom.nii.gz" if name == "nnU-Net" else LABELS_FILE)
                    found[name] = read_volume(made).array
        truth = read_volume(folder / "labels.nii.gz").array
        print("| | wall s | CPU s | peak GB | wall | CPU | memory | equal labels | mean DSC |")
        print("|---" * 9 + "|")
        least = {name: [min(values) for values in zip(*rounds, strict=True)] for name, rounds in figures.items()}
        for name in commands:
            dice = [
                2
                * ((found[name] == label) & (truth == label)).sum()
                / ((found[name] == label).sum() + (truth == label).sum())
                for label in range(1, len(plan.structures) + 1)
            ]
            ratios = [theirs / mine for theirs, mine in zip(least["nnU-Net"], least[name], strict=True)]
            equal = (found[name] == found["nnU-Net"]).mean()
            numbers = [f"{value:.1f}" for value in least[name]] + [f"{ratio:.2f}×" for ratio in ratios]
            print(f"| {name} | {' | '.join(numbers)} | {equal:.5%} | {np.mean(dice):.3f} |", flush=True)


if __name__ == "__main__":
    main()
