"""A stage by itself, outside an experiment: from scans or prepared scans to a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gynbtnet.datasets.ingest_scans import ingest
from gynbtnet.datasets.split import Split, hold_out_patients
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.plan import CT
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.prepare import prepare
from gynbtnet.preparation.store import MANIFEST, PreparedCohort
from gynbtnet.recipes.recipe import AnyPretraining, Recipe
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.processes import is_main_process, launcher_world_size
from gynbtnet.training.run_folder import RunFolder
from gynbtnet.training.stages import finetune, pretrain


def pretrain_alone(
    sources: Sequence[Path], recipe: AnyPretraining, out: Path, jobs: int = 1, repairs: Repairs | None = None
) -> Path:
    """Stage 1 on any folders of CTs, or on one folder of prepared scans; returns the run folder ``out``.

    Scans that aren't prepared are ingested and prepared below ``out`` first.

    Raises:
        BadInput: where a source holds neither, or prepared scans are given with others.
    """
    already = [source for source in sources if (source / MANIFEST).is_file()]
    if already and len(sources) > 1:
        raise BadInput(
            f"{already[0]} holds prepared scans and is given with {len(sources) - 1} other folders; prepared scans are "
            "trained on alone, so give that folder by itself, or the scans that it was prepared from."
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


def _prepare_scans(
    sources: Sequence[Path], settings: PlanSettings, out: Path, jobs: int, repairs: Repairs | None
) -> PreparedCohort:
    scans = RunFolder(out).scans
    if launcher_world_size() not in (None, (1, 1)):
        raise BadInput(
            "torchrun or Slurm started several processes, and these scans aren't prepared; prepare them first, with "
            "`gynbtnet ingest`, `plan` and `prepare`, and give the prepared folder."
        )
    if not is_main_process():  # the others are started when the first has prepared
        return PreparedCohort.open(scans / "prepared")
    cohort = ingest(sources, scans / "cohort", "scans", repairs=repairs, name=out.name, jobs=jobs).cohort
    return prepare(cohort, make_plan(cohort, settings, jobs=jobs), scans / "prepared", jobs)


def finetune_alone(
    prepared: PreparedCohort,
    recipe: Recipe,
    stage: Literal["supervised", "task"],
    split: Split | None,
    start: Path | None,
    out: Path,
) -> Path:
    """Stage 2 or 3 on prepared scans; returns the run folder ``out``.

    The task stage takes its patients from ``split``: those held out for the test take no part, though they be prepared.

    Raises:
        BadInput: where recipe, prepared scans and split don't belong together.
    """
    settings = recipe.stage(stage)
    _check_prepared(prepared, settings.plan, recipe.structures if stage == "task" else settings.structures)
    if stage == "supervised":
        if split:
            raise BadInput(
                "The supervised stage has no folds: its recipe says which share validates; leave --split out."
            )
        validation = hold_out_patients(prepared.patients, settings.validation, settings.training.seed)
        training = set(prepared.patients).difference(validation)
    elif split is None:
        raise BadInput("The task stage learns from the training patients of a split; name its file with --split.")
    else:
        unknown = set(prepared.patients).difference(split.patients)
        if unknown:
            raise BadInput(
                f"{len(unknown)} of {len(prepared.patients)} patients in {prepared.folder} are unknown to the split; "
                "was it made from another cohort? Make it again with `gynbtnet split`."
            )
        validation = split.validation_patients(recipe.split.fold)
        training = set(split.training_patients(recipe.split.fold))
    return finetune(
        prepared,
        settings.training,
        out,
        training_ids=prepared.ids_of(training),
        validation_ids=prepared.ids_of(validation),
        start=start,
    )


def _check_prepared(prepared: PreparedCohort, settings: PlanSettings, structures: tuple[str, ...] | None) -> None:
    """Prepared scans bring their plan; a recipe that wants another one is told, not ignored."""
    asked = {
        "structures": structures,
        "spacing": settings.spacing,
        "normalisation": settings.normalisation,
        "separate_z": settings.separate_z,
        "patch_size": settings.patch_size,
        "batch_size": settings.batch_size,
        "network": settings.network,
        "preset": settings.preset,
        "strides": settings.strides,
    }
    if settings.ct_scaling is not None:
        intensities = zip(prepared.plan.channels, prepared.plan.intensities or (), strict=False)
        scaled = [intensity for channel, intensity in intensities if channel.casefold() == CT]
        if any(intensity != settings.ct_scaling.as_intensity() for intensity in scaled):
            raise BadInput(
                f"The recipe gives ct_scaling, {settings.ct_scaling}, but the scans in {prepared.folder} were prepared "
                "with other intensities; plan and prepare them again with this recipe."
            )
    for name, value in asked.items():
        made = getattr(prepared.plan, name)
        if value is not None and value != made:
            raise BadInput(
                f"The recipe says {name} = {value}, but the scans in {prepared.folder} were prepared with {made}; plan "
                "and prepare them again with this recipe."
            )
