"""Preparation of a scan: resampling compared with that of nnU-Net, and reading of patches.

We and nnU-Net, with its default settings, resample two synthetic scans of 512×512×120 voxels and their labels to 1.5 mm
on all axes. The first has voxels of 0.98×0.98×2.5 mm. The second has slices of 3.3 mm, so that both programs resample
slice by slice. Each program runs in a separate process. Printed are CPU time, wall time, peak memory and the
differences between the results. Finally a scan of 512×512×300 is stored, and patches of 80×160×160 are read from it.

    python benchmarks/preparation.py               # takes some minutes
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blosc2
import numpy as np

from gynbtnet.imaging import read_volume, write_volume
from gynbtnet.phantom import STRUCTURES, pelvic_geometry, phantom_case
from gynbtnet.preparation import (
    Plan,
    PreparedCase,
    clip_to_plan,
    foreground_voxels,
    normalise_channel,
    resample,
    resample_labels,
    separate_axis,
    write_prepared_case,
)

SCANS = {"all axes together": (2.5, 0.977, 0.977), "slices apart": (3.3, 0.977, 0.977)}
SIZE, TARGET_SPACING = (120, 512, 512), (1.5, 1.5, 1.5)
LARGE, LARGE_SPACING, PATCH = (300, 512, 512), (1.0, 0.8, 0.8), (80, 160, 160)
PATCHES = 50


def measure(program: str, folder: Path) -> None:
    """Resample image and labels once, in this process, and save results, times and peak memory in ``folder``."""
    image, labels = read_volume(folder / "image.nii.gz"), read_volume(folder / "labels.nii.gz")
    source = image.geometry
    target = source.with_spacing(TARGET_SPACING)
    hu = image.array.astype(np.float32)
    if program == "nnU-Net":
        from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
    seconds = []
    for kind in ("image", "labels"):
        start = time.process_time(), time.perf_counter()
        array = hu if kind == "image" else labels.array
        if program == "nnU-Net":
            order = 3 if kind == "image" else 1
            result = resample_data_or_seg_to_shape(
                array[None], target.shape, source.spacing, TARGET_SPACING, kind == "labels", order, 0, None
            )[0]
        else:
            separate = separate_axis(source.spacing, TARGET_SPACING)
            result = (
                resample(array, source, target, 3, separate=separate)
                if kind == "image"
                else resample_labels(array, source, target, separate=separate)
            )
        seconds += [time.process_time() - start[0], time.perf_counter() - start[1]]
        np.save(folder / f"{program}-{kind}.npy", result)
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    np.save(folder / f"{program}.npy", [*seconds, peak / 1e9])


def compare_resampling(name: str, folder: Path) -> list[str]:
    """Return the lines of a report on the resampling of one scan by both programs."""
    phantom = phantom_case(0, 0, 0, pelvic_geometry(SCANS[name], SIZE))
    write_volume(phantom.scan, folder / "image.nii.gz")
    write_volume(phantom.structures.labels, folder / "labels.nii.gz")
    measurements = {}
    for program in ("ours", "nnU-Net"):
        subprocess.run([sys.executable, __file__, "--measure", program, "--folder", str(folder)], check=True)
        measurements[program] = np.load(folder / f"{program}.npy")
    lines = [
        f"Spacing {'×'.join(map(str, SCANS[name]))} mm (z, y, x), {name}:",
        "",
        "| | image, CPU s | labels, CPU s | both, CPU s | both, wall s | peak GB of the process |",
        "|---|---|---|---|---|---|",
    ]
    for program, (image, image_wall, labels, labels_wall, peak) in measurements.items():
        both = image + labels
        lines.append(
            f"| {program} | {image:.2f} | {labels:.2f} | {both:.2f} | {image_wall + labels_wall:.2f} | {peak:.2f} |"
        )
    ours, theirs = (measurements[program][0] + measurements[program][2] for program in ("ours", "nnU-Net"))
    image, expected = (np.load(folder / f"{program}-image.npy") for program in ("ours", "nnU-Net"))
    labels, truth = (np.load(folder / f"{program}-labels.npy") for program in ("ours", "nnU-Net"))
    near = (np.abs(image - expected) <= 0.01 * phantom.scan.array.std()).mean()
    scores = [_dice(labels == label, truth == label) for label in range(1, len(STRUCTURES) + 1)]
    return [
        *lines,
        "",
        f"nnU-Net takes {theirs / ours:.1f} times our CPU time. {near:.4%} of voxels differ by at most 1 % of the",
        f"image's standard deviation, none by more than {np.abs(image - expected).max():.2g} HU; the lowest DSC of",
        f"{len(scores)} structures is {min(scores):.4f}.",
        "",
    ]


def _dice(mask: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (mask & other).sum() / (mask.sum() + other.sum()))


def measure_reading(folder: Path) -> list[str]:
    """Return the lines of a report on the size of a stored scan and the reading of its patches."""
    phantom = phantom_case(0, 0, 0, pelvic_geometry(LARGE_SPACING, LARGE))
    plan = Plan(STRUCTURES, LARGE_SPACING, "zscore", None, PATCH, 2, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))
    image = normalise_channel(clip_to_plan(phantom.scan.array, plan), plan)[np.newaxis]
    labels = phantom.structures.labels.array
    voxels = foreground_voxels(labels)
    case = PreparedCase("a", "a", phantom.scan.geometry, (float(image.min()),), True, tuple(voxels), "", folder)
    start = time.process_time()
    write_prepared_case(case, image, labels, voxels, PATCH)
    write_s = time.process_time() - start
    random = np.random.default_rng(0)
    corners = [
        tuple(int(random.integers(n - p + 1)) for n, p in zip(LARGE, PATCH, strict=True)) for _ in range(PATCHES)
    ]
    start = time.process_time()
    for corner in corners:
        case.crop(corner, PATCH)
    seconds = (time.process_time() - start) / PATCHES
    read_mb = np.mean([bytes_read(case, corner) for corner in corners]) / 1e6
    size_mb = sum(path.stat().st_size for path in case.files) / 1e6
    return [
        f"A stored scan of {'×'.join(map(str, LARGE))} and labels: {size_mb:.0f} MB, written in {write_s:.1f} CPU s.",
        f"A patch of {'×'.join(map(str, PATCH))} reads {read_mb:.1f} MB of it, in {seconds * 1e3:.0f} ms of CPU time.",
    ]


def bytes_read(case: PreparedCase, corner: tuple[int, int, int]) -> int:
    """Return the bytes that read() returns for one patch, with the files opened again and not memory-mapped."""
    box = (slice(None), *(slice(low, low + n) for low, n in zip(corner, PATCH, strict=True)))
    before = _read_so_far()
    for path in (case.image_file, case.labels_file):
        blosc2.open(str(path), mode="r", dparams={"nthreads": 1})[box]
    return _read_so_far() - before


def _read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", choices=("ours", "nnU-Net"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.folder)
        return
    for name in SCANS:
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(compare_resampling(name, Path(folder))), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(measure_reading(Path(folder))))


if __name__ == "__main__":
    main()
