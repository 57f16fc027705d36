"""What ``--fast`` costs in DSC and saves in time, on the patients held out of an experiment.

The model is the ensemble of folds that ``gynbtnet benchmark`` trained; each patient's first scan is contoured with the
default settings, with less of them, and with ``--fast``. One process and one thread, CPU seconds of each scan; the
difference in DSC is that to the default settings on the same scan, with its 95 % interval over patients.

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


def figures(home: ComparedModel, settings: PredictionSettings) -> Iterator[tuple[float, float]]:
    """Of each patient's first scan the mean DSC over structures, and CPU seconds."""
    cohort = Cohort.load(home.cohort("task"))
    model = load_model(home.run("task"), settings)
    for patient in Split.load(home.split).test:
        case = cohort.of_patients([patient]).cases[0]
        scan, truth = read_volume(case.image), read_truth(case, cohort.structures)
        start = time.process_time()
        found = model.segment([scan], settings).segmentation
        seconds = time.process_time() - start
        known = [name for name in cohort.structures if name not in case.missing]
        yield float(np.nanmean([dice(truth.mask(name), found.mask(name)) for name in known])), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="folder that `gynbtnet benchmark` filled")
    parser.add_argument("--model", default="gynbtnet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    home = ComparedModel(options.experiment, options.model, frozenset())
    print("| settings | CPU s a scan | faster | DSC | difference (95 % interval) |\n|---|---|---|---|---|")
    before = np.empty(0)
    slow = 0.0
    for name, settings in SETTINGS.items():
        dsc, seconds = np.array(list(figures(home, settings))).T
        if not slow:
            before, slow = dsc, seconds.mean()
            cost = ""
        else:
            gained = dsc - before
            low, high = bootstrap((gained,), np.mean, rng=0).confidence_interval
            cost = f"{gained.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        print(
            f"| {name} | {seconds.mean():.1f} | {slow / seconds.mean():.1f}× | {dsc.mean():.3f} | {cost} |", flush=True
        )


if __name__ == "__main__":
    main()
