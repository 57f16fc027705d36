"""The pictures of README and docs, from the demo's experiment: python docs/pictures.py demo/experiment"""

import sys
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.case_overlay import best_median_worst
from gynbtnet.evaluation.evaluate import Evaluation, prediction_of, truth_of
from gynbtnet.experiment import Experiment
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume_files import read_volume
from gynbtnet.pictures.overlays import overlay_figure, view


def main(folder: Path) -> None:
    """Draw the median test case, truth and prediction, on three planes."""
    experiment = Experiment(folder)
    cohort = Cohort.load(experiment.cohort("task"))
    median = dict(best_median_worst(Evaluation.load(experiment.evaluation).scores))["median"]
    case = cohort.case(median)
    truth = truth_of(case, cohort.structures)
    prediction = prediction_of(case, experiment.test_predictions, cohort.structures)
    figure = overlay_figure(view(read_volume(case.image), prediction, truth), StructureNames.load())
    out = Path(__file__).parent / "images" / "overlay.png"
    out.parent.mkdir(exist_ok=True)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
