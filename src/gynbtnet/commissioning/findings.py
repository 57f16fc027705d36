"""Findings of the software in one scan: a refusal, warnings, flags and requests for review."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.manifest import MANIFEST
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.prediction_request import PredictionRequest
from gynbtnet.inference.scan_prediction import predict_scan
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import load_json


@dataclass(frozen=True)
class Findings:
    """Everything that the software reports about a scan.

    Attributes:
        refusal: sentence with which the scan was refused; empty if it was predicted.
        warnings: sentences on the scan.
        flags: sentence by structure and kind of flag, "bladder volume".
        review: structures that need a review first, because of their predicted DSC or because they are empty.
    """

    refusal: str = ""
    warnings: tuple[str, ...] = ()
    flags: Mapping[str, str] | None = None
    review: tuple[str, ...] = ()

    @classmethod
    def of_prediction(cls, prediction: Prediction) -> "Findings":
        """Return the findings in a prediction."""
        flags = {f"{flag.structure} {flag.kind}": flag.sentence for flag in prediction.flags}
        review = tuple(name for name in prediction.structures if prediction.needs_review(name))
        return cls("", prediction.warnings, flags, review)

    @classmethod
    def of_folder(cls, folder: Path) -> "Findings":
        """Return the findings in the folder of a prediction."""
        manifest: dict[str, Any] = load_json(folder / MANIFEST)
        flags = {f"{flag['structure']} {flag['kind']}": str(flag["sentence"]) for flag in manifest["flags"]}
        review = tuple(name for name, needed in manifest["review"].items() if needed)
        return cls("", tuple(manifest["warnings"]), flags, review)

    def sentences(self, names: StructureNames) -> tuple[str, ...]:
        """Return all findings, one sentence or two each."""
        if self.refusal:
            return (self.refusal,)
        review = ", ".join(names.display_name(name) for name in self.review)
        return (
            *self.warnings,
            *(self.flags or {}).values(),
            *((f"To be reviewed first: {review}.",) if review else ()),
        )

    def split_by(self, control: "Findings") -> tuple["Findings", "Findings"]:
        """Return the findings that the control doesn't have, and those that it has as well.

        Warnings are compared without their numbers, flags by structure and kind.

        Args:
            control: findings in the scan without the planted failure.
        """
        if self.refusal:
            return (Findings(), self) if control.refusal else (self, Findings())
        return self._where(control, shared=False), self._where(control, shared=True)

    def _where(self, control: "Findings", *, shared: bool) -> "Findings":
        flags, kinds = self.flags or {}, set(map(_kind, control.warnings))
        return Findings(
            "",
            tuple(warning for warning in self.warnings if (_kind(warning) in kinds) == shared),
            {name: sentence for name, sentence in flags.items() if (name in (control.flags or {})) == shared},
            tuple(name for name in self.review if (name in control.review) == shared),
        )


def find(model: Segmenter, request: PredictionRequest) -> Findings:
    """Predict a scan and return the findings; a refusal is one, too."""
    try:
        predict_scan(model, request)
    except BadInput as refusal:
        return Findings(without_path(refusal, request.files.path))
    return Findings.of_folder(request.out)


def without_path(refusal: BadInput, path: Path) -> str:
    """Return the sentence of a refusal with "the scan" instead of its path."""
    sentence = str(refusal).replace(str(path), "the scan")
    return sentence[:1].upper() + sentence[1:]


def _kind(warning: str) -> str:
    """Return a warning without its numbers."""
    return "".join(character for character in warning if not character.isdigit())
