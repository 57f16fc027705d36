"""Prediction of several scans, overlapped and one after another, from DICOM to RTSTRUCT, label map and preview.

The scans are synthetic, with 48 slices of 512×512. The network has preset XS and random weights, and there is no
mirroring. Both variants run in turn, each in a separate process; imports are not measured. Compared are wall and CPU
seconds, and labels.

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

VARIANTS = ("one after another", "overlapped")


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
    attributes = {"patient_id": "PHANTOM", "study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    for number in range(scans):
        scan = phantom_case(0, number, 0, pelvic_geometry((4.0, 0.8, 0.8), (48, 512, 512))).scan
        write_ct_series(scan, folder / "scans" / str(number), seed=number, **attributes)


def run(variant: str, folder: Path) -> dict[str, float]:
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
    scans = find_scans([folder / "scans"], model.channels, folder / variant).scans
    requests = {name: PredictionRequest(files, folder / variant / name, settings) for name, files in scans.items()}
    wall, cpu = time.perf_counter(), time.process_time()
    if variant == "overlapped":
        predict_scans(model, folder / "model", requests)
    else:
        for request in requests.values():
            predict_scan(model, request)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(run(options.variant, options.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_input(folder, options.scans)
        results = {}
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--variant", variant, "--folder", name]
            results[variant] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        same = [
            labels_of(folder / VARIANTS[0] / str(n)) == labels_of(folder / VARIANTS[1] / str(n))
            for n in range(options.scans)
        ]
    print("| | wall s | CPU s |\n|---|---|---|")
    for variant, seconds in results.items():
        print(f"| {variant} | {seconds['wall']:.1f} | {seconds['cpu']:.1f} |")
    ratio = {kind: results[VARIANTS[0]][kind] / results[VARIANTS[1]][kind] for kind in ("wall", "cpu")}
    print(f"| ratio | {ratio['wall']:.2f} | {ratio['cpu']:.2f} |\n\n{sum(same)} of {len(same)} label maps are equal.")


def labels_of(folder: Path) -> bytes:
    from gynbtnet.imaging import read_volume

    return np.ascontiguousarray(read_volume(folder / "labels.nii.gz").array).tobytes()


if __name__ == "__main__":
    main()
