"""Where an experiment keeps what."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

StageName = Literal["pretraining", "supervised", "task"]
STAGES: dict[StageName, str] = {
    "pretraining": "Stage 1: self-supervised pretraining",
    "supervised": "Stage 2: many organs",
    "task": "Stage 3: the clinic's own structures",
}


@dataclass(frozen=True)
class Experiment:
    """A folder that holds all that an experiment made, each part by its own name."""

    folder: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.yaml"

    @property
    def key(self) -> Path:
        """Which study ID stands for which patient, in all cohorts."""
        return self.folder / "patients.csv"

    def cohort(self, stage: StageName | Literal["further"]) -> Path:
        """The ingested scans of a stage, or those that are predicted and have no contours."""
        return self.folder / "cohorts" / stage

    @property
    def split(self) -> Path:
        """Which patients of the task cohort are held out."""
        return self.folder / "split.json"

    def plan(self, stage: StageName) -> Path:
        """How the scans of a stage are prepared."""
        return self.folder / "plans" / stage

    def prepared(self, stage: StageName) -> Path:
        """The prepared scans of a stage."""
        return self.folder / "prepared" / stage

    def run(self, stage: StageName) -> Path:
        """The run folder of a stage; of the last one, the model."""
        return self.folder / "runs" / stage

    @property
    def test_predictions(self) -> Path:
        """A folder for each case of the test patients."""
        return self.folder / "predictions" / "test"

    @property
    def further_predictions(self) -> Path:
        """A folder for each further scan, which has no truth."""
        return self.folder / "predictions" / "further"

    @property
    def evaluation(self) -> Path:
        """Scores of the test predictions."""
        return self.folder / "evaluation"

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    def trained_stages(self) -> Iterator[StageName]:
        """The stages that have a run folder, in their order."""
        return (stage for stage in STAGES if (self.run(stage) / "log.csv").is_file())
