"""The three stages: the same engine with another objective, other batches and other settings."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from gynbtnet.imaging.sides import mirrored_labels
from gynbtnet.networks.initialisation import initialise_he
from gynbtnet.networks.stu_net import read_stu_net
from gynbtnet.networks.transfer import Parts, transfer_weights
from gynbtnet.networks.weights_file import read_weights
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.preparation.store import PreparedCase, PreparedCohort
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of, write_json
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.training.data.augmentation import Augmentation
from gynbtnet.training.data.batches import Batches
from gynbtnet.training.data.mirroring import axes_of_arrays, with_mirroring
from gynbtnet.training.devices import start_devices
from gynbtnet.training.engine import fit
from gynbtnet.training.memory import check_training_memory
from gynbtnet.training.objectives.masked_modelling_objective import MaskedModellingObjective
from gynbtnet.training.objectives.objective import Objective
from gynbtnet.training.objectives.segmentation_objective import SegmentationObjective
from gynbtnet.training.objectives.swin_proxy_tasks import SwinProxyTasks
from gynbtnet.training.planned_network import build_network, build_proxy_network
from gynbtnet.training.proxy_task_settings import ProxyTaskSettings
from gynbtnet.training.run_folder import RunFolder, open_run
from gynbtnet.training.settings import PretrainingSettings, SegmentationSettings, TrainingSettings, UnlabelledSettings
from gynbtnet.training.trained_parameters import freeze_untrained

_LEAST_IN_SEGMENTATION, _LEAST_IN_PRETRAINING = 0.5, 0.1
"""Shares of the upper bound of a step's memory that it surely takes: in half precision, and with most cells masked."""


def pretrain(
    prepared: PreparedCohort,
    settings: PretrainingSettings | ProxyTaskSettings,
    out: Path,
    *,
    training_ids: Collection[str],
    validation_ids: Collection[str],
) -> Path:
    """Stage 1 on scans, with or without labels: masked modelling, or the proxy tasks of the baseline Swin-UNETR.

    Args:
        prepared: scans, and the plan with patch, network, preset and strides.
        settings: the run's, of the plan's network.
        out: the run folder; a run that was killed in it is taken up again, a finished one left alone.
        training_ids: cases that are trained on; prepared cases that neither this nor ``validation_ids`` names take no
            part.
        validation_ids: cases that choose the best weights; none: those of the lowest training loss are the best.

    Returns:
        The run folder.

    Raises:
        BadInput: where cases, settings or an earlier run in ``out`` don't fit together, or the loss diverges.
    """
    _check_pretraining(prepared.plan, settings)
    fabric = start_devices(settings)
    unlabelled = replace(prepared.plan, structures=())  # labels that the scans may have are not learned
    plan = with_mirroring(unlabelled, settings)
    training, validation = _batches(prepared, plan, settings, training_ids, validation_ids, fabric)
    check_training_memory(fabric, plan, patches=1, least_share=_LEAST_IN_PRETRAINING)
    run = _open(fabric, "pretraining", plan, settings, out, training, validation, {})
    with _seeded(settings.seed):
        objective = _pretraining_objective(plan, settings)
        _initialise(objective.network, settings)
    freeze_untrained(objective.network, settings)
    fit(fabric, objective, training, validation, settings, run)
    return run.path


def _check_pretraining(plan: Plan, settings: PretrainingSettings | ProxyTaskSettings) -> None:
    if (plan.network == "swin_unetr") != isinstance(settings, ProxyTaskSettings):
        raise BadInput(
            f"The plan is for {plan.network}, and the settings are for another network's pretraining; masked modelling "
            "is gynbtnet's, the proxy tasks are swin_unetr's."
        )
    if isinstance(settings, ProxyTaskSettings) and plan.patch_size[1] != plan.patch_size[2]:
        raise BadInput(
            f"Swin-UNETR's pretraining turns patches about z, and one of {plan.patch_size} voxels (z, y, x) turned is "
            "of another size; choose a patch_size as long along y as along x."
        )


def _pretraining_objective(plan: Plan, settings: PretrainingSettings | ProxyTaskSettings) -> Objective:
    if isinstance(settings, ProxyTaskSettings):
        return SwinProxyTasks(build_proxy_network(plan), settings.cutout_ratio)
    network = MaskedAutoencoder(
        plan.preset,
        len(plan.channels),
        strides=plan.strides,
        norm=settings.norm,
        decoder=settings.decoder,
        activation_checkpointing=settings.activation_checkpointing,
    )
    return MaskedModellingObjective(
        network,
        settings.mask_ratio,
        settings.normalise_target,
        epsilon_hu=_epsilon_hu(settings),
        ct=tuple(name.casefold() == CT for name in plan.channels),
    )


