"""Training of nnU-Net on a cohort's training patients, with its own plan, preprocessing, augmentation and schedule."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from math import nan
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_model

from gynbtnet.baselines.nnunet_epochs import run_epochs
from gynbtnet.baselines.nnunet_library import CONFIGURATION, DATASET, DATASET_ID, import_nnunet_library
from gynbtnet.baselines.nnunet_mirroring import axes_within, nnunet_axes, trainable_axes
from gynbtnet.baselines.nnunet_plan_changes import changed_plans
from gynbtnet.baselines.nnunet_progress import nnunet_progress
from gynbtnet.baselines.nnunet_raw_dataset import write_raw_dataset
from gynbtnet.baselines.nnunet_schedule import schedule_by_share
from gynbtnet.baselines.nnunet_trainers import check_trainer, configure_optimiser, find_trainer
from gynbtnet.baselines.nnunet_usage import Usage, UsageMeter, used_share, used_units
from gynbtnet.baselines.settings import NnUNetSettings
from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.imaging.regions import Regions, regions_by_name
from gynbtnet.preparation.planning.structure_overlaps import choose_regions, measure_overlaps
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput, Diverged, Paused
from gynbtnet.runtime.json_files import read_json, sha256_of, write_json
from gynbtnet.runtime.optional_dependencies import require
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import progress_bar
from gynbtnet.training.allocator import keep_freed_memory
from gynbtnet.training.devices import check_budget
from gynbtnet.training.renamed_settings import with_current_names
from gynbtnet.training.run_folder import RunFolder, lock_training, note_environment

_LOG = logging.getLogger(__name__)
RECORD = "nnunet.json"
REMEDY = "expected the folder of a training of nnU-Net; give another output folder to start it again"

_PLANNERS = {
    "default": ("default_experiment_planner", "ExperimentPlanner"),
    "residual_m": ("residual_unets.residual_encoder_unet_planners", "nnUNetPlannerResEncM"),
    "residual_l": ("residual_unets.residual_encoder_unet_planners", "nnUNetPlannerResEncL"),
    "residual_xl": ("residual_unets.residual_encoder_unet_planners", "nnUNetPlannerResEncXL"),
}
_FREE_TO_CHANGE = {"workers", "checkpoint_interval_epochs", "time_budget_hours", "accelerator"}
_USAGE = "gynbtnet_usage"
"""Entry of the initial arguments in nnU-Net's checkpoint that has the used computation."""
_NEVER = 10**9  # epochs of nnU-Net's trainer if a budget ends the run


