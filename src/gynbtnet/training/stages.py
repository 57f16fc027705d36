"""The three training stages: the same engine with different objectives, batches and settings."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from gynbtnet.networks.initialisation import expect_structures_rarely, initialise_he, scale_heads
from gynbtnet.networks.transfer import transfer_weights
from gynbtnet.preparation.planning.plan import CT, Plan
from gynbtnet.preparation.store import PreparedCase, PreparedCohort
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.sparse.dense_masked_autoencoder import DenseMaskedAutoencoder
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.sparse.masking import check_mask_ratio
from gynbtnet.sparse.registered_parts import IMAGE, RANDOM, find_mask, find_target
from gynbtnet.training.context import TrainingContext
from gynbtnet.training.data.augmentation import Augmentation
from gynbtnet.training.data.batches import Batches
from gynbtnet.training.data.mirroring import axes_of_arrays, with_mirroring
from gynbtnet.training.data.shared_memory import check_shared_memory
from gynbtnet.training.devices import check_budget, start_devices
from gynbtnet.training.engine import fit
from gynbtnet.training.memory import check_training_memory
from gynbtnet.training.objectives.masked_modelling_objective import MaskedModellingObjective
from gynbtnet.training.objectives.objective import Objective
from gynbtnet.training.objectives.segmentation_objective import SegmentationObjective
from gynbtnet.training.objectives.swin_proxy_tasks import SwinProxyTasks
from gynbtnet.training.planned_network import build_network, build_proxy_network
from gynbtnet.training.run_folder import RunFolder, open_run
from gynbtnet.training.settings import (
    PretrainingSettings,
    ProxyTaskSettings,
    SegmentationSettings,
    TrainingSettings,
    UnlabelledSettings,
)
from gynbtnet.training.starting_weights import read_starting_weights
from gynbtnet.training.trained_parameters import freeze_untrained
from gynbtnet.training.training_data import TrainingData
from gynbtnet.training.training_scans import TrainingScans

_LEAST_IN_SEGMENTATION, _LEAST_IN_PRETRAINING = 0.5, 0.1
"""Shares of the estimated memory of a step that it needs at least: in half precision, and with most cells masked."""


@dataclass(frozen=True)
class _Stage:
    """Scans, plan, settings and devices of a stage, before its batches and its network exist.

    Attributes:
        name: ``pretraining`` or ``segmentation``, as in the run's recipe.
        prepared: prepared scans.
        plan: plan of the run, with its mirrored axes.
        settings: settings of the run.
        fabric: processes, devices and number format.
        training_ids: cases to train on.
        validation_ids: cases to validate on.
        out: run folder.
    """

    name: str
    prepared: PreparedCohort
    plan: Plan
    settings: TrainingSettings
    fabric: Fabric
    training_ids: Collection[str]
    validation_ids: Collection[str]
    out: Path


def pretrain(
    prepared: PreparedCohort,
    settings: PretrainingSettings | ProxyTaskSettings,
    out: Path,
    *,
    training_ids: Collection[str],
    validation_ids: Collection[str],
) -> Path:
    """Run stage 1: pretrain on scans with or without labels.

    GynBTNet learns masked modelling; the baseline Swin-UNETR learns its proxy tasks.

    Args:
        prepared: prepared scans and their plan, with patch size, network, preset and strides.
        settings: settings of the run, for the plan's network.
        out: run folder; an interrupted run in it is resumed, a finished one stays unchanged.
        training_ids: cases to train on; prepared cases in neither list are not used.
        validation_ids: cases that select the best weights; if empty, the lowest training loss selects them.

    Returns:
        The run folder.

    Raises:
        BadInput: If cases, settings and an earlier run in ``out`` don't fit together, or the loss diverges. Also if
            another program trains in ``out``.
    """
    _check_pretraining(prepared.plan, settings)
    fabric = start_devices(settings)
    if isinstance(settings, ProxyTaskSettings) and fabric.world_size > 1:
        raise BadInput(
            "Swin-UNETR's pretraining compares all patches of a batch with each other, but "
            f"{fabric.world_size} devices would share it; train on one device."
        )
    unlabelled = replace(prepared.plan, structures=())  # labels that the scans may have are not learned
    plan = with_mirroring(unlabelled, settings)
    stage = _Stage("pretraining", prepared, plan, settings, fabric, training_ids, validation_ids, out)
    training, validation = _make_batches(stage)
    check_training_memory(fabric, plan, patches=1, least_share=_LEAST_IN_PRETRAINING)
    with _open(stage, training, validation, {}) as run:
        with _seeded(settings.seed):
            objective = _pretraining_objective(plan, settings)
            _initialise(objective.network, settings)
        freeze_untrained(objective.network, settings)
        fit(TrainingContext(fabric, objective, training, validation, settings, run))
    return out


def _check_pretraining(plan: Plan, settings: PretrainingSettings | ProxyTaskSettings) -> None:
    if plan.network == "nnunet":
        raise BadInput("The plan is for a network of nnU-Net, which isn't pretrained here; plan without --like.")
    if (plan.network == "swin_unetr") != isinstance(settings, ProxyTaskSettings):
        raise BadInput(
            f"The plan is for {plan.network}, but the settings are for another network: masked modelling pretrains "
            "gynbtnet, the proxy tasks pretrain swin_unetr."
        )
    if isinstance(settings, ProxyTaskSettings) and plan.patch_size[1] != plan.patch_size[2]:
        raise BadInput(
            f"Swin-UNETR's pretraining rotates patches by 90° about z, and patch_size is {plan.patch_size} (z, y, x); "
            "choose a patch_size as long along y as along x."
        )
    if isinstance(settings, PretrainingSettings) and settings.mask == RANDOM:
        check_mask_ratio(settings.mask_ratio, prod(plan.patch_size) // prod(map(prod, plan.strides)))


def _pretraining_objective(plan: Plan, settings: PretrainingSettings | ProxyTaskSettings) -> Objective:
    if isinstance(settings, ProxyTaskSettings):
        return SwinProxyTasks(build_proxy_network(plan), settings.cutout_ratio)
    return MaskedModellingObjective(
        _masked_autoencoder(plan, settings),
        settings.mask_ratio,
        settings.normalise_target,
        epsilon_hu=_epsilon_hu(settings),
        ct=tuple(name.casefold() == CT for name in plan.channels),
        mask=find_mask(settings.mask),
        target=find_target(settings.target),
    )


def _masked_autoencoder(plan: Plan, settings: PretrainingSettings) -> MaskedAutoencoder | DenseMaskedAutoencoder:
    channels, target = len(plan.channels), find_target(settings.target)
    outputs = channels * (target.outputs if target else 1)
    if settings.encoder == "dense":
        return DenseMaskedAutoencoder(
            plan.preset, channels, strides=plan.strides, decoder=settings.decoder, outputs=outputs
        )
    return MaskedAutoencoder(
        plan.preset,
        channels,
        outputs=outputs,
        strides=plan.strides,
        norm=settings.norm,
        decoder=settings.decoder,
        activation_checkpointing=settings.activation_checkpointing,
    )


def finetune(
    prepared: PreparedCohort,
    settings: SegmentationSettings,
    out: Path,
    *,
    training_ids: Collection[str],
    validation_ids: Collection[str],
    start: Path | None = None,
    keep_heads: bool = False,
) -> Path:
    """Run stage 2 or 3: learn to segment, from the weights of an earlier stage or from scratch.

    Args:
        prepared: labelled scans and their plan, with structures, patch size, network, preset and strides.
        settings: settings of the run.
        out: run folder; an interrupted run in it is resumed, a finished one stays unchanged.
        training_ids: cases to train on; prepared cases in neither list are not used.
        validation_ids: cases that select the best weights; if empty, the lowest training loss selects them.
        start: see :func:`~gynbtnet.training.starting_weights.read_starting_weights`. From stage 1 the encoder is
            transferred, from a segmentation everything except the heads. None: from scratch.
        keep_heads: transfer the heads too, to train a model on. ``start`` is then a run folder of the same structures.

    Returns:
        The run folder.

    Raises:
        BadInput: If cases, settings, start and an earlier run in ``out`` don't fit together, or the loss diverges.
            Also if another program trains in ``out``.
    """
    plan = with_mirroring(prepared.plan, settings)
    unlabelled = [case.id for case in prepared.cases if not case.labelled]
    if unlabelled or not plan.structures:
        raise BadInput(
            f"Without contours in {prepared.folder}: {len(unlabelled)} of "
            f"{counted(len(prepared.cases), 'prepared scan')}. The plan names "
            f"{counted(len(plan.structures), 'structure')}. Training needs contours on every scan."
        )
    fabric = start_devices(settings)
    if settings.decoder_first_share and start is not None and fabric.world_size > 1:
        raise BadInput(
            f"decoder_first_share needs a single device, but {fabric.world_size} devices would share a batch; set it "
            "to 0, or train on one device."
        )
    if settings.batch_dice and fabric.world_size > 1:
        raise BadInput(
            f"batch_dice needs the whole batch on one device, but {fabric.world_size} devices would share it; set "
            "batch_dice to false, or train on one device."
        )
    stage = _Stage("segmentation", prepared, plan, settings, fabric, training_ids, validation_ids, out)
    training, validation = _make_batches(stage)
    patches = 1 if settings.auto_micro_batch else training.batch_size
    check_training_memory(fabric, plan, patches=patches, least_share=_LEAST_IN_SEGMENTATION)
    kept = plan.structures if keep_heads else None
    source = read_starting_weights(start, plan.network, kept) if start is not None else None
    inputs = {"start": source.sha256 if source else None} | ({"heads": "kept"} if keep_heads else {})
    with _open(stage, training, validation, inputs, start) as run:
        with _seeded(settings.seed):
            network = build_network(plan, deep_supervision=settings.deep_supervision)
            _initialise(network, settings)
        if source is not None:
            report = transfer_weights(
                source.weights,
                network,
                parts=source.parts,
                min_share=1 if keep_heads else 0.95,
                channels=plan.channels,
                source_channels=source.channels,
            )
            if fabric.is_global_zero:
                write_json(report.to_json(), run.transfer_report)
            if settings.new_head_scale != 1 and not keep_heads:
                scale_heads(network, settings.new_head_scale)
        if plan.overlapping and not keep_heads:
            expect_structures_rarely(network)
        freeze_untrained(network, settings)
        objective = SegmentationObjective(
            network,
            plan.structures,
            settings.batch_dice,
            title=f"Training {out.name}",
            coarsest=settings.supervise_coarsest,
            regions=plan.regions,
        )
        context = TrainingContext(fabric, objective, training, validation, settings, run)
        fit(context if source is None else replace(context, transferred=source.parts))
    return out


def _make_batches(stage: _Stage) -> tuple[Batches, Batches | None]:
    """Return the batches to train on and, one patch per batch, those to validate on; None without validation cases."""
    plan, settings, fabric = stage.plan, stage.settings, stage.fabric
    training_cases, validation_cases = _split_cases(stage)
    if plan.batch_size % fabric.world_size:
        raise BadInput(
            f"{fabric.world_size} devices can't share a batch of {counted(plan.batch_size, 'patch', 'patches')} "
            "evenly; take fewer devices, or plan with another batch_size, and with a learning rate for it."
        )
    options: dict[str, Any] = {"structures": plan.structures}
    if isinstance(settings, SegmentationSettings):
        last_of = plan.batch_size if settings.foreground_rule == "last_of_batch" else 0
        options |= {"foreground_oversampling": settings.foreground_oversampling, "last_of": last_of}
    if isinstance(settings, UnlabelledSettings):
        with_units = isinstance(settings, PretrainingSettings) and _epsilon_hu(settings) is not None
        training_cases, validation_cases = (
            _checked(cases, stage.prepared, settings, with_units) for cases in (training_cases, validation_cases)
        )
        options |= {"around_body": settings.crops == "body", "with_units": with_units, "half": True}
    training = Batches(
        training_cases,
        Augmentation(
            settings.augmentation,
            plan.patch_size,
            axes_of_arrays(plan),
            plan.mirrored_labels if plan.sides_swapped else None,
        ),
        plan.batch_size // fabric.world_size,
        settings.seed,
        rank=fabric.global_rank,
        devices=fabric.world_size,
        **options,
    )
    processes, _ = launcher_world_size() or (fabric.world_size, 1)
    check_shared_memory(training, settings.workers, channels=len(plan.channels), processes=processes)
    unchanged = Augmentation("none", plan.patch_size)
    validation = Batches(validation_cases, unchanged, 1, settings.seed, **options)
    return training, validation if validation_cases else None


def _split_cases(stage: _Stage) -> tuple[list[PreparedCase], list[PreparedCase]]:
    """Return the cases to train on and those to validate on."""
    prepared, training_ids, validation_ids = stage.prepared, stage.training_ids, stage.validation_ids
    training = [case for case in prepared.cases if case.id in training_ids]
    validation = [case for case in prepared.cases if case.id in validation_ids]
    in_both = set(training_ids).intersection(validation_ids)
    absent = {*training_ids, *validation_ids}.difference(case.id for case in prepared.cases)
    if not training or in_both or absent:
        raise BadInput(
            f"{prepared.folder} has {counted(len(prepared.cases), 'prepared case')}. To train on: {len(training)}; to "
            f"validate on: {len(validation)}; in both lists: {len(in_both)}; not prepared: {len(absent)}. "
            "Give at least one case to train on, each case in one list, and only prepared cases."
        )
    return training, validation


def _epsilon_hu(settings: PretrainingSettings) -> float | None:
    """Return the epsilon of normalised targets in HU; None if SparK's is used or targets aren't a normalised image."""
    return settings.target_epsilon_hu if settings.normalise_target and settings.target == IMAGE else None


def _checked(
    cases: list[PreparedCase], prepared: PreparedCohort, settings: UnlabelledSettings, with_units: bool
) -> list[PreparedCase]:
    """Return the cases, with the units of their channels if needed; refuse scans without the necessary information."""
    plan = prepared.plan
    has_ct = any(name.casefold() == CT for name in plan.channels)
    if settings.crops == "body" and not all(case.body_known for case in cases):
        without = sum(not case.body_known for case in cases)
        raise BadInput(
            f"The voxels of the body are unknown for {without} of {counted(len(cases), 'scan')} in "
            f"{prepared.folder}, and crops: "
            + (
                "body needs them; prepare the scans again with `gynbtnet prepare`, or set crops to anywhere."
                if has_ct
                else "body finds them in a CT channel, which the scans don't have; set crops to anywhere."
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
            f"The HU per unit of the prepared image are unknown for {without} of {counted(len(cases), 'scan')} in "
            f"{prepared.folder}, and target_epsilon_hu needs them. Prepare the scans again with `gynbtnet prepare`, or "
            "set target_epsilon_hu to null."
        )
    return [case if case.units else replace(case, units=(1.0,) * len(plan.channels)) for case in cases]


def _initialise(network: nn.Module, settings: TrainingSettings) -> None:
    """Draw new weights as the settings require; PyTorch has drawn its own already."""
    if settings.initialisation == "he":
        initialise_he(network)


@contextmanager
def _open(
    stage: _Stage,
    training: Batches,
    validation: Batches | None,
    source: Mapping[str, Any],
    start: Path | None = None,
) -> Iterator[RunFolder]:
    """Create or resume the run folder, and keep other programs out of it inside the block.

    The first process does this for all. Its error is raised in every process, since each would wait for the first.

    Args:
        stage: the stage.
        training: batches to train on.
        validation: batches to validate on.
        source: digests of further inputs.
        start: run folder or weights of the earlier stage; None: from scratch.
    """
    if not RunFolder(stage.out).last_weights.is_file():  # before the folder is one of a run with this budget
        check_budget(stage.settings.budget, stage.settings.accelerator)
    recipe = {"stage": stage.name, "settings": stage.settings.model_dump(mode="json")}
    inputs = {
        "training": _digests(training.cases),
        "validation": _digests(validation.cases if validation else ()),
        **source,
    }
    with ExitStack() as stack:
        problem: BadInput | OSError | None = None
        if stage.fabric.is_global_zero:
            try:
                run = stack.enter_context(open_run(stage.out, recipe, inputs, stage.plan))
                TrainingData.of_cases(training.cases, synthetic=stage.prepared.synthetic).save(run.path)
                TrainingScans.of_cases([*training.cases, *(validation.cases if validation else ())], start).save(
                    run.path
                )
            except (BadInput, OSError) as error:
                problem = error
        problem = stage.fabric.broadcast(problem)
        if problem is not None:
            raise problem
        yield RunFolder(stage.out)


def _digests(cases: Iterable[PreparedCase]) -> list[str]:
    """Return the digests of cases in the order in which batches are drawn from them."""
    return [case.key for case in cases]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generator inside the block, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
