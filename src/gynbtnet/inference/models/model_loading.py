"""The model that a folder or a zip file contains: a single model, an ensemble, or what nnU-Net trained."""

from dataclasses import replace
from pathlib import Path

from gynbtnet.inference.engine.mirroring import tta_axes
from gynbtnet.inference.engine.planned_model import PlannedModel
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.ensemble import Ensemble
from gynbtnet.inference.models.model import Model
from gynbtnet.inference.models.model_archive import open_archive
from gynbtnet.inference.models.nnunet.nnunet_folder_model import NnunetFolderModel
from gynbtnet.inference.models.nnunet.trained_folder import is_trained_by_nnunet
from gynbtnet.inference.quality.predicted_dsc import Quality
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.runtime.errors import BadInput


def load_model(folder: Path, settings: PredictionSettings | None = None) -> Segmenter:
    """Load the model in a run folder, the ensemble of its run folders ``fold_0``, ``fold_1``, …, or nnU-Net's folder.

    No code in the files is executed.

    Args:
        folder: run folder, folder of a cross-validation, or a zip file of either; or a folder that nnU-Net 2 trained,
            such as ``nnUNetTrainer__nnUNetPlans__3d_fullres``.
        settings: weights, device and number of folds; None: the defaults.

    Returns:
        A :class:`~gynbtnet.inference.models.model.Model`, an
        :class:`~gynbtnet.inference.models.ensemble.Ensemble`, or a
        :class:`~gynbtnet.inference.models.nnunet.nnunet_folder_model.NnunetFolderModel`.

    Raises:
        BadInput: If the folder contains no model, its files are damaged or don't belong together, or the settings
            mirror an axis that wasn't mirrored in training.

    Example:
        >>> model = load_model(run)
        >>> model.structures
        ('bladder', 'rectum')
    """
    folder = Path(folder)
    settings = settings or PredictionSettings()
    if not folder.exists():
        raise BadInput(
            f"There is no {folder}; expected a model: a run folder, the folder of a cross-validation, a zip file of "
            "either, or a folder that nnU-Net trained."
        )
    model: Segmenter
    if folder.is_file():
        with open_archive(folder) as unpacked:
            model = replace(_load_own(unpacked, settings), folder=folder)
    elif is_trained_by_nnunet(folder):
        model = NnunetFolderModel.load(folder, weights=settings.weights, folds=settings.folds, device=settings.device)
    else:
        model = _load_own(folder, settings)
    tta_axes(settings, model.mirror_axes, str(folder))
    return model


def _load_own(folder: Path, settings: PredictionSettings) -> PlannedModel:
    """Load a model that this package trained from a folder."""
    if run_folders(folder) != [folder]:
        return _load_ensemble(folder, settings)
    return Model.load(folder, weights=settings.weights, device=settings.device)


def _load_ensemble(folder: Path, settings: PredictionSettings) -> Ensemble:
    """Load as many folds as the settings specify; the others are not read."""
    folds = run_folders(folder)[: settings.folds]
    members = [Model.load(fold, weights=settings.weights, device=settings.device) for fold in folds]
    for member in members:
        if replace(member.plan, notes=()) != replace(members[0].plan, notes=()):
            raise BadInput(
                f"{member.folder} was trained by another plan than {members[0].folder}; expected folds of one plan, as "
                "`gynbtnet finetune --every-fold` trains them."
            )
    return Ensemble.combine(folder, members, _merge_calibration(folder, members[0].plan), Quality.load(folder))


def _merge_calibration(folder: Path, fold_plan: Plan) -> Plan:
    """Return the plan of the folds with reference volumes and rules of the cross-validation's plan, if there is one."""
    if not (folder / "plans.json").is_file():
        return fold_plan
    calibrated = load_plan(folder)
    if replace(fold_plan, notes=(), volumes=(), postprocessing=()) != replace(
        calibrated, notes=(), volumes=(), postprocessing=()
    ):
        raise BadInput(
            f"{folder / 'plans.json'} is another plan than that of the folds in this folder; copy it again from the "
            "folder in which they were trained, or call `gynbtnet finetune --every-fold` again."
        )
    return replace(fold_plan, volumes=calibrated.volumes, postprocessing=calibrated.postprocessing)


def run_folders(folder: Path) -> list[Path]:
    """Return the run folders of the networks in a model's folder.

    They are its folds ``fold_<number>``, sorted by number, unless it has weights itself. A folder with neither is
    returned itself.
    """
    folds = [path for path in folder.glob("fold_*") if path.is_dir() and path.name[5:].isdecimal()]
    if not folds or any(folder.glob("weights_*.safetensors")):
        return [folder]
    return sorted(folds, key=lambda path: int(path.name[5:]))
