"""Metrics of five structures beside MONAI, surface-distance and scipy, on a synthetic scan of 120 slices of 512×512.

Two kinds of work: HD95 and ASD, as the paper has them; and those with DSC, surface DSC at 2 mm and Hausdorff, our whole
table but for volumes and centroids. Masks of all five structures are in memory; each variant is called as its
documentation does, runs in a process of its own with one thread, does its work once to warm up and then counts. Best of
three. The peers' figures are compared with ours: MONAI and scipy follow the same rule of what a surface is,
surface-distance measures between corners of voxels and weighs them by area, so that its figures are its own.

    python benchmarks/metrics.py                 # peers: pip install "gynbtnet[baselines,bench]"
    python benchmarks/metrics.py --quick         # 40 slices of 256×256
"""

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

ROUNDS = 3
STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
TOLERANCE_MM = 2.0
PEERS = {"ours": "gynbtnet", "MONAI": "monai", "surface-distance": "surface_distance", "scipy": "scipy"}
FEW = ("HD95", "ASD")
ALL = ("DSC", "HD95", "ASD", "surface DSC", "Hausdorff")
WORK = {"HD95, ASD": FEW, "all five": ALL}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
Figures = dict[str, list[float]]


def make_input(folder: Path, quick: bool) -> None:
    """The synthetic structures, and a prediction: each structure moved by 3, 2 and 1 voxels and a little smaller."""
    from scipy.ndimage import binary_erosion

    from gynbtnet.phantom.case import pelvic_geometry, phantom_case

    spacing, matrix = ((3.0, 1.5, 1.5), (40, 256, 256)) if quick else ((1.0, 0.75, 0.75), (120, 512, 512))
    truth = phantom_case(0, 1, 1, pelvic_geometry(spacing, matrix)).structures.labels.array
    prediction = np.zeros_like(truth)
    for label in range(1, len(STRUCTURES) + 1):
        moved = np.roll(truth == label, (1, 2, 3), axis=(0, 1, 2))
        prediction[binary_erosion(moved)] = label
    np.savez(folder / "input.npz", truth=truth, prediction=prediction, spacing=spacing)


def work(who: str, wanted: tuple[str, ...], folder: Path) -> Callable[[], Figures]:
    """One variant, with its imports done; it gives a figure a structure of each metric."""
    found = np.load(folder / "input.npz")
    truth, prediction, spacing = found["truth"], found["prediction"], tuple(map(float, found["spacing"]))
    labels = range(1, len(STRUCTURES) + 1)
    everything = wanted == ALL
    if who == "MONAI":
        import torch
        from monai.metrics import (
            compute_average_surface_distance,
            compute_dice,
            compute_hausdorff_distance,
            compute_surface_dice,
        )

        torch.set_num_threads(1)

        def monai() -> Figures:
            both = [torch.from_numpy(np.stack([one == label for label in labels]))[None] for one in (prediction, truth)]
            given = {"include_background": True, "spacing": spacing}
            figures = {
                "HD95": compute_hausdorff_distance(*both, percentile=95, **given),
                "ASD": compute_average_surface_distance(*both, symmetric=True, **given),
            }
            if everything:
                figures["DSC"] = compute_dice(*both, include_background=True)
                figures["surface DSC"] = compute_surface_dice(*both, [TOLERANCE_MM] * len(STRUCTURES), **given)
                figures["Hausdorff"] = compute_hausdorff_distance(*both, **given)
            return {name: figure[0].tolist() for name, figure in figures.items()}

        return monai
    if who == "surface-distance":
        import surface_distance

        def deepmind() -> Figures:
            figures: Figures = {name: [] for name in wanted}
            for label in labels:
                true, predicted = truth == label, prediction == label
                distances = surface_distance.compute_surface_distances(true, predicted, spacing)
                figures["HD95"].append(surface_distance.compute_robust_hausdorff(distances, 95))
                figures["ASD"].append(np.mean(surface_distance.compute_average_surface_distance(distances)))
                if everything:
                    figures["DSC"].append(surface_distance.compute_dice_coefficient(true, predicted))
                    near = surface_distance.compute_surface_dice_at_tolerance(distances, TOLERANCE_MM)
                    figures["surface DSC"].append(near)
                    figures["Hausdorff"].append(surface_distance.compute_robust_hausdorff(distances, 100))
            return {name: list(map(float, values)) for name, values in figures.items()}

        return deepmind
    if who == "scipy":
        from scipy import ndimage

        def by_hand() -> Figures:
            """What one writes oneself: erosion and the exact distance transform, on whole masks."""
            figures: Figures = {name: [] for name in wanted}
            for label in labels:
                masks = [truth == label, prediction == label]
                edges = [mask & ~ndimage.binary_erosion(mask) for mask in masks]
                maps = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
                there, back = maps[1][edges[0]], maps[0][edges[1]]
                figures["HD95"].append(max(np.percentile(there, 95), np.percentile(back, 95)))
                figures["ASD"].append(np.concatenate((there, back)).mean())
                if everything:
                    figures["DSC"].append(2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()))
                    figures["surface DSC"].append((np.concatenate((there, back)) <= TOLERANCE_MM).mean())
                    figures["Hausdorff"].append(max(there.max(), back.max()))
            return {name: list(map(float, values)) for name, values in figures.items()}

        return by_hand
    from gynbtnet.evaluation.metrics.metrics import score_case
    from gynbtnet.imaging.geometry import Geometry
    from gynbtnet.imaging.volume import Segmentation, Volume

    geometry = Geometry(truth.shape, spacing)
    both = [Segmentation(Volume(array, geometry), STRUCTURES) for array in (truth, prediction)]

    def ours() -> Figures:
        """Always everything: it comes with the same distances."""
        scores = score_case(*both, case="", patient="")
        columns = {
            "DSC": [one.dsc for one in scores],
            "HD95": [one.hd95_mm for one in scores],
            "ASD": [one.asd_mm for one in scores],
            "surface DSC": [one.surface_dsc for one in scores],
            "Hausdorff": [one.hausdorff_mm for one in scores],
        }
        return {name: columns[name] for name in wanted}

    return ours