def finetune(
    prepared: PreparedCohort,
    settings: SegmentationSettings,
    out: Path,
    *,
    training_ids: Collection[str],
    validation_ids: Collection[str],
    start: Path | None = None,
) -> Path:
    """Stages 2 and 3: learn contours, from the weights of an earlier stage or from none.

    Args:
        prepared: labelled scans, and the plan with structures, patch, network, preset and strides.
        settings: the run's.
        out: the run folder; a run that was killed in it is taken up again, a finished one left alone.
        training_ids: cases that are trained on; prepared cases that neither this nor ``validation_ids`` names take no
            part.
        validation_ids: cases that choose the best weights; none: those of the lowest training loss are the best.
        start: run folder of an earlier stage, whose last weights are taken over: the encoder of stage 1, all but the
            heads of a stage that learned contours; or a file of STU-Net's, all but its heads. None: from scratch.

    Returns:
        The run folder.

    Raises:
        BadInput: where cases, settings, start or an earlier run in ``out`` don't fit together, or the loss diverges.
    """
    plan = with_mirroring(prepared.plan, settings)
    unlabelled = [case.id for case in prepared.cases if not case.labelled]
    if unlabelled or not plan.structures:
        raise BadInput(
            f"{len(unlabelled)} of {len(prepared.cases)} prepared scans in {prepared.folder} have no contours, and the "
            f"plan names {len(plan.structures)} structures; training needs contours on every scan."
        )
    fabric = start_devices(settings)
    if settings.batch_dice and fabric.world_size > 1:
        raise BadInput(
            f"batch_dice pools a batch as a whole, and {fabric.world_size} devices would share it; set batch_dice to "
            "false, or train on one device."
        )
    training, validation = _batches(prepared, plan, settings, training_ids, validation_ids, fabric)
    patches = 1 if settings.auto_micro_batch else training.batch_size
    check_training_memory(fabric, plan, patches=patches, least_share=_LEAST_IN_SEGMENTATION)
    digest, weights = _last_weights(start)
    run = _open(fabric, "segmentation", plan, settings, out, training, validation, {"start": digest})
    with _seeded(settings.seed):
        network = build_network(plan, deep_supervision=settings.deep_supervision)
        _initialise(network, settings)
    if start is not None:
        earlier = None if start.is_file() else load_plan(start)
        parts: Parts = "all_but_heads" if earlier is None or earlier.structures else "encoder"
        source_channels = earlier.channels if earlier else None
        report = transfer_weights(
            weights, network, parts=parts, channels=plan.channels, source_channels=source_channels
        )
        if fabric.is_global_zero:
            write_json(report.to_json(), run.transfer_report)
    freeze_untrained(network, settings)
    objective = SegmentationObjective(
        network,
        plan.structures,
        settings.batch_dice,
        title=f"Training {out.name}",
        coarsest=settings.supervise_coarsest,
    )
    fit(fabric, objective, training, validation, settings, run)
    return run.path


