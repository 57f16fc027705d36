"""Everything that a model card is filled from."""

from dataclasses import dataclass, field

from gynbtnet.exports.card.answers import Answers
from gynbtnet.exports.card.evaluated_structures import ModelEvaluation
from gynbtnet.exports.card.model_facts import ModelFacts
from gynbtnet.exports.card.training_cohort import TrainingCohort
from gynbtnet.imaging.structure_names import StructureNames


@dataclass(frozen=True)
class CardSources:
    """Sources of a model card.

    Attributes:
        facts: facts in the model's own folder.
        answers: texts that people typed.
        cohort: counts of the training cohort; None if no cohort is given.
        evaluation: scores; None if there is no evaluation.
        names: names of the structures.
    """

    facts: ModelFacts
    answers: Answers
    cohort: TrainingCohort | None = None
    evaluation: ModelEvaluation | None = None
    names: StructureNames = field(default_factory=StructureNames.load)

    @property
    def name(self) -> str:
        """Name of the model: the typed one, or network and size."""
        plan = self.facts.plan
        network = {"gynbtnet": "GynBTNet", "nnunet": "nnU-Net"}.get(plan.network, "Swin-UNETR")
        return self.answers.texts.get("name", f"{network} {plan.preset}")

    @property
    def open(self) -> tuple[str, ...]:
        """Missing parts of the card: keys of answers, and options that would fill in counts."""
        options = [
            *(["--cohort"] if self.cohort is None else []),
            *(["--evaluation"] if self.evaluation is None and self.facts.plan.structures else []),
        ]
        return (*self.answers.open, *options)