def train_nnunet(
    cohort: Cohort, split: Split, fold: int | Literal["all"], settings: NnUNetSettings, out: Path, *, jobs: int = 1
) -> Path:
    """Train nnU-Net's ``3d_fullres`` on one fold of a split.

    Only the files of the training patients are linked into a raw dataset. Test patients have no influence on the
    fingerprint either. If structures overlap in the training cases, nnU-Net learns them as regions: a label means a
    combination of structures. ``out`` contains nnU-Net's folders ``raw``, ``preprocessed`` and ``results``, which all
    folds share, and a folder ``fold_<number>`` per fold. A finished fold is a model, see
    :class:`gynbtnet.baselines.nnunet_model.NnUNetModel`.

    Args:
        cohort: cohort with labels.
        split: test patients and folds.
        fold: number of the fold whose patients are for validation; "all": train and validate on all folds, as nnU-Net
            does under this name.
        settings: settings of all folds.
        out: output folder. An interrupted fold resumes from nnU-Net's checkpoint, and a finished fold is kept.
        jobs: number of processes for fingerprint and preprocessing.

    Returns:
        The folder of the fold.

    Raises:
        BadInput: If cohort and split don't match, or earlier folds in ``out`` have other inputs or settings. Also if
            CUDA is asked for and not available, or nnU-Net isn't installed. Also if it has no trainer of the given
            name, settings don't fit the trainer or the plan, or another program trains in ``out``.
        Diverged: If the loss is no longer finite.
        Paused: If ``settings.time_budget_hours`` are used up before the fold has ended.
    """
    require("nnunet", "nnunetv2")
    check_trainer(settings.trainer)
    device = _device(settings)
    if fold != "all":
        split.validation_patients(fold)
    training_cohort = cohort.of_patients(set(split.patients).difference(split.test))
    unlabelled = sum(case.labels is None for case in training_cohort.cases)
    if unlabelled:
        raise BadInput(
            f"Contours are absent for {unlabelled} of {counted(len(training_cohort.cases), 'training case')} of "
            f"{cohort.folder}."
        )
    overlaps = measure_overlaps(training_cohort, jobs)
    regions, reason = choose_regions(cohort.structures, overlaps, settings.outputs, settings.overlap_share)
    if reason:
        _LOG.info("nnU-Net: %s", reason)
    record = {
        "settings": settings.model_dump(mode="json"),
        "folds": [_digests(training_cohort.of_patients(patients).cases) for patients in split.folds],
        "structures": list(cohort.structures),
        **({"regions": regions_by_name(regions)} if regions else {}),
    }
    _check_contents(out)  # before the lock, which makes a file
    with lock_training(out):
        _open(out, record)
        run = RunFolder(out / f"fold_{fold}")
        if run.last_weights.is_file():
            return run.path
        variables = {f"nnUNet_{kind}": str((out / kind).absolute()) for kind in ("raw", "preprocessed", "results")}
        with import_nnunet_library(out / "log.txt", **variables), nnunet_progress():
            plans_name = _plan_and_preprocess(training_cohort, settings, out, jobs, regions)
            write_json(split.nnunet_folds(training_cohort), out / "preprocessed" / DATASET / "splits_final.json")
        if settings.workers is not None:  # the planner would use 0 as a number of threads
            variables["nnUNet_n_proc_DA"] = str(settings.workers)
        keep_freed_memory()  # as in our own training
        with import_nnunet_library(out / "log.txt", **variables):
            _train(fold, settings, device, plans_name, out, run, training_cohort)
    return run.path


def _device(settings: NnUNetSettings) -> torch.device:
    cuda = torch.cuda.is_available() and settings.accelerator != "cpu"
    if settings.accelerator == "cuda" and not cuda:
        raise BadInput(
            "accelerator is cuda, but PyTorch finds no CUDA device; set it to auto, or install a CUDA build."
        )
    check_budget(settings.budget, settings.accelerator)
    return torch.device("cuda" if cuda else "cpu")


def _digests(cases: Iterable[Case]) -> list[str]:
    return [sha256_of(*case.files) for case in cases]


def _check_contents(out: Path) -> None:
    if not (out / RECORD).exists() and any(path.name != RECORD for path in out.glob("[!.]*")):
        raise BadInput(f"{out} is not empty and contains no nnU-Net training; give a new or an empty folder.")


def _open(out: Path, record: dict[str, Any]) -> None:
    """Record settings and inputs of the folds, or check that existing folds in ``out`` have the same."""
    path = out / RECORD
    if not path.exists():
        write_json(record, path)
    existing = read_json(dict[str, Any], path, REMEDY)
    former = NnUNetSettings().model_dump(mode="json")  # the only values before a setting existed
    recorded = former | with_current_names(existing.get("settings", {}), "nnunet")
    requested = record["settings"]
    for name in sorted({*recorded, *requested}.difference(_FREE_TO_CHANGE)):
        if recorded.get(name) != requested.get(name):
            raise BadInput(
                f"The run in {out} was made with {name} = {recorded.get(name)}, but now {name} = "
                f"{requested.get(name)} is asked for; resume it as it was made, or give another output folder."
            )
    others = [name for name in ("folds", "structures", "regions") if existing.get(name) != record.get(name)]
    if others:
        raise BadInput(
            f"The run in {out} was made from other inputs ({', '.join(others)}); resume it with the same scans, or "
            "give another output folder."
        )