def measure_here(kind: str, who: str, folder: Path) -> None:
    """Do the work twice in this process and print what the second time took."""
    warnings.simplefilter("ignore")
    run = work(who, WORK[kind], folder)
    before = psutil.Process().memory_info().rss
    run()
    wall, cpu = time.perf_counter(), time.process_time()
    figures = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(json.dumps({"wall": wall, "cpu": cpu, "MB": peak / 2**20, "figures": figures}))


def measured(kind: str, who: str, folder: Path) -> dict[str, float | Figures]:
    command = [sys.executable, __file__, "--here", kind, who, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    found: dict[str, float | Figures] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_input(options.make, options.quick)
        return
    if options.here:
        kind, who, folder = options.here
        measure_here(kind, who, Path(folder))
        return
    present = [who for who, module in PEERS.items() if importlib.util.find_spec(module)]
    for who in PEERS.keys() - set(present):
        print(f"{who} is not installed and left out; the extras baselines and bench of this package bring the peers.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = [sys.executable, __file__, "--make", str(folder), *(["--quick"] if options.quick else [])]
        subprocess.run(make, check=True)  # in a process of its own: others would inherit its peak of memory
        print("| figures | who | wall s | CPU s | peak MB | ours is faster by (CPU) | largest difference |")
        print("|---|---|---:|---:|---:|---:|---:|")
        for kind, wanted in WORK.items():
            runs = {who: [measured(kind, who, folder) for _ in range(options.rounds)] for who in present}
            best = {
                who: {key: min(run[key] for run in found) for key in ("wall", "cpu", "MB")}
                for who, found in runs.items()
            }
            for who, one in best.items():
                ratio = "" if who == "ours" else f"{one['cpu'] / best['ours']['cpu']:.1f}×"
                apart = max(
                    abs(theirs - own)
                    for metric in wanted
                    for theirs, own in zip(
                        runs[who][0]["figures"][metric], runs["ours"][0]["figures"][metric], strict=True
                    )
                )
                said = "" if who == "ours" else f"{apart:.1g}"
                print(f"| {kind} | {who} | {one['wall']:.2f} | {one['cpu']:.2f} | {one['MB']:.0f} | {ratio} | {said} |")


if __name__ == "__main__":
    main()
