"""Adaptation of a model to the earlier fractions of a patient, checked on the last of them."""

from collections.abc import Sequence
from dataclasses import replace

from gynbtnet.adaptation.adapted_model import AdaptedModel
from gynbtnet.adaptation.fine_tuning import fine_tune
from gynbtnet.adaptation.patches import EarlierFraction, prepare_fraction
from gynbtnet.adaptation.settings import AdaptationSettings
from gynbtnet.evaluation.metrics.metrics import dice
from gynbtnet.imaging.regions import Combination, occurring_combinations
from gynbtnet.inference.engine.adaptation_record import AdaptationRecord, CheckedStructure
from gynbtnet.inference.engine.predict import predict
from gynbtnet.inference.engine.settings import PredictionSettings
from gynbtnet.inference.models.model import Model
from gynbtnet.networks.unet import GynBTNet
from gynbtnet.preparation.planning.plan import Plan
from gynbtnet.runtime.errors import BadInput


def adapt_model(
    model: Model,
    fractions: Sequence[EarlierFraction],
    settings: AdaptationSettings | None = None,
    prediction: PredictionSettings | None = None,
) -> AdaptedModel:
    """Return the model adapted to a patient, in those structures in which it helped on an earlier fraction.

    The last fraction is left out first: a copy is trained on the others, and each structure that it contours better
    there is adapted. The result is then trained on all fractions, with as many steps, or fewer if they don't
    fit into the time. With a single earlier fraction
    nothing can be checked, so no structure is adapted and nothing is trained. If a single step takes longer than half
    of the time, which only a first one can, nothing is adapted either.

    Args:
        model: GynBTNet model, which stays as it is.
        fractions: reviewed fractions, in their order.
        settings: time, steps, levels and seed; None: the defaults.
        prediction: settings of the predictions that are compared; None: the defaults.

    Returns:
        The adapted model, with a record of what was done.

    Raises:
        BadInput: If the network is not GynBTNet, or a fraction has no reviewed structure of the model.
    """
    settings, prediction = settings or AdaptationSettings(), prediction or PredictionSettings()
    network, plan = model.network, model.plan
    if not isinstance(network, GynBTNet):
        raise BadInput(f"{model.folder} is a {model.title} model; only GynBTNet is adapted: leave --earlier out.")
    if settings.levels > len(network.decoder.levels):
        raise BadInput(f"levels is {settings.levels}, but the decoder has {len(network.decoder.levels)}; give fewer.")
    plan = _with_overlaps(plan, fractions)
    sources = [prepare_fraction(fraction, plan) for fraction in fractions]
    if not sources or not all(source.foreground for source in sources):
        raise BadInput("An earlier fraction has no reviewed contour of the model's structures; leave it out.")
    digests = tuple(fraction.sha256 for fraction in fractions)
    if len(sources) == 1:
        return AdaptedModel.combine(model, network, AdaptationRecord(digests, 0, 0.0, settings.seed, (), {}))
    half = settings.seconds / 2
    trial = fine_tune(network, sources[:-1], plan, settings, seconds=half, steps=settings.steps)
    if trial.steps <= 1 and trial.seconds > half:  # a step can't be stopped, and another one would take as long
        record = AdaptationRecord(digests, 0, round(trial.seconds, 2), settings.seed, (), {}, trial.steps)
        return AdaptedModel.combine(model, network, record)
    everywhere = AdaptationRecord(digests[:-1], trial.steps, trial.seconds, settings.seed, plan.structures, {})
    check = _check(model, AdaptedModel.combine(model, trial.network, everywhere), fractions[-1], prediction)
    helped = tuple(name for name, dsc in check.items() if dsc.adapted >= dsc.unadapted + settings.least_gain)
    if not helped or not trial.steps:
        record = AdaptationRecord(digests, 0, round(trial.seconds, 2), settings.seed, (), check, trial.steps)
        return AdaptedModel.combine(model, network, record)
    final = fine_tune(network, sources, plan, settings, seconds=half, steps=trial.steps)
    seconds = round(trial.seconds + final.seconds, 2)
    record = AdaptationRecord(digests, final.steps, seconds, settings.seed, helped, check, trial.steps)
    return AdaptedModel.combine(model, final.network, record)


def _with_overlaps(plan: Plan, fractions: Sequence[EarlierFraction]) -> Plan:
    """Return the plan with labels for all overlaps of the fractions, also those that the training didn't have."""
    if plan.regions is None:
        return plan
    combinations = frozenset[Combination]().union(*(occurring_combinations(own.contours) for own in fractions))
    return replace(plan, regions=plan.regions.with_combinations(combinations))


def _check(
    model: Model, adapted: AdaptedModel, fraction: EarlierFraction, settings: PredictionSettings
) -> dict[str, CheckedStructure]:
    """Return the DSC of both models on a fraction, by reviewed structure."""
    before, after = (predict(each, fraction.volumes, settings) for each in (model, adapted))
    checked = {}
    for name in model.structures:
        truth = fraction.contours.mask(name)
        if name not in fraction.missing and truth.any():
            checked[name] = CheckedStructure(
                round(dice(truth, before.mask(name)), 4), round(dice(truth, after.mask(name)), 4)
            )
    return checked
