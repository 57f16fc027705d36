"""Reading of scans and conversion of contours, compared with SimpleITK, rt-utils and plastimatch.

The synthetic scan has 120 slices of 512×512; making it takes 20 seconds. There are three tasks:

- a folder of slices to an array in HU
- CT and RTSTRUCT to the masks of five structures
- CT and masks to an RTSTRUCT

The variants take turns, each in a separate process. Each does its task twice, and the second time counts. plastimatch
is a program, so that its whole run counts. The best of three runs is printed.

    python benchmarks/imaging.py                 # peers: pip install "gynbtnet[bench]"
    python benchmarks/imaging.py --quick         # 40 slices of 256×256
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

ROUNDS = 3
STRUCTURES = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
WORK = {
    "CT → array": ("ours", "SimpleITK"),
    "RTSTRUCT → masks": ("ours", "rt-utils", "plastimatch"),
    "masks → RTSTRUCT": ("ours", "rt-utils"),
}
PLASTIMATCH = shutil.which("plastimatch", path=sysconfig.get_path("scripts")) or shutil.which("plastimatch")
HAS_RT_UTILS = importlib.util.find_spec("rt_utils") is not None


def make_input(folder: Path, quick: bool) -> None:
    """Write the synthetic scan as DICOM, its masks, and our RTSTRUCT of them."""
    from gynbtnet.imaging import write_ct_series
    from gynbtnet.phantom import pelvic_geometry, phantom_case

    spacing, matrix = ((3.0, 1.5, 1.5), (40, 256, 256)) if quick else ((1.0, 0.75, 0.75), (120, 512, 512))
    case = phantom_case(0, 1, 1, pelvic_geometry(spacing, matrix))
    attributes = {"patient_id": "PHANTOM", "study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    write_ct_series(case.scan, folder / "CT", seed=1, **attributes)
    np.save(folder / "labels.npy", case.structures.labels.array)
    work("masks → RTSTRUCT", "ours", folder)()
    shutil.move(folder / "ours.dcm", folder / "RS.dcm")


def work(kind: str, program: str, folder: Path) -> Callable[[], object]:
    """Import a program and return a function that does one task; its result is compared."""
    labels = np.load(folder / "labels.npy")
    if program == "SimpleITK":
        import SimpleITK as sitk

        def read() -> np.ndarray:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "CT")))
            return sitk.GetArrayFromImage(reader.Execute())

        return read
    if program == "rt-utils":
        from rt_utils import RTStructBuilder

        def masks() -> np.ndarray:
            rtstruct = RTStructBuilder.create_from(str(folder / "CT"), str(folder / "RS.dcm"))
            roi_masks = [rtstruct.get_roi_mask_by_name(name) for name in rtstruct.get_roi_names()]
            return np.moveaxis(np.stack(roi_masks), -1, 1)

        def write() -> Path:
            rtstruct = RTStructBuilder.create_new(str(folder / "CT"))
            for label, name in enumerate(STRUCTURES, start=1):
                rtstruct.add_roi(mask=np.moveaxis(labels == label, 0, -1), name=name)
            rtstruct.save(str(folder / "theirs"))
            return folder / "theirs.dcm"

        return masks if kind == "RTSTRUCT → masks" else write
    from gynbtnet.imaging import Segmentation, StructureNames, Volume, read_ct_series, read_rtstruct, write_rtstruct

    names = StructureNames.load()

    def ours_masks() -> np.ndarray:
        segmentation, _ = read_rtstruct(folder / "RS.dcm", read_ct_series(folder / "CT"), STRUCTURES, names)
        return np.stack([segmentation.mask(structure) for structure in STRUCTURES])

    def ours_write() -> Path:
        ct = read_ct_series(folder / "CT")
        segmentation = Segmentation(Volume(labels, ct.volume.geometry), STRUCTURES)
        attributes = {"names": names, "label": "benchmark", "description": "SYNTHETIC", "software_version": "0"}
        write_rtstruct(segmentation, ct, folder / "ours.dcm", force=True, **attributes)
        return folder / "ours.dcm"

    if kind == "CT → array":
        return lambda: read_ct_series(folder / "CT").volume.array
    return ours_masks if kind == "RTSTRUCT → masks" else ours_write


def measure_here(kind: str, program: str, folder: Path) -> None:
    """Do a task twice in this process and print time and memory of the second run."""
    warnings.simplefilter("ignore")
    run = work(kind, program, folder)
    before = psutil.Process().memory_info().rss
    with contextlib.redirect_stdout(io.StringIO()):
        run()
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    agreement = None
    if isinstance(result, np.ndarray) and kind == "RTSTRUCT → masks":
        agreement = least_dice(result, np.load(folder / "labels.npy"))
    print(json.dumps({"wall": wall, "cpu": cpu, "MB": peak / 2**20, "dice": agreement}))


def measure_plastimatch(folder: Path) -> dict[str, float | None]:
    """Run plastimatch and return time and memory of the whole run, from its resource usage."""
    out = folder / "plastimatch"
    shutil.rmtree(out, ignore_errors=True)
    command = [PLASTIMATCH, "convert", "--input", folder / "RS.dcm", "--referenced-ct", folder / "CT"]
    start = time.perf_counter()
    arguments = [*map(str, command), "--output-prefix", str(out), "--prefix-format", "mha"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"plastimatch ended with status {status}.")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "MB": usage.ru_maxrss / 1024, "dice": None}


def least_dice(masks: np.ndarray, labels: np.ndarray) -> float:
    """Return the lowest DSC of a structure, compared with the masks from which the RTSTRUCT was made."""
    truth = [labels == label for label in range(1, len(STRUCTURES) + 1)]
    return float(min(2 * (m & t).sum() / (m.sum() + t.sum()) for m, t in zip(masks > 0, truth, strict=True)))


def measured(kind: str, program: str, folder: Path) -> dict[str, float | None]:
    if program == "plastimatch":
        return measure_plastimatch(folder)
    command = [sys.executable, __file__, "--here", kind, program, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float | None] = json.loads(run.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
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
    is_missing = {"rt-utils": not HAS_RT_UTILS, "plastimatch": PLASTIMATCH is None}
    for program in (name for name, missing in is_missing.items() if missing):
        print(f"{program} is not installed and is skipped; install the extra bench.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = [sys.executable, __file__, "--make", str(folder), *(["--quick"] if options.quick else [])]
        subprocess.run(make, check=True)  # in a separate process: others would inherit its peak memory
        print("| work | program | wall s | CPU s | peak MB | ours is faster by (CPU) | lowest DSC |")
        print("|---|---|---|---|---|---|---|")
        for kind, variants in WORK.items():
            present = [program for program in variants if not is_missing.get(program, False)]
            runs: dict[str, list[dict[str, float | None]]] = {program: [] for program in present}
            for _ in range(ROUNDS):
                for program in present:
                    runs[program].append(measured(kind, program, folder))
            best = {
                program: {key: min(run[key] or 0 for run in results) for key in results[0]}
                for program, results in runs.items()
            }
            for program, least in best.items():
                ratio = "" if program == "ours" else f"{least['cpu'] / best['ours']['cpu']:.2f}×"
                dice = f"{least['dice']:.4f}" if least["dice"] else ""
                cells = f"{least['wall']:.2f} | {least['cpu']:.2f} | {least['MB']:.0f} | {ratio} | {dice}"
                print(f"| {kind} | {program} | {cells} |")


if __name__ == "__main__":
    main()