def _batches(
    prepared: PreparedCohort,
    plan: Plan,
    settings: TrainingSettings,
    training_ids: Collection[str],
    validation_ids: Collection[str],
    fabric: Fabric,
) -> tuple[Batches, Batches | None]:
    """What is trained on, and one by one the patches that validate."""
    shown = [case for case in prepared.cases if case.id in training_ids]
    held_out = [case for case in prepared.cases if case.id in validation_ids]
    named, both = {*training_ids, *validation_ids}, set(training_ids).intersection(validation_ids)
    absent = named.difference(case.id for case in prepared.cases)
    if not shown or both or absent:
        raise BadInput(
            f"Of {len(prepared.cases)} cases prepared in {prepared.folder}, {len(shown)} are to train on and "
            f"{len(held_out)} to validate on; {len(both)} are to do both, and {len(absent)} are not prepared. Name at "
            "least one case to train on, each for one of the two, and only prepared ones."
        )
    share, rest = divmod(plan.batch_size, fabric.world_size)
    if rest:
        raise BadInput(
            f"{fabric.world_size} devices can't share a batch of {plan.batch_size} patches evenly; take fewer "
            "devices, or plan with another batch_size, and with a learning rate for it."
        )
    drawn: dict[str, Any] = {"structures": plan.structures}
    if isinstance(settings, SegmentationSettings):
        last_of = plan.batch_size if settings.foreground_rule == "last_of_batch" else 0
        drawn |= {"foreground_oversampling": settings.foreground_oversampling, "last_of": last_of}
    if isinstance(settings, UnlabelledSettings):
        with_units = isinstance(settings, PretrainingSettings) and _epsilon_hu(settings) is not None
        shown, held_out = (_checked(cases, prepared, settings, with_units) for cases in (shown, held_out))
        drawn |= {"around_body": settings.crops == "body", "with_units": with_units}
    training = Batches(
        shown,
        Augmentation(
            settings.augmentation,
            plan.patch_size,
            axes_of_arrays(plan),
            mirrored_labels(plan.structures) if plan.sides_swapped else None,
        ),
        share,
        settings.seed,
        rank=fabric.global_rank,
        devices=fabric.world_size,
        **drawn,
    )
    unchanged = Augmentation("none", plan.patch_size)
    validation = Batches(held_out, unchanged, 1, settings.seed, **drawn)
    return training, validation if held_out else None


def _epsilon_hu(settings: PretrainingSettings) -> float | None:
    """The epsilon of normalised targets in HU; None if SparK's is asked for, or targets aren't normalised."""
    return settings.target_epsilon_hu if settings.normalise_target else None


def _checked(
    cases: list[PreparedCase], prepared: PreparedCohort, settings: UnlabelledSettings, with_units: bool
) -> list[PreparedCase]:
    """The cases with the units of their channels, if these are needed; BadInput if the scans don't tell enough."""
    plan = prepared.plan
    has_ct = any(name.casefold() == CT for name in plan.channels)
    if settings.crops == "body" and not all(case.body_known for case in cases):
        without = sum(not case.body_known for case in cases)
        raise BadInput(
            f"Where the body is isn't known of {without} of {len(cases)} scans in {prepared.folder}, and crops: body "
            + (
                "needs it; prepare them again with `gynbtnet prepare`, or set crops to anywhere."
                if has_ct
                else "finds it in a CT channel, which they don't have; set crops to anywhere."
            )
        )
    if not with_units:
        return cases
    if "ct" in plan.normalisations and plan.intensities is not None:
        units = tuple(intensity.std for intensity in plan.intensities)
        return [replace(case, units=units) for case in cases]
    without = sum(not case.units for case in cases)
    if without and has_ct:
        raise BadInput(
            f"How many HU a unit is isn't known of {without} of {len(cases)} scans in {prepared.folder}, and "
            "target_epsilon_hu needs it; prepare them again with `gynbtnet prepare`, or set target_epsilon_hu to null."
        )
    return [case if case.units else replace(case, units=(1.0,) * len(plan.channels)) for case in cases]


def _initialise(network: nn.Module, settings: TrainingSettings) -> None:
    """New weights as the settings ask for them; PyTorch has drawn its own already."""
    if settings.initialisation == "he":
        initialise_he(network)


def _open(
    fabric: Fabric,
    stage: str,
    plan: Plan,
    settings: TrainingSettings,
    out: Path,
    training: Batches,
    validation: Batches | None,
    source: Mapping[str, Any],
) -> RunFolder:
    recipe = {"stage": stage, "settings": settings.model_dump(mode="json")}
    inputs = {
        "training": _digests(training.cases),
        "validation": _digests(validation.cases if validation else ()),
        **source,
    }
    with fabric.rank_zero_first():
        return open_run(out, recipe, inputs, plan)


def _digests(cases: Iterable[PreparedCase]) -> list[str]:
    """In the order that the batches are drawn in."""
    return [case.key for case in cases]


def _last_weights(run: Path | None) -> tuple[str | None, dict[str, Tensor]]:
    """The last weights of a run, or STU-Net's of a file, and their SHA-256; nothing for no run."""
    if run is None:
        return None, {}
    if run.is_file():
        return sha256_of(run), read_stu_net(run)
    path = RunFolder(run).last_weights
    if not path.is_file():
        raise BadInput(f"There is no {path}; expected the folder of a training run that came to its end.")
    return sha256_of(path), read_weights(path)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """New networks get weights drawn from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
