"""Paths inside the folder of an experiment."""

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
    """The folder with all results of an experiment.

    Attributes:
        folder: the folder.
    """

    folder: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.yaml"

    @property
    def key(self) -> Path:
        """Study ID of each patient, in all cohorts."""
        return self.folder / "patients.csv"

    def cohort(self, stage: StageName | Literal["further"]) -> Path:
        """Return the folder with the ingested scans of a stage, or with further scans that are only predicted."""
        return self.folder / "cohorts" / stage

    @property
    def split(self) -> Path:
        """Split of the task cohort into test patients and folds."""
        return self.folder / "split.json"

    def plan(self, stage: StageName) -> Path:
        """Return the folder with the plan of a stage."""
        return self.folder / "plans" / stage

    def prepared(self, stage: StageName) -> Path:
        """Return the folder with the prepared scans of a stage."""
        return self.folder / "prepared" / stage

    def run(self, stage: StageName) -> Path:
        """Return the run folder of a stage; that of the last stage is the model."""
        return self.folder / "runs" / stage

    @property
    def test_predictions(self) -> Path:
        """Predictions of the test patients, one folder per case."""
        return self.folder / "predictions" / "test"

    @property
    def validation_predictions(self) -> Path:
        """Predictions of the validation patients without post-processing, one folder per case."""
        return self.folder / "predictions" / "validation"

    @property
    def further_predictions(self) -> Path:
        """Predictions of further scans, which have no truth, one folder per case."""
        return self.folder / "predictions" / "further"

    @property
    def evaluation(self) -> Path:
        """Scores of the test predictions."""
        return self.folder / "evaluation"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.folder / "report.html"

    def trained_stages(self) -> Iterator[StageName]:
        """Return the stages that have a run folder, in their order."""
        return (stage for stage in STAGES if self.training_runs(stage))

    def training_runs(self, stage: StageName) -> tuple[Path, ...]:
        """Return the run folders of a stage that have a log: one, or one per fold; none if it wasn't trained."""
        run = self.run(stage)
        return tuple(path for path in (run, *sorted(run.glob("fold_*"))) if (path / "log.csv").is_file())


@dataclass(frozen=True)
class ComparedModel(Experiment):
    """Paths of one model in the folder of an experiment with several models.

    Attributes:
        name: name of the model.
        shared: stages whose prepared scans are the same as for the recipe with which the model is compared.
    """

    name: str
    shared: frozenset[StageName]

    @property
    def home(self) -> Path:
        """All files from training the model."""
        return self.folder / "models" / self.name

    @property
    def own_recipe(self) -> Path:
        """The resolved recipe of the model."""
        return self.home / "recipe.yaml"

    def plan(self, stage: StageName) -> Path:
        """Return the folder with the plan of a stage."""
        return self.home / "plans" / stage

    def prepared(self, stage: StageName) -> Path:
        """Return the folder with the prepared scans of a stage; models with equal preparation share it."""
        return super().prepared(stage) if stage in self.shared else self.home / "prepared" / stage

    def run(self, stage: StageName) -> Path:
        """Return the run folder of a stage; for the task, the folder of the folds, which together are the model."""
        return self.home / stage

    @property
    def test_predictions(self) -> Path:
        """Predictions of the test patients, one folder per case."""
        return self.folder / "predictions" / self.name

    @property
    def evaluation(self) -> Path:
        """Scores of the test predictions."""
        return self.folder / "evaluations" / self.name


def compared_models(folder: Path) -> tuple[ComparedModel, ...]:
    """Return the scored models in a folder written by :mod:`gynbtnet.experiment.model_comparison`, ordered by name.

    Args:
        folder: the folder of the experiment.

    Returns:
        The folders of each model that has a score table.
    """
    homes = sorted(path for path in (folder / "models").glob("*") if path.is_dir())
    models = (ComparedModel(folder, home.name, frozenset()) for home in homes)
    return tuple(model for model in models if (model.evaluation / "scores.csv").is_file())
