"""Fields of the card that only people can fill in, and the file with their answers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml

FIELDS: Mapping[str, str] = {
    "name": "name of the model",
    "version": "version of the model, and what changed since the last one",
    "card_date": "date of this card",
    "developers": "developers, their institutions and a contact",
    "license": "licence of the weights, by its name on the Hugging Face hub, such as apache-2.0 or cc-by-4.0",
    "intended_use": "clinical task, and the step of the workflow",
    "intended_users": "who may use it, with which training",
    "clearance": "regulatory status, and who approved it for which use",
    "contraindications": "patients, implants and scans on which it must not be used",
    "limitations": "limitations that were observed",
    "conflicts_of_interest": "conflicts of interest and funding",
    "citation": "how to cite it",
    "data_source": "institutions and period of the training data",
    "inclusion_criteria": "inclusion and exclusion of patients",
    "acquisition": "scanners, protocols and contrast medium",
    "reference_standard": "who contoured, by which guideline, and who checked it",
    "demographics": "age, disease and stage of the patients",
    "ethics": "approval of the ethics committee and consent",
    "evaluation_data": "source of the evaluated scans, and how they differ from the training",
    "qualitative_evaluation": "rating by clinicians, time saved",
    "dose_evaluation": "effect of the contours on dose metrics",
    "risk_analysis": "risks, and how they are reduced",
    "ethical_considerations": "ethical considerations, such as groups of patients that are missing",
    "monitoring": "how the model is monitored, and when it is commissioned again",
}
"""Meaning of each field, by its key in the file, in the order of the card."""
_LONGEST = 4000  # characters of an answer


@dataclass(frozen=True)
class Answers:
    """Answers of the model's owners.

    Attributes:
        texts: text by key, see :data:`FIELDS`.
    """

    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def open(self) -> tuple[str, ...]:
        """Keys without an answer, in the order of the card."""
        return tuple(key for key in FIELDS if key not in self.texts)

    def text(self, key: str) -> str:
        """Return the answer as a paragraph; without an answer a mark that asks for it."""
        return self.texts.get(key) or f"**To be stated** (`{key}`): {FIELDS[key]}."

    @classmethod
    def load(cls, path: Path) -> "Answers":
        """Read a YAML file of answers by key; a key with an empty text stays open.

        Raises:
            BadInput: If the file is absent, is not a mapping of texts, or has an unknown key.
        """
        problem = f"expected a YAML file of texts by key ({', '.join(FIELDS)})"
        try:
            content = load_yaml(path)
        except (OSError, UnicodeDecodeError, PlainDataError) as error:
            raise BadInput(f"{path} can't be read as answers for the model card; {problem}.") from error
        if not isinstance(content, dict):
            raise BadInput(f"{path} has no answers for the model card; {problem}.")
        _check_keys(content, path)
        texts = {str(key): "" if value is None else " ".join(str(value).split()) for key, value in content.items()}
        wrong = next((key for key, value in content.items() if isinstance(value, dict | list)), None)
        too_long = next((key for key, text in texts.items() if len(text) > _LONGEST), None)
        if wrong or too_long:
            raise BadInput(f"{wrong or too_long} in {path} is not a text of at most {_LONGEST} characters; {problem}.")
        return cls({key: text for key, text in texts.items() if text})


def _check_keys(keys: Collection[object], path: Path) -> None:
    unknown = next((key for key in keys if key not in FIELDS), None)
    if unknown is not None:
        raise BadInput(f"{path} answers {str(unknown)!r}, which no card asks; expected some of {', '.join(FIELDS)}.")
