"""The model card: YAML front matter for the Hugging Face hub, and the sections of the AID-RT card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gynbtnet.evaluation.metrics.evaluation import EVALUATION_FILES
from gynbtnet.exports.card import sections
from gynbtnet.exports.card.answers import Answers
from gynbtnet.exports.card.card_sources import CardSources
from gynbtnet.exports.card.evaluated_structures import ModelEvaluation, read_model_evaluation
from gynbtnet.exports.card.front_matter import front_matter
from gynbtnet.exports.card.model_facts import ModelFacts, read_model_facts
from gynbtnet.exports.card.training_cohort import read_training_cohort
from gynbtnet.runtime.errors import BadInput

_SECTIONS = {
    "0. Card metadata": sections.card_metadata,
    "1. Model basic information": sections.basic_information,
    "2. Technical specifications": sections.architecture,
    "3. Training": sections.training,
    "4. Evaluation": sections.evaluation,
    "5. Other considerations": sections.other_considerations,
}


@dataclass(frozen=True)
class CardInputs:
    """Files that a card is filled from, in addition to the model.

    Attributes:
        cohort: cohort of the training; None: its counts stay open.
        split: split with the test patients of the cohort.
        evaluation: folder of an evaluation; None: that of the cross-validation, if the model is one.
        answers: YAML file with the texts of the model's owners.
    """

    cohort: Path | None = None
    split: Path | None = None
    evaluation: Path | None = None
    answers: Path | None = None


@dataclass(frozen=True)
class ModelCard:
    """A model card.

    Attributes:
        name: name of the model.
        licence: licence of the weights; empty if it is not stated.
        synthetic: no real patient was scanned for the training.
        text: the card, Markdown with front matter.
        open: missing parts, see :attr:`~gynbtnet.exports.card.card_sources.CardSources.open`.
    """

    name: str
    licence: str
    synthetic: bool
    text: str
    open: tuple[str, ...]


def make_card(
    folder: Path,
    inputs: CardInputs | None = None,
    *,
    weights: Literal["last", "best"] = "last",
    library: str = "gynbtnet",
) -> ModelCard:
    """Make the card of a model.

    Equal inputs give an equal card. It contains no identifiers of patients, and no counts of patients or scans below
    five.

    Args:
        folder: run folder, or folder of a cross-validation.
        inputs: further files; None: the card has only what the model's own folder contains.
        weights: weights that are exported.
        library: name of the library that runs the model, for the hub.

    Returns:
        The card, with the items that are still open.

    Raises:
        BadInput: If the folder contains no model, a file is damaged, or the inputs don't belong to the model.
    """
    inputs = inputs or CardInputs()
    if inputs.split and not inputs.cohort:
        raise BadInput("--split belongs to --cohort; give the cohort, too, or leave the split out.")
    facts = read_model_facts(folder, weights)
    sources = CardSources(
        facts,
        Answers.load(inputs.answers) if inputs.answers else Answers(),
        read_training_cohort(inputs.cohort, inputs.split, facts) if inputs.cohort else None,
        _evaluation(folder, inputs.evaluation, facts),
    )
    body = "".join(f"\n## {title}\n\n{section(sources).rstrip()}\n" for title, section in _SECTIONS.items())
    return ModelCard(
        name=sources.name,
        licence=sources.answers.texts.get("license", ""),
        synthetic=facts.synthetic,
        text=f"{front_matter(sources, library)}\n# {sources.name}\n{body}",
        open=sources.open,
    )


def _evaluation(folder: Path, given: Path | None, facts: ModelFacts) -> ModelEvaluation | None:
    """Read the given evaluation, or that of the cross-validation; None if there is none."""
    structures = facts.plan.structures
    if given is not None:
        return read_model_evaluation(given, structures, facts.digests.values())
    own = folder / "evaluation"
    if facts.folds < 2 or not (own / EVALUATION_FILES[0]).is_file():
        return None
    return read_model_evaluation(own, structures, facts.digests.values(), is_cross_validation=True)
