"""Facts of a model that its own folder contains."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.evaluated_settings import evaluated_settings
from gynbtnet.inference.models.model_loading import run_folders
from gynbtnet.inference.models.scans_of_training import training_scans
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.preparation.planning.plan import SYNTHETIC_NOTE, Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json, sha256_of
from gynbtnet.training.flat_settings import read_flat_settings
from gynbtnet.training.training_data import TrainingData
from gynbtnet.training.training_scans import TrainingScans

_SOFTWARE = ("gynbtnet", "torch", "lightning-fabric", "batchgeneratorsv2", "python")


@dataclass(frozen=True)
class ModelFacts:
    """Facts in the files of a model.

    Attributes:
        plan: plan of the training, with the rules of a cross-validation if there was one.
        folds: number of networks that are averaged.
        parameters: number of weights of one network.
        digests: SHA-256 of each weights file, by its path in the folder.
        trained_on: scans of the training; None if unknown.
        settings: settings of the training, by name; empty if unknown.
        environment: software and device of the last start of the training, by name; empty if unknown.
        prediction: prediction settings that the model was evaluated with; None if unknown.
        calibrated: structures with a calibrated DSC.
        scans: digests of the scans of the training; None if one of its runs doesn't record them.
    """

    plan: Plan
    folds: int
    parameters: int
    digests: Mapping[str, str]
    trained_on: TrainingData | None
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    prediction: PredictionSettings | None
    calibrated: tuple[str, ...]
    scans: TrainingScans | None = None

    @property
    def synthetic(self) -> bool:
        """True if no real patient was scanned for the training."""
        return SYNTHETIC_NOTE in self.plan.notes or bool(self.trained_on and self.trained_on.synthetic)


def read_model_facts(folder: Path, weights: Literal["last", "best"]) -> ModelFacts:
    """Read the facts of the model in a folder.

    Args:
        folder: run folder of any stage, or folder of a cross-validation.
        weights: weights that are exported.

    Raises:
        BadInput: If the folder contains no model, or a file in it is damaged.
    """
    runs = run_folders(folder)
    files = [run / f"weights_{weights}.safetensors" for run in runs]
    absent = next((path for path in files if not path.is_file()), None)
    if absent:
        raise BadInput(f"There is no {absent}; expected a trained model.")
    quality = Quality.load(folder)
    return ModelFacts(
        plan=load_plan(folder if (folder / "plans.json").is_file() else runs[0]),
        folds=len(runs),
        parameters=_count_parameters(files[0]),
        digests={path.relative_to(folder).as_posix(): sha256_of(path) for path in files},
        trained_on=TrainingData.of_folds(TrainingData.load(run) for run in runs),
        settings=_settings(runs[0]),
        environment=_environment(runs[0]),
        prediction=evaluated_settings(folder),
        calibrated=tuple(entry.structure for entry in quality.structures if entry.from_shape) if quality else (),
        scans=training_scans(folder),
    )


def _count_parameters(weights: Path) -> int:
    """Return the number of values in a weights file, from its header."""
    try:
        with safe_open(weights, "np") as file:
            return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise BadInput(f"{weights} is damaged or not a file of weights; copy the model again.") from error


def _settings(run: Path) -> dict[str, Any]:
    """Return the training settings in ``recipe.yaml``; a model from a zip has none."""
    if not (run / "recipe.yaml").is_file():
        return {}
    flat = read_flat_settings(run / "recipe.yaml")
    return {name.removeprefix("settings."): value for name, value in flat.items() if name.startswith("settings.")}


def _environment(run: Path) -> dict[str, str]:
    path = run / "environment.json"
    if not path.is_file():
        return {}
    starts = read_json(list[dict[str, Any]], path, "delete it to export without it")
    last = starts[-1] if starts else {}
    kind = str(last.get("device", "")).partition(":")[0]
    known = {name: str(last[name]) for name in _SOFTWARE if name in last}
    return known | ({"device": {"cuda": "GPU"}.get(kind, kind.upper())} if kind else {})
