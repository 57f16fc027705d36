"""Prediction of one scan from Python: python examples/contour_a_scan.py MODEL SCAN OUT

MODEL is a run folder, the folder of a cross-validation, or a zip of one. SCAN is an image file in HU. OUT is the label
map that is written.
"""

import sys
from pathlib import Path

from gynbtnet import load_model, predict
from gynbtnet.imaging import read_volume, write_volume


def main(model: Path, scan: Path, out: Path) -> None:
    prediction = predict(load_model(model), read_volume(scan))
    for structure in prediction.structures:
        print(f"{structure}: {prediction.volume_cm3(structure):.1f} cm³")
    write_volume(prediction.labels, out)  # label 1 is the first structure, on the scan's own grid


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
