"""Metrics of five structures compared with MONAI, surface-distance and scipy, on a scan of 120 slices of 512×512.

Two sets of metrics are measured. The first is HD95 and ASD, as in the paper. The second adds DSC, surface DSC at 2 mm
and Hausdorff distance; it is all of our metrics except volumes and centroids. Masks of all five structures are in
memory. Each program is called as its documentation shows. It runs in a separate process with one thread, once to warm
up and then three times; the best counts. The metrics are compared with ours. MONAI and scipy use the same rule for
surfaces; surface-distance measures between corners of voxels and weights them by area, so that its values differ.

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
Metrics = dict[str, list[float]]


def make_input(folder: Path, quick: bool) -> None:
    """Write the synthetic structures and a prediction: each structure moved by 3, 2 and 1 voxels and eroded."""
    from scipy.ndimage import binary_erosion

    from gynbtnet.phantom import pelvic_geometry, phantom_case

    spacing, matrix = ((3.0, 1.5, 1.5), (40, 256, 256)) if quick else ((1.0, 0.75, 0.75), (120, 512, 512))
    truth = phantom_case(0, 1, 1, pelvic_geometry(spacing, matrix)).structures.labels.array
    prediction = np.zeros_like(truth)
    for label in range(1, len(STRUCTURES) + 1):
        moved = np.roll(truth == label, (1, 2, 3), axis=(0, 1, 2))
        prediction[binary_erosion(moved)] = label
    np.savez(folder / "input.npz", truth=truth, prediction=prediction, spacing=spacing)


def make_program(program: str, names: tuple[str, ...], folder: Path) -> Callable[[], Metrics]:
    """Import a program, and return a function that computes one value per metric and structure."""
    data = np.load(folder / "input.npz")
    truth, prediction, spacing = data["truth"], data["prediction"], tuple(map(float, data["spacing"]))
    labels = range(1, len(STRUCTURES) + 1)
    everything = names == ALL
    if program == "MONAI":
        import torch
        from monai.metrics import (
            compute_average_surface_distance,
            compute_dice,
            compute_hausdorff_distance,
            compute_surface_dice,
        )

        torch.set_num_threads(1)

        def monai() -> Metrics:
            both = [
                torch.from_numpy(np.stack([array == label for label in labels]))[None] for array in (prediction, truth)
            ]
            options = {"include_background": True, "spacing": spacing}
            metrics = {
                "HD95": compute_hausdorff_distance(*both, percentile=95, **options),
                "ASD": compute_average_surface_distance(*both, symmetric=True, **options),
            }
            if everything:
                metrics["DSC"] = compute_dice(*both, include_background=True)
                metrics["surface DSC"] = compute_surface_dice(*both, [TOLERANCE_MM] * len(STRUCTURES), **options)
                metrics["Hausdorff"] = compute_hausdorff_distance(*both, **options)
            return {name: values[0].tolist() for name, values in metrics.items()}

        return monai
    if program == "surface-distance":
        import surface_distance

        def deepmind() -> Metrics:
            metrics: Metrics = {name: [] for name in names}
            for label in labels:
                true, predicted = truth == label, prediction == label
                distances = surface_distance.compute_surface_distances(true, predicted, spacing)
                metrics["HD95"].append(surface_distance.compute_robust_hausdorff(distances, 95))
                metrics["ASD"].append(np.mean(surface_distance.compute_average_surface_distance(distances)))
                if everything:
                    metrics["DSC"].append(surface_distance.compute_dice_coefficient(true, predicted))
                    near = surface_distance.compute_surface_dice_at_tolerance(distances, TOLERANCE_MM)
                    metrics["surface DSC"].append(near)
                    metrics["Hausdorff"].append(surface_distance.compute_robust_hausdorff(distances, 100))
            return {name: list(map(float, values)) for name, values in metrics.items()}

        return deepmind
    if program == "scipy":
        from scipy import ndimage

        def with_scipy() -> Metrics:
            """Compute the metrics by erosion and exact distance transforms of whole masks."""
            metrics: Metrics = {name: [] for name in names}
            for label in labels:
                masks = [truth == label, prediction == label]
                edges = [mask & ~ndimage.binary_erosion(mask) for mask in masks]
                maps = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
                there, back = maps[1][edges[0]], maps[0][edges[1]]
                metrics["HD95"].append(max(np.percentile(there, 95), np.percentile(back, 95)))
                metrics["ASD"].append(np.concatenate((there, back)).mean())
                if everything:
                    metrics["DSC"].append(2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()))
                    metrics["surface DSC"].append((np.concatenate((there, back)) <= TOLERANCE_MM).mean())
                    metrics["Hausdorff"].append(max(there.max(), back.max()))
            return {name: list(map(float, values)) for name, values in metrics.items()}

        return with_scipy
    from gynbtnet.evaluation import score_case
    from gynbtnet.imaging import Geometry, Segmentation, Volume

    geometry = Geometry(truth.shape, spacing)
    both = [Segmentation(Volume(array, geometry), STRUCTURES) for array in (truth, prediction)]

    def ours() -> Metrics:
        """Compute all metrics, since they use the same distances."""
        scores = score_case(*both, case="", patient="")
        columns = {
            "DSC": [score.dsc for score in scores],
            "HD95": [score.hd95_mm for score in scores],
            "ASD": [score.asd_mm for score in scores],
            "surface DSC": [score.surface_dsc for score in scores],
            "Hausdorff": [score.hausdorff_mm for score in scores],
        }
        return {name: columns[name] for name in names}

    return ours


def measure_here(kind: str, program: str, folder: Path) -> None:
    """Compute the metrics twice in this process and print time and memory of the second run."""
    warnings.simplefilter("ignore")
    run = make_program(program, WORK[kind], folder)
    before = psutil.Process().memory_info().rss
    run()
    wall, cpu = time.perf_counter(), time.process_time()
    metrics = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(json.dumps({"wall": wall, "cpu": cpu, "MB": peak / 2**20, "metrics": metrics}))


def measured(kind: str, program: str, folder: Path) -> dict[str, float | Metrics]:
    command = [sys.executable, __file__, "--here", kind, program, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    result: dict[str, float | Metrics] = json.loads(run.stdout.splitlines()[-1])
    return result


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
        kind, program, folder = options.here
        measure_here(kind, program, Path(folder))
        return
    present = [program for program, module in PEERS.items() if importlib.util.find_spec(module)]
    for program in PEERS.keys() - set(present):
        print(f"{program} is not installed and is skipped; install the extras baselines and bench.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = [sys.executable, __file__, "--make", str(folder), *(["--quick"] if options.quick else [])]
        subprocess.run(make, check=True)  # in a separate process: others would inherit its peak memory
        print("| metrics | program | wall s | CPU s | peak MB | ours is faster by (CPU) | largest difference |")
        print("|---|---|---:|---:|---:|---:|---:|")
        for kind, names in WORK.items():
            runs = {program: [measured(kind, program, folder) for _ in range(options.rounds)] for program in present}
            best = {
                program: {key: min(run[key] for run in results) for key in ("wall", "cpu", "MB")}
                for program, results in runs.items()
            }
            for program, least in best.items():
                ratio = "" if program == "ours" else f"{least['cpu'] / best['ours']['cpu']:.1f}×"
                difference = max(
                    abs(theirs - own)
                    for metric in names
                    for theirs, own in zip(
                        runs[program][0]["metrics"][metric], runs["ours"][0]["metrics"][metric], strict=True
                    )
                )
                printed = "" if program == "ours" else f"{difference:.1g}"
                cells = [
                    kind,
                    program,
                    f"{least['wall']:.2f}",
                    f"{least['cpu']:.2f}",
                    f"{least['MB']:.0f}",
                    ratio,
                    printed,
                ]
                print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
