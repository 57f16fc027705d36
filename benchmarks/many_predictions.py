"""Several scans overlapped beside the same ones one after another, from DICOM to RTSTRUCT, label map and preview.

Synthetic scans of 48 slices of 512×512, a network of preset XS that has learned nothing, no mirroring. Both ways run in
turn, each in a process of its own with its imports done; what is compared are wall and CPU seconds, and labels.

    python benchmarks/many_predictions.py                 # four scans
    python benchmarks/many_predictions.py --scans 2
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WAYS = ("one after another", "overlapped")


def make_input(folder: Path, scans: int) -> None:
    import torch
    from safetensors.torch import save_file

    from gynbtnet.imaging import write_ct_series
    from gynbtnet.networks import GynBTNet
    from gynbtnet.phantom import pelvic_geometry, phantom_case
    from gynbtnet.preparation import Plan

    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    structures = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
    Plan(structures, (4.0, 3.0, 3.0), "zscore", None, (32, 64, 64), 2, "XS", strides).save(folder / "model")
    torch.manual_seed(0)
    network = GynBTNet("XS", outputs=len(structures) + 1, strides=strides)
    save_file(network.state_dict(), folder / "model" / "weights_last.safetensors")
    words = {"patient_id": "PHANTOM", "study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    for number in range(scans):
        scan = phantom_case(0, number, 0, pelvic_geometry((4.0, 0.8, 0.8), (48, 512, 512))).scan
        write_ct_series(scan, folder / "scans" / str(number), seed=number, **words)


def run(way: str, folder: Path) -> dict[str, float]:
    from gynbtnet.inference import (
        PredictionRequest,
        PredictionSettings,
        find_scans,
        load_model,
        predict_scan,
        predict_scans,
    )

    settings = PredictionSettings(mirroring=False, overlap=0.25)
    model = load_model(folder / "model", settings)
    found = find_scans([folder / "scans"], model.channels).scans
    requests = {name: PredictionRequest(files, folder / way / name, settings) for name, files in found.items()}
    wall, cpu = time.perf_counter(), time.process_time()
    if way == "overlapped":
        predict_scans(model, folder / "model", requests)
    else:
        for request in requests.values():
            predict_scan(model, request)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(run(given.way, given.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_input(folder, given.scans)
        took = {}
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--folder", name]
            took[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        same = [
            labels_of(folder / WAYS[0] / str(n)) == labels_of(folder / WAYS[1] / str(n)) for n in range(given.scans)
        ]
    print("| | wall s | CPU s |\n|---|---|---|")
    for way, seconds in took.items():
        print(f"| {way} | {seconds['wall']:.1f} | {seconds['cpu']:.1f} |")
    ratio = {kind: took[WAYS[0]][kind] / took[WAYS[1]][kind] for kind in ("wall", "cpu")}
    print(f"| ratio | {ratio['wall']:.2f} | {ratio['cpu']:.2f} |\n\n{sum(same)} of {len(same)} label maps are equal.")


def labels_of(folder: Path) -> bytes:
    from gynbtnet.imaging import read_volume

    return np.ascontiguousarray(read_volume(folder / "labels.nii.gz").array).tobytes()


if __name__ == "__main__":
    main()
