"""Adaptation trains only the last levels of a copy, in limited time, and is used only if it helped."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gynbtnet.adaptation import AdaptationSettings, EarlierFraction, adapt_model
from gynbtnet.adaptation import adapt as adapt_module
from gynbtnet.adaptation.adapted_model import combine_outputs
from gynbtnet.adaptation.fine_tuning import FineTuned, fine_tune
from gynbtnet.adaptation.patches import prepare_fraction
from gynbtnet.imaging import Geometry, Regions, Segmentation, StructureMasks, Volume, paint_masks
from gynbtnet.inference import Model, PredictionSettings, predict
from gynbtnet.networks import GynBTNet
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.runtime import BadInput

STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
PREDICTION = PredictionSettings(mirroring=False, roi="whole")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    plan = Plan(("bladder", "rectum"), (2.0, 2.0, 2.0), "zscore", None, (16, 32, 32), 1, "XS", STRIDES)
    save_plan(plan, folder)
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=3, strides=STRIDES).state_dict(), folder / "weights_last.safetensors")
    return Model.load(folder, device="cpu")


def fraction(seed: int, missing: tuple[str, ...] = ()) -> EarlierFraction:
    """Return a scan of 16 × 30 × 32 voxels with a bright bladder and a dark rectum."""
    geometry = Geometry((16, 30, 32), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    labels = np.zeros(geometry.shape, np.uint8)
    labels[4:12, 4:14, 4 + seed : 18] = 1
    labels[4:12, 18:28, 10:22] = 2 * ("rectum" not in missing)
    hu = np.random.default_rng(seed).normal(0, 10, geometry.shape) + np.array([0, 300, -300])[labels]
    contours = Segmentation(Volume(labels, geometry), ("bladder", "rectum"))
    return EarlierFraction((Volume(hu.astype(np.float32), geometry),), contours, missing, f"digest {seed}")


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_only_the_last_levels_of_a_copy_are_trained_and_the_steps_repeat(model: Model) -> None:
    assert isinstance(model.network, GynBTNet)
    before, sources = weights(model.network), [prepare_fraction(fraction(0, ("rectum",)), model.plan)]
    runs = [
        fine_tune(model.network, sources, model.plan, AdaptationSettings(levels=1), seconds=600, steps=2)
        for _ in range(2)
    ]
    first, second = (weights(run.network) for run in runs)
    assert all(torch.equal(value, weights(model.network)[name]) for name, value in before.items())
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    changed = {name for name, value in first.items() if not torch.equal(value, before[name])}
    last = ("decoder.projections.3.", "decoder.levels.3.", "decoder.heads.3.")
    assert changed and all(name.startswith(last) for name in changed)
    assert [run.steps for run in runs] == [2, 2]


def test_no_step_begins_that_would_end_too_late(model: Model) -> None:
    """Each reading of the clock is one second later, so that a step takes one second and the check before it one."""
    assert isinstance(model.network, GynBTNet)
    ticks = count()
    sources = [prepare_fraction(fraction(0), model.plan)]
    run = fine_tune(
        model.network, sources, model.plan, AdaptationSettings(), seconds=5, steps=None, clock=lambda: next(ticks)
    )
    assert run.steps == 2  # they begin at 1 and 3 s; one at 5 s would end at 6 s


def test_outputs_are_combined_by_structure() -> None:
    base, adapted = torch.randn(2, 1, 3, 2, 2, 2).unbind()
    chosen = torch.tensor([False, True])
    combined = combine_outputs(lambda _: base, lambda _: adapted, chosen, overlapping=False)(base)
    for values, index in ((base, 1), (adapted, 2)):
        torch.testing.assert_close(combined[:, index] - combined[:, 0], values[:, index] - values[:, 0])
    masks = combine_outputs(lambda _: base, lambda _: adapted, torch.tensor([True, False, True]), overlapping=True)(
        base
    )
    assert torch.equal(masks, torch.stack([adapted[:, 0], base[:, 1], adapted[:, 2]], 1))


def test_an_overlap_that_the_training_did_not_have_is_learned_from(tmp_path: Path) -> None:
    structures = ("bladder", "rectum")
    plan = Plan(structures, (2.0, 2.0, 2.0), "zscore", None, (16, 32, 32), 1, "XS", STRIDES)
    save_plan(replace(plan, regions=Regions.of(structures, ())), tmp_path)
    save_file(GynBTNet("XS", outputs=2, strides=STRIDES).state_dict(), tmp_path / "weights_last.safetensors")
    own = fraction(0)
    masks = {name: own.contours.mask(name) for name in structures}
    overlapping = StructureMasks.of(masks | {"rectum": masks["rectum"] | masks["bladder"]}, own.volumes[0].geometry)
    fractions = [replace(fraction(seed), contours=paint_masks(overlapping)) for seed in range(2)]
    adapted = adapt_model(Model.load(tmp_path, device="cpu"), fractions, AdaptationSettings(steps=1), PREDICTION)
    assert set(adapted.record.check) == set(structures)


def test_one_fraction_adapts_nothing(model: Model) -> None:
    adapted = adapt_model(model, [fraction(0)])
    (note,) = adapted.segment(fraction(2).volumes, PREDICTION).notes
    assert note.startswith("Not adapted to 1 earlier fraction of the patient, since a gain can't be checked with one:")
    assert (adapted.record.structures, adapted.record.steps) == ((), 0)
    scan = fraction(2).volumes
    ours, theirs = (predict(each, scan, PREDICTION).labels.array for each in (model, adapted))
    np.testing.assert_array_equal(ours, theirs)


def test_a_structure_is_adapted_only_if_it_helped(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of the trial finds the bladder exactly and never the rectum, which the model finds no better."""

    class Bright(GynBTNet):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([1 - image, image - 1, torch.full_like(image, -9)], 1)

    trained = Bright("XS", outputs=3, strides=STRIDES, deep_supervision=False).eval()
    steps = iter((4, 3))
    monkeypatch.setattr(adapt_module, "fine_tune", lambda *_, **__: FineTuned(trained, next(steps), 1.5))
    monkeypatch.setattr("gynbtnet.inference.models.backends.optimise_for_cpu", lambda network: network)
    fractions = [fraction(0), fraction(1)]
    adapted = adapt_model(model, fractions, AdaptationSettings(seed=7), PREDICTION)
    record = adapted.record
    assert record.structures == ("bladder",)
    assert (record.fractions, record.steps, record.seconds, record.seed) == (("digest 0", "digest 1"), 3, 3.0, 7)
    assert record.trial_steps == 4
    assert record.check["bladder"].adapted > 0.9 > record.check["bladder"].unadapted
    assert record.check["rectum"].adapted == 0
    result = adapted.segment(fraction(2).volumes, PREDICTION)
    assert result.notes[-1].startswith("Adapted to 2 earlier fractions of the patient in 3 steps: Bladder;")
    truth, drawn = fraction(2).contours.mask("bladder"), result.segmentation.mask("bladder")
    assert (truth & drawn).sum() > 0.5 * truth.sum()


def test_a_step_that_takes_too_long_adapts_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of a large network can't be foreseen; no second training follows it."""
    calls = []

    def slow(network: GynBTNet, *_: object, **__: object) -> FineTuned:
        calls.append(network)
        return FineTuned(network, 1, 31.0)

    monkeypatch.setattr(adapt_module, "fine_tune", slow)
    record = adapt_model(model, [fraction(0), fraction(1)], AdaptationSettings(seconds=60), PREDICTION).record
    assert (record.structures, record.steps, record.seconds, dict(record.check)) == ((), 0, 31.0, {})
    assert len(calls) == 1


def test_what_cannot_be_adapted_is_refused(model: Model) -> None:
    with pytest.raises(BadInput, match="has no reviewed contour"):
        adapt_model(model, [])
    with pytest.raises(BadInput, match="levels is 9, but the decoder has 4"):
        adapt_model(model, [fraction(0)], AdaptationSettings(levels=9))
    with pytest.raises(BadInput, match="only GynBTNet is adapted"):
        adapt_model(replace(model, network=torch.nn.Identity()), [fraction(0)])
