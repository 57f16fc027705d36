"""Digests of the weights whose predictions were scored, so that nobody takes the scores for those of another model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json

EVALUATED_WEIGHTS = "weights.json"
"""Name of the file in the folder of an evaluation."""


@dataclass(frozen=True)
class EvaluatedWeights:
    """Weights that made the predictions of an evaluation.

    Attributes:
        sha256: SHA-256 of each weights file, sorted.
    """

    sha256: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path) -> "EvaluatedWeights | None":
        """Read the weights of an evaluation; None if it doesn't record them.

        Raises:
            BadInput: If the file is damaged.
        """
        path = folder / EVALUATED_WEIGHTS
        return read_json(cls, path, "evaluate the predictions again") if path.is_file() else None

    @classmethod
    def of_predictions(cls, manifests: Iterable[Path]) -> "EvaluatedWeights | None":
        """Return the weights that predictions record; None if one doesn't, or is of a model adapted to its patient.

        Args:
            manifests: path of the ``prediction.json`` of each prediction, which may be absent.
        """
        digests: set[str] = set()
        for path in manifests:
            if not path.is_file():
                return None
            try:
                manifest = read_json(_Manifest, path, "predict this scan again with `gynbtnet predict`")
            except BadInput:  # the file of another program; scores don't need it
                return None
            if manifest.model is None or not manifest.model.files or manifest.adaptation:
                return None
            digests.update(manifest.model.files.values())
        return cls(tuple(sorted(digests))) if digests else None


@dataclass(frozen=True)
class _Model:
    files: Mapping[str, str]


@dataclass(frozen=True)
class _Manifest:
    model: _Model | None = None
    adaptation: Mapping[str, Any] | None = None
