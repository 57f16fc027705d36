"""Several models on one cohort: what was scored, and what was tested."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.statistics.model_tests import ModelTests
from gynbtnet.evaluation.statistics.sample_size import sample_size_notes


@dataclass(frozen=True)
class Comparison:
    """Several models on the same cases.

    Attributes:
        cohort: the cases that were scored, and no others.
        evaluations: by model, in the order given.
        predictions: by model the folder with ``<case id>/labels.nii.gz``, where it is known.
        tests: of every pair of models.
        ours: the model that the others are compared with.
        from_scratch: ours without pretraining; None where there is none. It has a table of its own.
        settings: how they were compared.
    """

    cohort: Cohort
    evaluations: Mapping[str, Evaluation]
    predictions: Mapping[str, Path]
    tests: ModelTests
    ours: str
    from_scratch: str | None
    settings: ComparisonSettings

    @property
    def structures(self) -> tuple[str, ...]:
        """What was scored, in the order of the evaluations."""
        return tuple(dict.fromkeys(one.structure for one in self.evaluations[self.ours].scores))

    @property
    def rivals(self) -> tuple[str, ...]:
        """The models that ours is set beside in the first table: all others, but for ours without pretraining."""
        return tuple(name for name in self.evaluations if name not in (self.ours, self.from_scratch))

    @property
    def notes(self) -> tuple[str, ...]:
        """What so many cases and patients can't show, a sentence each."""
        comparisons = len(self.structures) * len(self.settings.metrics) * (len(self.evaluations) - 1)
        return sample_size_notes(len(self.cohort.cases), len(self.cohort.patients), comparisons)
