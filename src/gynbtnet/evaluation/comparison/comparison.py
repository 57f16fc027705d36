"""Comparison of several models on one cohort: scores, tests and settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.comparison.settings import ComparisonSettings
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.statistics.model_tests import ModelTests, select_patient_test
from gynbtnet.evaluation.statistics.sample_size import sample_size_notes
from gynbtnet.evaluation.statistics.significance_marks import STRONGLY_SIGNIFICANT
from gynbtnet.imaging.structure_names import StructureNames


@dataclass(frozen=True)
class Comparison:
    """Several models on the same cases.

    Attributes:
        cohort: the cases that were scored, and no others.
        evaluations: scores by model, in the given order.
        predictions: by model, the folder with ``<case id>/labels.nii.gz``; models without a known folder are left out.
        tests: tests of every pair of models.
        ours: the model with which the others are compared.
        from_scratch: our model without pretraining, which has a separate table; None if there is none.
        settings: settings of the comparison.
        names: names of the structures.
        unmarked: reason why a model carries no significance mark, by model; empty: marks depend on the tests alone.
    """

    cohort: Cohort
    evaluations: Mapping[str, Evaluation]
    predictions: Mapping[str, Path]
    tests: ModelTests
    ours: str
    from_scratch: str | None
    settings: ComparisonSettings
    names: StructureNames = field(default_factory=StructureNames.load)
    unmarked: Mapping[str, str] = field(default_factory=dict)

    @property
    def structures(self) -> tuple[str, ...]:
        """Scored structures, in the order of the evaluations."""
        return tuple(dict.fromkeys(score.structure for score in self.evaluations[self.ours].scores))

    @property
    def rivals(self) -> tuple[str, ...]:
        """Models that the first table compares with ours: all others, except ours without pretraining."""
        return tuple(name for name in self.evaluations if name not in (self.ours, self.from_scratch))

    @property
    def n_comparisons(self) -> int:
        """Number of comparisons of our model with the others, over structures and metrics."""
        return len(self.structures) * len(self.settings.metrics) * (len(self.evaluations) - 1)

    @property
    def patient_test(self) -> str:
        """The test by patient that can give a †, a key of ``TESTS``."""
        return select_patient_test(
            len(self.cohort.patients), self.n_comparisons, self.settings.n_resamples, STRONGLY_SIGNIFICANT
        )

    @property
    def marking_test(self) -> str:
        """The test whose p-values give the significance marks, a key of ``TESTS``."""
        test = self.settings.significance_test
        return self.patient_test if test == "patient" else test

    @property
    def notes(self) -> tuple[str, ...]:
        """Limits of this number of cases and patients, one sentence each."""
        return sample_size_notes(len(self.cohort.cases), len(self.cohort.patients), self.n_comparisons)
