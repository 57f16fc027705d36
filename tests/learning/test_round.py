"""A round with its training: resumed after a kill, judged, and described in the model's folder."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gynbtnet.evaluation import Evaluation
from gynbtnet.inference import PredictionSettings
from gynbtnet.learning import LearningRequest, learn
from gynbtnet.learning import round as learning_round
from gynbtnet.learning.learning_folder import LearningFolder
from gynbtnet.preparation import PreparedCase
from gynbtnet.runtime import sha256_of
from gynbtnet.training import LearnedFrom

from .conftest import truth
from .test_rules import BASE, UP, evaluation


def scores(monkeypatch: pytest.MonkeyPatch, by_model: Mapping[str, list[float]]) -> None:
    """Let models have these DSC by the name of their folder's parent; the others have the base's."""

    def score(model: Path, *_: Any, **__: Any) -> Evaluation:
        dsc = by_model.get(model.parent.name, BASE)
        return evaluation({"bladder": dsc, "rectum": dsc})

    monkeypatch.setattr(learning_round, "score_frozen_test", score)


def kill_at(monkeypatch: pytest.MonkeyPatch, crops: int) -> None:
    read, count = PreparedCase.crop, 0

    def crop(case: PreparedCase, *where: Any) -> Any:
        nonlocal count
        count += 1
        if count == crops:
            raise KeyboardInterrupt
        return read(case, *where)

    monkeypatch.setattr(PreparedCase, "crop", crop)


def test_a_stopped_round_ends_the_same_and_the_better_model_is_kept(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Callable[..., LearningRequest],
) -> None:
    reviewed(predicted("new1", 20), truth(20))
    scores(monkeypatch, {"round-1": UP})
    request = request_of()
    whole = learn(request)
    assert (whole.round, whole.challenge and whole.challenge.promoted) == (1, True)
    folders = LearningFolder(tmp_path / "learned")
    assert whole.champion == folders.run(1)

    stopped = LearningFolder(tmp_path / "stopped")
    again = replace(request, out=stopped.folder)
    with monkeypatch.context() as patched:
        kill_at(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            learn(again)
    assert stopped.inputs(1).is_file() and not stopped.challenge(1).exists() and not stopped.champion.exists()
    resumed = learn(again)
    first, second = (load_file(run / "weights_last.safetensors") for run in (folders.run(1), stopped.run(1)))
    assert all((first[name] == second[name]).all() for name in first)
    assert resumed.challenge == whole.challenge

    stopped.champion.unlink()  # as if the kill had come before the pointer was written
    assert learn(again).champion == stopped.run(1)

    report = json.loads((folders.run(1) / "transfer.json").read_text())
    assert (report["parts"], report["share"]) == ("all", 1)
    learned = LearnedFrom.load(folders.run(1))
    assert learned is not None
    assert learned.start == sha256_of(source / "model" / "weights_last.safetensors")
    assert [dict(review.origins) for review in learned.reviews] == [{"bladder": "corrected"}]
    assert learned.sentence == "In round 1 the model learned further from 1 corrected contour in 1 reviewed scan."
    assert "new1" not in (folders.run(1) / "learned_from.json").read_text()
    assert LearnedFrom.load(source / "model") is None

    nothing = learn(request)
    assert (nothing.round, nothing.champion) == (None, folders.run(1))


def test_a_changed_round_is_removed_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_training: None,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Callable[..., LearningRequest],
) -> None:
    """A kill while its folder is removed leaves no half of it, which the next round would refuse."""
    reviewed(predicted("new1", 20), truth(20))
    scores(monkeypatch, {})
    request, folders = request_of(), LearningFolder(tmp_path / "learned")

    def stop(prepared: object, training: object, run: Path, **_: object) -> Path:
        run.mkdir()
        (run / "recipe.yaml").write_text("of other reviews")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(learning_round, "finetune", stop)
        with pytest.raises(KeyboardInterrupt):
            learn(request)
    reviewed(predicted("new2", 21), truth(21))

    def kill(path: Path) -> None:
        next(path.rglob("round.json")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            learn(request)
    assert not folders.round(1).exists()
    assert learn(request).round == 1
    assert (folders.run(1) / "weights_last.safetensors").is_file()


def test_the_worse_model_is_kept_too(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_training: None,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Callable[..., LearningRequest],
) -> None:
    reviewed(predicted("new1", 20), truth(20))
    scores(monkeypatch, {"round-1": UP, "round-2": BASE})
    request, folders = request_of(), LearningFolder(tmp_path / "learned")
    assert learn(request).champion == folders.run(1)
    reviewed(predicted("new2", 21), truth(21))
    lost = learn(request)
    assert lost.round == 2 and lost.challenge is not None and not lost.challenge.promoted
    assert lost.champion == folders.run(1)
    assert (folders.run(2) / "weights_last.safetensors").is_file(), "both are kept"
    inputs = json.loads(folders.inputs(2).read_text())
    assert inputs["champion"] == sha256_of(folders.run(1) / "weights_last.safetensors")
    assert len(inputs["reviews"]) == 2


def test_models_meet_as_they_are_used(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_training: None,
    predicted: Callable[..., Path],
    reviewed: Callable[..., Path],
    request_of: Callable[..., LearningRequest],
) -> None:
    """A champion that is used with its best weights is compared with these, and the challenger is used as compared."""
    model = shutil.copytree(source / "model", tmp_path / "model")
    shutil.copy(model / "weights_last.safetensors", model / "weights_best.safetensors")
    (model / "prediction_settings.json").write_text(json.dumps({"weights": "best", "overlap": 0.25}))
    reviewed(predicted("new1", 20), truth(20))
    compared: list[tuple[str, str, float]] = []

    def score(model: Path, *arguments: Any, **_: Any) -> Evaluation:
        (settings,) = (argument for argument in arguments if isinstance(argument, PredictionSettings))
        compared.append((model.name, settings.weights, settings.overlap))
        return evaluation({"bladder": BASE, "rectum": BASE})

    monkeypatch.setattr(learning_round, "score_frozen_test", score)
    learn(replace(request_of(), model=model))
    challenger = LearningFolder(tmp_path / "learned").run(1)
    assert compared == [("model", "best", 0.25), (challenger.name, "last", 0.25)]
    assert json.loads((challenger / "prediction_settings.json").read_text())["weights"] == "last"
