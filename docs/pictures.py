"""Pictures of README and docs, from the experiment of the demo: python docs/pictures.py demo/experiment"""

import shutil
import subprocess
import sys
from pathlib import Path

from gynbtnet.datasets import Cohort
from gynbtnet.evaluation import Evaluation, best_median_worst, read_prediction, read_truth
from gynbtnet.experiment import Experiment
from gynbtnet.imaging import StructureNames, read_volume
from gynbtnet.pictures import make_view, overlay_figure

IMAGES = Path(__file__).parent / "images"


def main(folder: Path) -> None:
    """Make both pictures."""
    IMAGES.mkdir(exist_ok=True)
    draw_overlay(Experiment(folder))
    save_screenshot(Experiment(folder).report)


def draw_overlay(experiment: Experiment) -> None:
    """Draw truth and prediction of the median test case on three planes."""
    cohort = Cohort.load(experiment.cohort("task"))
    median = dict(best_median_worst(Evaluation.load(experiment.evaluation).scores))["median"]
    case = cohort.case(median)
    truth = read_truth(case, cohort.structures)
    prediction = read_prediction(case, experiment.test_predictions, cohort.structures)
    figure = overlay_figure(make_view(read_volume(case.image), prediction, truth), StructureNames.load())
    figure.savefig(IMAGES / "overlay.png", dpi=110)


def save_screenshot(page: Path) -> None:
    """Take a screenshot of the report page in Chromium, from the top to the table: below it is a path."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit(
            "Chromium was not found, and the screenshot report.png needs it; install it, or keep the old report.png."
        )
    flags = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1180,1330")
    command = [chromium, *flags, f"--screenshot={IMAGES / 'report.png'}", page.absolute().as_uri()]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
