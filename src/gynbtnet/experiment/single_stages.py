"""One training stage outside an experiment: from scans or prepared scans to a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gynbtnet.datasets.ingest_scans import ingest
from gynbtnet.datasets.split import Split, hold_out_patients
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.nesting import Nesting
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.plan import CT
from gynbtnet.preparation.planning.settings import CTScaling, PlanSettings
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.preparation.store import MANIFEST, PreparedCohort
from gynbtnet.recipes.recipe import AnyPretraining, Recipe, SupervisedStage
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.processes import is_main_process, launcher_world_size
from gynbtnet.training.run_folder import RunFolder, lock_training
from gynbtnet.training.stages import finetune, pretrain

_PLAN_SETTINGS = (
    "spacing",
    "normalisation",
    "separate_z",
    "patch_size",
    "batch_size",
    "network",
    "preset",
    "strides",
)
"""Plan settings of a recipe that must equal those of the prepared scans."""


def pretrain_alone(
    sources: Sequence[Path], recipe: AnyPretraining, out: Path, jobs: int = 1, repairs: Repairs | None = None
) -> Path:
    """Run stage 1 on folders of CTs, or on one folder of prepared scans.

    Scans that aren't prepared are ingested and prepared below ``out`` first.

    Args:
        sources: folders of CTs, or one folder of prepared scans.
        recipe: the pretraining stage of a recipe.
        out: the run folder.
        jobs: number of parallel processes for ingestion and preparation.
        repairs: defects of CT series to repair; None: none.

    Returns:
        The run folder ``out``.

    Raises:
        BadInput: If a source has no scans, or prepared scans are combined with other folders.
    """
    already = [source for source in sources if (source / MANIFEST).is_file()]
    if already and len(sources) > 1:
        raise BadInput(
            f"{already[0]} has prepared scans and is given with {counted(len(sources) - 1, 'other folder')}; give the "
            "prepared folder alone, or the scans from which it was prepared."
        )
    prepared = PreparedCohort.open(already[0]) if already else _prepare_scans(sources, recipe.plan, out, jobs, repairs)
    _check_prepared(prepared, recipe.plan, structures=None)
    validation = hold_out_patients(prepared.patients, recipe.validation, recipe.training.seed)
    return pretrain(
        prepared,
        recipe.training,
        out,
        training_ids=prepared.ids_of(set(prepared.patients).difference(validation)),
        validation_ids=prepared.ids_of(validation),
    )


def finetune_alone(
    prepared: PreparedCohort,
    recipe: Recipe,
    stage: Literal["supervised", "task"],
    split: Split | None,
    start: Path | None,
    out: Path,
) -> Path:
    """Run stage 2 or 3 on prepared scans.

    Args:
        prepared: the prepared scans.
        recipe: recipe with the stage.
        stage: the stage.
        split: split for the task stage, whose test patients are excluded even if their scans are prepared; None for the
            supervised stage.
        start: run folder of an earlier stage from which to start; None: from scratch.
        out: the run folder.

    Returns:
        The run folder ``out``.

    Raises:
        BadInput: If recipe, prepared scans and split don't belong together.
    """
    settings = recipe.stage(stage)
    _check_prepared(prepared, settings.plan, recipe.structures if stage == "task" else settings.structures)
    if stage == "supervised":
        training, validation = _supervised_patients(prepared, settings, split)
    else:
        training, validation = _task_patients(prepared, recipe, split)
    return finetune(
        prepared,
        settings.training,
        out,
        training_ids=prepared.ids_of(training),
        validation_ids=prepared.ids_of(validation),
        start=start,
    )


def _prepare_scans(
    sources: Sequence[Path], settings: PlanSettings, out: Path, jobs: int, repairs: Repairs | None
) -> PreparedCohort:
    scans = RunFolder(out).scans
    if launcher_world_size() not in (None, (1, 1)):
        raise BadInput(
            "torchrun or Slurm started several processes, but these scans aren't prepared; prepare them first with "
            "`gynbtnet ingest`, `plan` and `prepare`, and give the prepared folder."
        )
    if not is_main_process():  # the other processes are started after the first has prepared the scans
        return PreparedCohort.open(scans / "prepared")
    with lock_training(out):
        cohort = ingest(sources, scans / "cohort", "scans", repairs=repairs, name=out.name, jobs=jobs).cohort
        return prepare(cohort, make_plan(cohort, settings, jobs=jobs), scans / "prepared", jobs)


def _supervised_patients(
    prepared: PreparedCohort, stage: SupervisedStage, split: Split | None
) -> tuple[set[str], tuple[str, ...]]:
    """Return the training and the validation patients of stage 2."""
    if split:
        raise BadInput(
            "The supervised stage has no folds: its recipe sets the share of validation patients; omit --split."
        )
    validation = hold_out_patients(prepared.patients, stage.validation, stage.training.seed)
    return set(prepared.patients).difference(validation), validation


def _task_patients(prepared: PreparedCohort, recipe: Recipe, split: Split | None) -> tuple[set[str], tuple[str, ...]]:
    """Return the training and the validation patients of stage 3."""
    if split is None:
        raise BadInput("The task stage needs the training patients of a split; name its file with --split.")
    unknown = set(prepared.patients).difference(split.patients)
    if unknown:
        raise BadInput(
            f"The split lacks {len(unknown)} of {counted(len(prepared.patients), 'patient')} in {prepared.folder}, "
            "perhaps because it was made from another cohort; make it again with `gynbtnet split`."
        )
    fold = recipe.split.fold
    return set(split.training_patients(fold)), split.validation_patients(fold)


def _check_prepared(prepared: PreparedCohort, settings: PlanSettings, structures: tuple[str, ...] | None) -> None:
    """Check that the plan of the prepared scans has the settings of the recipe.

    Imported scans keep their own plan. A plan like that of a folder of nnU-Net has the folder's settings; only its
    structures are those of the recipe.
    """
    if prepared.imported:
        return
    like = prepared.plan.network == "nnunet"
    if not like:
        intensities = zip(prepared.plan.channels, prepared.plan.intensities or (), strict=False)
        scaled = [intensity for channel, intensity in intensities if channel.casefold() == CT]
        given = settings.ct_scaling and settings.ct_scaling.as_intensity()
        if given is not None and any(intensity != given for intensity in scaled):
            raise BadInput(
                f"The recipe gives ct_scaling, {settings.ct_scaling}, but the scans in {prepared.folder} were prepared "
                "with other intensities; plan and prepare them again with this recipe."
            )
        if settings.ct_scaling is None and any(CTScaling.gave(intensity) for intensity in scaled):
            raise BadInput(
                f"The recipe has no ct_scaling, but the scans in {prepared.folder} were prepared with one; plan and "
                "prepare them again with this recipe."
            )
    if structures is not None:
        _check_overlaps(prepared, settings)
    own = () if like else _PLAN_SETTINGS
    expected = {"structures": structures} | {name: getattr(settings, name) for name in own}
    for name, value in expected.items():
        planned = getattr(prepared.plan, name)
        if value is not None and value != planned:
            raise BadInput(
                f"The recipe has {name} = {value}, but the scans in {prepared.folder} were prepared with {planned}; "
                "plan and prepare them again with this recipe."
            )


def _check_overlaps(prepared: PreparedCohort, settings: PlanSettings) -> None:
    """Check outputs and nesting of the recipe; auto without nesting left the choice to the plan."""
    planned = "overlapping" if prepared.plan.overlapping else "exclusive"
    expected = "overlapping" if settings.expects_overlaps else settings.outputs
    if expected not in ("auto", planned):
        raise BadInput(
            f"The recipe asks for {expected} outputs, but the scans in {prepared.folder} were prepared for {planned} "
            "ones; plan and prepare them again with this recipe."
        )
    if set(Nesting.parse(settings.nesting).pairs) != set(prepared.plan.nesting.pairs):
        relations = ", ".join(" < ".join(pair) for pair in prepared.plan.nesting.pairs) or "none"
        raise BadInput(
            f"The recipe has nesting = {', '.join(settings.nesting) or 'none'}, but the scans in {prepared.folder} "
            f"were prepared with {relations}; plan and prepare them again with this recipe."
        )
