"""Paths inside the folder of learning curves."""

from dataclasses import dataclass
from pathlib import Path

from gynbtnet.experiment.curves.run_list import CurveRun


@dataclass(frozen=True)
class CurvesFolder:
    """The folder with all runs and results of learning curves.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def setup(self) -> Path:
        """Design, models and patients, which figures and page need in addition to the tables."""
        return self.folder / "curves.json"

    def recipe(self, model: str, candidate: str) -> Path:
        """Return the resolved recipe of a candidate."""
        return self.folder / "recipes" / model / f"{candidate}.yaml"

    @property
    def scans_lock(self) -> Path:
        """Lock of the process that writes or ingests the scans."""
        return self.folder / ".scans.lock"

    @property
    def tables_lock(self) -> Path:
        """Lock of the process that writes tables and figures."""
        return self.folder / ".tables.lock"

    @property
    def prepared(self) -> Path:
        """Prepared scans, which the runs share."""
        return self.folder / "prepared"

    @property
    def stages(self) -> Path:
        """Run folders of stages 1 and 2, which the models share."""
        return self.folder / "stages"

    def run(self, run: CurveRun) -> Path:
        """Return the folder of a run of the task."""
        return self.folder / "runs" / run.name

    def record(self, run: CurveRun) -> Path:
        """Return the file that a finished run has."""
        return self.run(run) / "run.json"

    def run_scores(self, run: CurveRun) -> Path:
        """Return the scores of a finished run."""
        return self.run(run) / "scores.csv"

    @property
    def points(self) -> Path:
        """Table of all finished runs, one row per run."""
        return self.folder / "points.csv"

    @property
    def scores(self) -> Path:
        """Scores of all finished runs, one row per run, case and structure."""
        return self.folder / "scores.csv"

    @property
    def results(self) -> Path:
        """Page with the results."""
        return self.folder / "results.md"
