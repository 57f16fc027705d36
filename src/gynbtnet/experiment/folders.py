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
    def validation_predictions(self) -> Path:
        """A folder per case of the validation patients, as the network segmented it, without post-processing."""
        return self.folder / "predictions" / "validation"

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


@dataclass(frozen=True)
class ComparedModel(Experiment):
    """An experiment's folder, as one of several models sees it.

    Attributes:
        name: the model's.
        shared: stages whose scans are prepared for it as for the recipe that it is compared with.
    """

    name: str
    shared: frozenset[StageName]

    @property
    def home(self) -> Path:
        """All that was made in training it."""
        return self.folder / "models" / self.name

    @property
    def own_recipe(self) -> Path:
        """Its resolved recipe."""
        return self.home / "recipe.yaml"

    def plan(self, stage: StageName) -> Path:
        """How the scans of a stage are prepared."""
        return self.home / "plans" / stage

    def prepared(self, stage: StageName) -> Path:
        """The prepared scans of a stage: once for all models that want them alike."""
        return super().prepared(stage) if stage in self.shared else self.home / "prepared" / stage

    def run(self, stage: StageName) -> Path:
        """The run folder of a stage; of the task, the folder of its folds, which together are the model."""
        return self.home / stage

    @property
    def test_predictions(self) -> Path:
        """A folder for each case of the test patients."""
        return self.folder / "predictions" / self.name

    @property
    def evaluation(self) -> Path:
        """Scores of the test predictions."""
        return self.folder / "evaluations" / self.name


def compared_models(folder: Path) -> tuple[ComparedModel, ...]:
    """The models of a folder that :mod:`gynbtnet.experiment.model_comparison` filled and scored, by name."""
    homes = sorted(path for path in (folder / "models").glob("*") if path.is_dir())
    models = (ComparedModel(folder, home.name, frozenset()) for home in homes)
    return tuple(model for model in models if (model.evaluation / "scores.csv").is_file())