def _plan_and_preprocess(
    training_cohort: Cohort, settings: NnUNetSettings, out: Path, jobs: int, regions: Regions | None
) -> str:
    """Make raw dataset, fingerprint, plan and preprocessed scans unless they exist; return the name of the plans."""
    done = out / "preprocessed" / "done.json"  # interrupted preprocessing starts again
    if done.is_file():
        return read_json(str, done, REMEDY)
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
    )
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    write_raw_dataset(training_cohort, out / "raw" / DATASET, regions)
    extract_fingerprint_dataset(DATASET_ID, num_processes=jobs, verbose=False)
    module, planner = _PLANNERS[settings.planner]
    planners = import_module(f"nnunetv2.experiment_planning.experiment_planners.{module}")
    _, plans_name = plan_experiment_dataset(
        DATASET_ID,
        getattr(planners, planner),
        gpu_memory_target_in_gb=settings.gpu_memory_gb,
        overwrite_target_spacing=settings.spacing,
    )
    plans_path = out / "preprocessed" / DATASET / f"{plans_name}.json"
    planned = read_json(dict[str, Any], plans_path, REMEDY)
    if (changed := changed_plans(planned, settings)) != planned:
        write_json(changed, plans_path)
    plans = PlansManager(str(plans_path))
    preprocessor = plans.get_configuration(CONFIGURATION).preprocessor_class(verbose=False)
    preprocessor.run(DATASET_ID, CONFIGURATION, plans_name, num_processes=jobs)
    write_json(plans_name, done)
    return str(plans_name)


def _train(
    fold: int | Literal["all"],
    settings: NnUNetSettings,
    device: torch.device,
    plans_name: str,
    out: Path,
    run: RunFolder,
    training_cohort: Cohort,
) -> None:
    folder = out / "preprocessed" / DATASET
    plans = read_json(dict[str, Any], folder / f"{plans_name}.json", REMEDY)
    dataset = read_json(dict[str, Any], folder / "dataset.json", REMEDY)
    results = out / "results" / DATASET / f"{settings.trainer}__{plans_name}__{CONFIGURATION}" / f"fold_{fold}"
    # the order in which nnU-Net's option --c looks for a checkpoint
    checkpoints = [results / f"checkpoint_{name}.pth" for name in ("final", "latest", "best")]
    checkpoint = next((path for path in checkpoints if path.is_file()), None)

    resumed = checkpoint is not None
    trainer = find_trainer(settings.trainer)(
        plans | {"continue_training": resumed}, CONFIGURATION, fold, dataset, device
    )
    trainer.num_epochs = settings.epochs if settings.budget is None else _NEVER
    trainer.save_every = settings.checkpoint_interval_epochs
    trainer.num_iterations_per_epoch = settings.steps_per_epoch
    trainer.num_val_iterations_per_epoch = settings.validation_steps
    geometries, transpose = [case.geometry for case in training_cohort.cases], plans["transpose_forward"]
    names = trainable_axes(settings.mirror_axes, training_cohort.structures)
    own_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()[-1] or ()
    mirrored = tuple(axis for axis in nnunet_axes(names, geometries, transpose) if axis in own_axes)
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size = _mirroring(trainer, mirrored)
    configure_optimiser(trainer, settings)
    _initialise(trainer)
    if checkpoint is not None:
        with _harmless_checkpoint(checkpoint):
            trainer.load_checkpoint(str(checkpoint))
    gpu = device.type == "cuda"
    meter = UsageMeter(_earlier_usage(trainer, settings), lambda: _loaders(trainer), gpu=gpu)
    trainer.save_checkpoint = _atomic_with_usage(trainer, meter)
    schedule_by_share(trainer, settings, lambda: used_share(settings, meter.usage()))
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    machine = {"device": str(device), "processes": 1, "parameters": parameters, "nnunetv2": version("nnunetv2")}
    note_environment(run, epochs_done=trainer.current_epoch, **machine)
    try:
        _run(trainer, settings, meter, run)
    except (Paused, Diverged):
        _stop_loaders(trainer)
        raise
    if checkpoint != checkpoints[0]:
        trainer.on_train_end()
    for name in ("plans.json", "dataset.json"):
        shutil.copyfile(results.parent / name, run.path / name)
    record = read_json(dict[str, Any], out / RECORD, REMEDY)
    mirroring = {
        "mirror_axes": axes_within(names, geometries, transpose, own_axes),
        "mirroring_axes": trainer.inference_allowed_mirroring_axes,
    }
    write_json(record | {"fold": fold} | mirroring, run.path / RECORD)
    with atomic_write(run.last_weights) as partial:
        save_model(getattr(trainer.network, "_orig_mod", trainer.network), str(partial))


