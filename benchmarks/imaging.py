"""Scans in and contours out, beside SimpleITK, rt-utils and plastimatch, on a synthetic scan of 120 slices of 512×512.

Three kinds of work: a folder of slices to an array in HU; CT and RTSTRUCT to the masks of five structures; CT and masks
to an RTSTRUCT. Each variant runs in a process of its own, in turn, does its work twice, and counts the second time;
plastimatch is a program, and all of its run counts. Best of three. The synthetic scan is made first, in 20 seconds.

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
    """The synthetic scan as DICOM, its masks, and an RTSTRUCT of ours."""
    from gynbtnet.imaging import write_ct_series
    from gynbtnet.phantom import pelvic_geometry, phantom_case

    spacing, matrix = ((3.0, 1.5, 1.5), (40, 256, 256)) if quick else ((1.0, 0.75, 0.75), (120, 512, 512))
    case = phantom_case(0, 1, 1, pelvic_geometry(spacing, matrix))
    words = {"patient_id": "PHANTOM", "study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    write_ct_series(case.scan, folder / "CT", seed=1, **words)
    np.save(folder / "labels.npy", case.structures.labels.array)
    work("masks → RTSTRUCT", "ours", folder)()
    shutil.move(folder / "ours.dcm", folder / "RS.dcm")


def work(kind: str, who: str, folder: Path) -> Callable[[], object]:
    """One variant, with its imports done; what it returns is compared."""
    labels = np.load(folder / "labels.npy")
    if who == "SimpleITK":
        import SimpleITK as sitk

        def read() -> np.ndarray:
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "CT")))
            return sitk.GetArrayFromImage(reader.Execute())

        return read
    if who == "rt-utils":
        from rt_utils import RTStructBuilder

        def masks() -> np.ndarray:
            rtstruct = RTStructBuilder.create_from(str(folder / "CT"), str(folder / "RS.dcm"))
            found = [rtstruct.get_roi_mask_by_name(name) for name in rtstruct.get_roi_names()]
            return np.moveaxis(np.stack(found), -1, 1)

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
        found, _ = read_rtstruct(folder / "RS.dcm", read_ct_series(folder / "CT"), STRUCTURES, names)
        return np.stack([found.mask(structure) for structure in STRUCTURES])

    def ours_write() -> Path:
        ct = read_ct_series(folder / "CT")
        drawn = Segmentation(Volume(labels, ct.volume.geometry), STRUCTURES)
        words = {"names": names, "label": "benchmark", "description": "SYNTHETIC", "software_version": "0"}
        write_rtstruct(drawn, ct, folder / "ours.dcm", force=True, **words)
        return folder / "ours.dcm"

    if kind == "CT → array":
        return lambda: read_ct_series(folder / "CT").volume.array
    return ours_masks if kind == "RTSTRUCT → masks" else ours_write


def measure_here(kind: str, who: str, folder: Path) -> None:
    """Do the work twice in this process and print what the second time took."""
    warnings.simplefilter("ignore")
    run = work(kind, who, folder)
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
    """All of a run of the program, from its own resource usage."""
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
    """The lowest DSC of the structures, with the masks that the RTSTRUCT was made from."""
    truth = [labels == label for label in range(1, len(STRUCTURES) + 1)]
    return float(min(2 * (m & t).sum() / (m.sum() + t.sum()) for m, t in zip(masks > 0, truth, strict=True)))


def measured(kind: str, who: str, folder: Path) -> dict[str, float | None]:
    if who == "plastimatch":
        return measure_plastimatch(folder)
    command = [sys.executable, __file__, "--here", kind, who, str(folder)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float | None] = json.loads(run.stdout.splitlines()[-1])
    return found


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
        kind, who, folder = options.here
        measure_here(kind, who, Path(folder))
        return
    absent = {"rt-utils": not HAS_RT_UTILS, "plastimatch": PLASTIMATCH is None}
    for who in (name for name, missing in absent.items() if missing):
        print(f"{who} is not installed and left out; the extra bench of this package brings it.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = [sys.executable, __file__, "--make", str(folder), *(["--quick"] if options.quick else [])]
        subprocess.run(make, check=True)  # in a process of its own: others would inherit its peak of memory
        print("| work | who | wall s | CPU s | peak MB | ours is faster by (CPU) | lowest DSC |")
        print("|---|---|---|---|---|---|---|")
        for kind, variants in WORK.items():
            present = [who for who in variants if not absent.get(who, False)]
            runs: dict[str, list[dict[str, float | None]]] = {who: [] for who in present}
            for _ in range(ROUNDS):
                for who in present:
                    runs[who].append(measured(kind, who, folder))
            best = {who: {key: min(r[key] or 0 for r in found) for key in found[0]} for who, found in runs.items()}
            for who, one in best.items():
                ratio = "" if who == "ours" else f"{one['cpu'] / best['ours']['cpu']:.2f}×"
                dice = f"{one['dice']:.4f}" if one["dice"] else ""
                print(f"| {kind} | {who} | {one['wall']:.2f} | {one['cpu']:.2f} | {one['MB']:.0f} | {ratio} | {dice} |")


if __name__ == "__main__":
    main()
