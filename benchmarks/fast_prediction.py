"""Loss of DSC and gain in time by ``--fast``, on the held-out patients of an experiment.

The model is the ensemble of folds that ``gynbtnet benchmark`` trained. The first scan of each patient is segmented with
the default settings, with parts of them switched off, and with ``--fast``. All runs use one process and one thread.
Printed are the CPU seconds per scan and the difference in DSC, with its 95 % interval over patients. The difference is
to the default settings on the same scan.

    gynbtnet benchmark hours --out hours
    python benchmarks/fast_prediction.py hours
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.stats import bootstrap

from gynbtnet.datasets import Cohort, Split
from gynbtnet.evaluation import dice, read_truth
from gynbtnet.experiment import ComparedModel
from gynbtnet.imaging import read_volume
from gynbtnet.inference import PredictionSettings, load_model

DEFAULT = PredictionSettings()
SETTINGS = {
    "default": DEFAULT,
    "without mirroring": DEFAULT.model_copy(update={"mirroring": False}),
    "one fold": DEFAULT.model_copy(update={"folds": 1}),
    "one fold, without mirroring": DEFAULT.model_copy(update={"folds": 1, "mirroring": False}),
    "--fast": DEFAULT.fast(),
}


def dsc_and_seconds(compared_model: ComparedModel, settings: PredictionSettings) -> Iterator[tuple[float, float]]:
    """Yield the mean DSC over structures and the CPU seconds, for the first scan of each patient."""
    cohort = Cohort.load(compared_model.cohort("task"))
    model = load_model(compared_model.run("task"), settings)
    for patient in Split.load(compared_model.split).test:
        case = cohort.of_patients([patient]).cases[0]
        scan, truth = read_volume(case.image), read_truth(case, cohort.structures)
        start = time.process_time()
        prediction = model.segment([scan], settings).segmentation
        seconds = time.process_time() - start
        structures = [name for name in cohort.structures if name not in case.missing]
        yield float(np.nanmean([dice(truth.mask(name), prediction.mask(name)) for name in structures])), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="folder that `gynbtnet benchmark` wrote")
    parser.add_argument("--model", default="gynbtnet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    compared_model = ComparedModel(options.experiment, options.model, frozenset())
    print("| settings | CPU s per scan | faster | DSC | difference (95 % interval) |\n|---|---|---|---|---|")
    default_dsc = np.empty(0)
    default_seconds = 0.0
    for name, settings in SETTINGS.items():
        dsc, seconds = np.array(list(dsc_and_seconds(compared_model, settings))).T
        if not default_seconds:
            default_dsc, default_seconds = dsc, seconds.mean()
            difference = ""
        else:
            differences = dsc - default_dsc
            low, high = bootstrap((differences,), np.mean, rng=0).confidence_interval
            difference = f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        faster = f"{default_seconds / seconds.mean():.1f}×"
        print(f"| {name} | {seconds.mean():.1f} | {faster} | {dsc.mean():.3f} | {difference} |", flush=True)


if __name__ == "__main__":
    main()
