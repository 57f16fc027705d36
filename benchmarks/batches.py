"""Patches per second of our batches and of nnU-Net's loader with its training transforms, on the same scan.

Both run in one process with one thread, and take turns in blocks of patches. Measured are CPU time and wall time. Peak
memory is measured in a separate process for each. nnU-Net reads the scan as its own preprocessing stores it, and we
read ours. Its last transform, which halves the labels for deep supervision, is omitted, since we do that in the loss.
The scan is synthetic.

Examples::

    python benchmarks/batches.py                     # 512×512×300, 80×160×160; takes some minutes
    python benchmarks/batches.py --patches 8 --scan 120 256 256 --patch 48 96 96
    python benchmarks/batches.py --profile           # also a profile of our batches
"""

import argparse
import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from gynbtnet.phantom import STRUCTURES, pelvic_geometry, phantom_case
from gynbtnet.preparation import (
    Plan,
    PreparedCase,
    PreparedCohort,
    clip_to_plan,
    foreground_voxels,
    normalise_channel,
    write_prepared_case,
)
from gynbtnet.training import Augmentation, Batches

SPACING = (1.0, 0.8, 0.8)
WARM_UP = 20  # patches; during its first blurs, nnU-Net times two ways to blur
BLOCK = 10  # patches from one source before the other has its turn
CASE, NNUNET = "phantom", "nnunet"


def write_scan(folder: Path, size: tuple[int, int, int], patch: tuple[int, int, int]) -> None:
    """Write the same normalised scan as we prepare it and as nnU-Net stores it."""
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

    phantom = phantom_case(0, 0, 0, pelvic_geometry(SPACING, size))
    plan = Plan(STRUCTURES, SPACING, "zscore", None, patch, 2, "XS", ((1, 1, 1), *((2, 2, 2),) * 4))
    image = normalise_channel(clip_to_plan(phantom.scan.array, plan), plan)[np.newaxis]
    labels = phantom.structures.labels.array
    voxels = foreground_voxels(labels)
    case = PreparedCase(
        CASE, CASE, phantom.scan.geometry, (float(image.min()),), True, tuple(voxels), "synthetic", folder
    )
    write_prepared_case(case, image, labels, voxels, patch)
    PreparedCohort("phantom", (case,), plan, folder, synthetic=True).save()
    nnunet_folder = folder / NNUNET
    nnunet_folder.mkdir()
    locations = {label: np.insert(indices.astype(np.int64), 0, 0, axis=1) for label, indices in voxels.items()}
    blocks, chunks = comp_blosc2_params(image.shape, patch, 4)
    blocks_seg, chunks_seg = comp_blosc2_params(image.shape, patch, 2)
    nnUNetDatasetBlosc2.save_case(
        image,
        labels[np.newaxis].astype(np.int16),
        {"class_locations": locations},
        str(nnunet_folder / CASE),
        chunks=chunks,
        blocks=blocks,
        chunks_seg=chunks_seg,
        blocks_seg=blocks_seg,
    )


def our_patches(folder: Path) -> Iterator[object]:
    prepared = PreparedCohort.open(folder)
    augmentation = Augmentation("full", prepared.plan.patch_size)
    batches = Batches(prepared.cases, augmentation, 1, seed=0, foreground_oversampling=1 / 3)
    step = 0
    while True:
        yield batches[step]
        step += 1


def nnunet_patches(folder: Path) -> Iterator[object]:
    """Yield patches from a loader as nnUNetTrainer.get_dataloaders builds it, with one patch per batch."""
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    patch = PreparedCohort.open(folder).plan.patch_size
    angles = (-np.pi / 6, np.pi / 6)
    labels = LabelManager({"background": 0, **{name: i for i, name in enumerate(STRUCTURES, 1)}}, None)
    transforms = nnUNetTrainer.get_training_transforms(patch, angles, None, (0, 1, 2), False, use_mask_for_norm=[False])
    np.random.seed(0)  # noqa: NPY002 - nnU-Net draws from this generator
    torch.manual_seed(0)
    yield from nnUNetDataLoader(
        nnUNetDatasetBlosc2(str(folder / NNUNET)),
        1,
        get_patch_size(patch, angles, angles, angles, (0.85, 1.25)),
        patch,
        labels,
        oversample_foreground_percent=1 / 3,
        probabilistic_oversampling=True,
        transforms=transforms,
    )


SOURCES: dict[str, Callable[[Path], Iterator[object]]] = {"ours": our_patches, "nnU-Net": nnunet_patches}


def peak_gb(name: str, folder: Path) -> float:
    """Return the peak memory in GB of a new process that draws patches, minus its memory before them."""
    arguments = [sys.executable, __file__, "--memory-of", name, "--folder", str(folder)]
    return float(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()[-1])


def own_peak_gb(name: str, folder: Path) -> float:
    """Draw patches in this process and return their peak memory in GB."""
    patches = SOURCES[name](folder)
    next(patches)
    Path("/proc/self/clear_refs").write_text(
        "5"
    )  # resets the peak, which includes imports and the timing of the first blur
    before = _status("VmRSS")
    for _ in range(WARM_UP):
        next(patches)
    return (_status("VmHWM") - before) / 1e9


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def table(options: argparse.Namespace, folder: Path) -> str:
    write_scan(folder, options.scan, options.patch)
    sources = {name: start(folder) for name, start in SOURCES.items()}
    seconds = {name: np.zeros(2) for name in sources}
    for patches in sources.values():
        for _ in range(min(WARM_UP, options.patches)):
            next(patches)
    for _ in range(0, options.patches, BLOCK):
        for name, patches in sources.items():
            start = np.array([time.process_time(), time.perf_counter()])
            for _ in range(BLOCK):
                next(patches)
            seconds[name] += np.array([time.process_time(), time.perf_counter()]) - start
    drawn = -(-options.patches // BLOCK) * BLOCK
    faster = seconds["nnU-Net"] / seconds["ours"]
    patch = "×".join(map(str, options.patch))
    lines = [
        f"{drawn} patches of {patch} each, one thread; a synthetic scan of {'×'.join(map(str, options.scan))}.",
        "",
        "| | CPU s per patch | patches per second and core | wall s per patch | peak GB above the start |",
        "|---|---|---|---|---|",
    ]
    for name, (cpu, wall) in seconds.items():
        memory = peak_gb(name, folder)
        lines.append(f"| {name} | {cpu / drawn:.3f} | {drawn / cpu:.1f} | {wall / drawn:.3f} | {memory:.2f} |")
    lines += ["", f"Ours is faster by {faster[0]:.2f}× in CPU time, {faster[1]:.2f}× in wall time."]
    return "\n".join(lines)


def profile(folder: Path, patches: int) -> None:
    source = our_patches(folder)
    next(source)
    with cProfile.Profile() as profiler:
        for _ in range(patches):
            next(source)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, default=100)
    parser.add_argument("--scan", type=int, nargs=3, default=(300, 512, 512), metavar=("Z", "Y", "X"))
    parser.add_argument("--patch", type=int, nargs=3, default=(80, 160, 160), metavar=("Z", "Y", "X"))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--memory-of", choices=SOURCES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.scan, options.patch = tuple(options.scan), tuple(options.patch)
    torch.set_num_threads(1)
    if options.memory_of:
        print(own_peak_gb(options.memory_of, options.folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(table(options, Path(folder)))
        if options.profile:
            profile(Path(folder), options.patches)


if __name__ == "__main__":
    main()