def _initialise(trainer: Any) -> None:
    """Build network, optimiser and loss of nnU-Net's trainer."""
    try:
        trainer.initialize()
    except AssertionError as error:  # of a variant whose loss has a softmax
        if not trainer.label_manager.has_regions:
            raise
        raise BadInput(
            f"{type(trainer).__name__} can't learn structures that overlap; use another trainer, or set "
            "nnunet.outputs to exclusive."
        ) from error


def _run(trainer: Any, settings: NnUNetSettings, meter: UsageMeter, run: RunFolder) -> None:
    """Train until the run has ended, with a progress bar."""

    def share() -> float:
        return used_share(settings, meter.usage())

    done, total = used_units(settings, meter.usage())
    in_seconds = settings.budget is not None and settings.budget.steps is None
    title = "Training nnU-Net, seconds" if in_seconds else "Training nnU-Net"
    with progress_bar(title, total, done, steps_per_line=None if in_seconds else settings.steps_per_epoch) as advance:

        def advance_to_now(note: str) -> None:
            nonlocal done
            before, (done, _) = done, used_units(settings, meter.usage())
            advance(done - before, note=note)

        if share() < 1:
            run_epochs(trainer, settings, meter, run, share, advance_to_now)


def _loaders(trainer: Any) -> Iterable[Any]:
    """Return the processes that load training batches; none before the training, or if this process loads them."""
    return getattr(trainer.dataloader_train, "_processes", ())


def _stop_loaders(trainer: Any) -> None:
    """End the processes that load batches, as nnU-Net does at the end of a training."""
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        if finish := getattr(loader, "_finish", None):
            finish()


def _earlier_usage(trainer: Any, settings: NnUNetSettings) -> Usage:
    """Return the usage in the checkpoint; from the epochs alone if an earlier version wrote it."""
    recorded: Mapping[str, Any] | None = trainer.my_init_kwargs.get(_USAGE)
    if recorded is not None:
        return Usage(**recorded)
    steps = trainer.current_epoch * settings.steps_per_epoch
    return Usage(steps, nan, nan) if steps else Usage()


def _mirroring(trainer: Any, axes: tuple[int, ...]) -> Callable[[], tuple[Any, ...]]:
    """Return nnU-Net's configuration of augmentation, with ``axes`` of its arrays mirrored."""
    configure = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size

    def configure_with_axes() -> tuple[Any, ...]:
        *others, _ = configure()
        trainer.inference_allowed_mirroring_axes = axes or None  # None if no axis is mirrored, as in nnU-Net
        return *others, axes or None

    return configure_with_axes


def _atomic_with_usage(trainer: Any, meter: UsageMeter) -> Callable[[str], None]:
    """Return nnU-Net's function that saves a checkpoint, made atomic, with the used computation in the same file."""
    save: Callable[[str], None] = trainer.save_checkpoint

    def save_atomically(filename: str) -> None:
        trainer.my_init_kwargs = trainer.my_init_kwargs | {_USAGE: asdict(meter.usage())}
        with atomic_write(Path(filename)) as partial:
            save(str(partial))

    return save_atomically


@contextmanager
def _harmless_checkpoint(checkpoint: Path) -> Iterator[None]:
    """Check that a checkpoint, which nnU-Net unpickles, contains only tensors and numbers, and load it inside.

    Raises:
        BadInput: If it contains anything else, or is damaged.
    """
    scalars = [np.float64, np.float32, np.int64, np.bool_]
    allowed: list[Any] = [
        np.dtype,
        np.float64(0).__reduce__()[0],
        *scalars,
        *(type(np.dtype(scalar)) for scalar in scalars),
    ]
    with torch.serialization.safe_globals(allowed):
        try:
            torch.load(checkpoint, map_location="cpu", weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise BadInput(
                f"The checkpoint {checkpoint} is damaged, or contains more than weights and numbers; delete it to "
                "start the run again, or give another output folder."
            ) from error
        yield  # some trainers load with weights_only, too
