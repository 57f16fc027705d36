"""A whole kit: verdicts, planted failures, limits that change, another model, and a kill."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gynbtnet.commissioning.commission as module
from gynbtnet.commissioning.commission import commission_model
from gynbtnet.commissioning.limits import Limits
from gynbtnet.commissioning.planted_failures import without_left_half
from gynbtnet.commissioning.record import PAGE, RECORD, CommissioningRecord
from gynbtnet.datasets import Cohort
from gynbtnet.imaging import Segmentation, Volume, read_ct_series
from gynbtnet.inference import PredictionSettings
from gynbtnet.runtime import BadInput

from .conftest import GRID, PATIENTS, SETTINGS, boxes

Kit = tuple[Path, CommissioningRecord]

pytestmark = pytest.mark.slow  # the kit of the fixture takes some 20 CPU seconds


def test_limits_are_judged_by_the_known_errors(kit: Kit) -> None:
    """The bladder is 0, 1 or 2 slices longer than its reference of 6, twice each; the HR-CTV is exact."""
    _, record = kit
    assert record.results is not None
    judged = {(r.structure, r.metric): r.judgement for r in record.results.limits}
    dsc = [2 * 6 / (12 + n % 3) for n in range(PATIENTS)]
    bladder = judged["bladder", "dsc"]
    assert bladder.mean == pytest.approx(np.mean(dsc)) and (bladder.cases, bladder.patients) == (6, 6)
    assert bladder.verdict == "can't decide" and bladder.patients_needed and bladder.patients_needed > 6
    assert judged["bladder", "hd95_mm"].mean == pytest.approx(np.mean([0, 8, 16] * 2))
    exact = judged["hr_ctv", "dsc"]
    assert (exact.mean, exact.verdict, exact.low) == (1.0, "can't decide", None), "no interval without variation"
    assert judged["bladder", "delta_d2cc_gy"].patients == 6
    assert record.looks[-1].verdicts["can't decide"] == sum(j.verdict == "can't decide" for j in judged.values())
    assert record.results.local.training_checked and not record.results.local.refused


def test_planted_failures_are_run_and_said(kit: Kit) -> None:
    _, record = kit
    assert record.results is not None
    planted = {failure.name: failure for failure in record.results.planted}
    outcomes = {name: failure.outcome for name, failure in planted.items()}
    assert outcomes["local_control"] == outcomes["phantom_control"] == "control"
    refused = {"missing_slices", "hu_1024_too_high", "mr_dicom", "mr_image"}
    assert {name for name, outcome in outcomes.items() if outcome == "refused"} == refused
    assert {"half_organ", "mirrored", "male_pelvis", "other_applicator"} <= set(outcomes)
    assert "rescale" in planted["hu_1024_too_high"].report[0]
    assert "like an MR" in planted["mr_image"].report[0]
    for failure in planted.values():
        assert bool(failure.report) == (failure.outcome != "not noticed")
        assert not any("/kits" in sentence for sentence in (*failure.report, *failure.as_control))


def test_the_planted_scans_are_what_they_say(kit: Kit) -> None:
    folder, _ = kit
    with pytest.raises(BadInput, match="slice"):
        read_ct_series(folder / "planted" / "missing_slices" / "source" / "scan")
    assert len(list((folder / "planted" / "missing_slices" / "source" / "scan").iterdir())) == GRID.shape[0] - 3
    labels = Volume(boxes(0)[1], GRID)
    halved = without_left_half(Segmentation(labels, ("hr_ctv", "bladder")), "bladder")
    assert (halved.labels.array == 2).sum() * 2 == (labels.array == 2).sum()
    left = GRID.to_world(np.argwhere(halved.mask("bladder")))[:, 0]
    assert left.max() < 0, "x runs to the patient's left"
    assert np.array_equal(halved.mask("hr_ctv"), labels.array == 1)


@pytest.fixture
def rerun(
    kit: Kit, model_path: Path, local: Cohort, doses: Path, with_thresholds, monkeypatch
) -> Callable[..., CommissioningRecord]:
    """Function that runs the command again in the same kit."""
    monkeypatch.setattr(module, "load_model", with_thresholds)

    def run(
        limits: Limits, *, settings: PredictionSettings = SETTINGS, limits_changed: str = ""
    ) -> CommissioningRecord:
        return commission_model(
            model_path, local, limits, kit[0], doses=doses, settings=settings, limits_changed=limits_changed
        )

    return run


def test_limits_stay_as_they_were_unless_the_change_is_named(kit: Kit, limits: Limits, rerun, monkeypatch) -> None:
    folder, first = kit
    monkeypatch.setattr(module, "run_planted_failures", lambda *_: first.results.planted)
    before = (folder / RECORD).read_text()
    bladder = {**limits.limits["bladder"], "dsc": limits.limits["bladder"]["dsc"].model_copy(update={"limit": 0.5})}
    lower = limits.model_copy(update={"limits": {**limits.limits, "bladder": bladder}})
    with pytest.raises(BadInput, match=r"bladder dsc from 0\.97 to 0\.5.*--limits-changed"):
        rerun(lower)
    assert (folder / RECORD).read_text() == before, "nothing is written"
    with pytest.raises(BadInput, match="leave it out"):
        rerun(limits, limits_changed="no reason")
    reworded = limits.model_copy(update={"intended_use": "Reworded."})
    assert rerun(reworded).history == first.history, "words may be corrected"
    changed = rerun(lower, limits_changed="a typing error <of> mine")
    assert [seen.after_results for seen in changed.history] == [False, True]
    assert changed.history[1].reason == "a typing error <of> mine" and changed.history[0] == first.history[0]
    page = (folder / PAGE).read_text()
    assert "a typing error &lt;of&gt; mine" in page and "bladder dsc from 0.97 to 0.5" in page
    assert "Limits were changed after results" in page
    (folder / RECORD).write_text(before)


def test_a_killed_run_continues(kit: Kit, limits: Limits, rerun, monkeypatch) -> None:
    folder, first = kit
    predictions = sorted((folder / "predictions").glob("*/prediction.json"))
    times = [path.stat().st_mtime_ns for path in predictions]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "judge_limits", killed)
        with pytest.raises(KeyboardInterrupt):
            rerun(limits)
    assert CommissioningRecord.load(folder) is not None
    monkeypatch.setattr(module, "run_planted_failures", lambda *_: first.results.planted)
    assert rerun(limits).results == first.results
    assert [path.stat().st_mtime_ns for path in predictions] == times
    assert len(CommissioningRecord.load(folder).looks) == 1, "the same results are one look"


def test_limits_are_recorded_before_any_result(
    model_path: Path, local: Cohort, limits: Limits, with_thresholds, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(module, "load_model", with_thresholds)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "predict_local", killed)
    monkeypatch.setattr(module, "_prepare_import", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        commission_model(model_path, local, limits, tmp_path / "kit", settings=SETTINGS)
    history = json.loads((tmp_path / "kit" / RECORD).read_text())["history"]
    assert [seen["sha256"] for seen in history] == [limits.sha256]
    other = limits.model_copy(update={"confidence": 0.9})
    with pytest.raises(KeyboardInterrupt):
        commission_model(model_path, local, other, tmp_path / "kit", settings=SETTINGS)
    assert [seen.after_results for seen in CommissioningRecord.load(tmp_path / "kit").history] == [False, False]


def test_what_cannot_be_commissioned(
    kit: Kit, limits: Limits, rerun, local: Cohort, model_path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="another set of prediction settings"):
        rerun(limits, settings=SETTINGS.model_copy(update={"overlap": 0.5}))
    with pytest.raises(BadInput, match="limits for hr_ctv"):
        commission_model(model_path, Cohort("x", ("bladder",), local.cases, local.folder), limits, tmp_path / "kit")
    (tmp_path / "file").write_text("x")
    for target in (tmp_path, tmp_path / "file"):
        with pytest.raises(BadInput, match=r"no commission\.json|is a file"):
            commission_model(model_path, local, limits, target, settings=SETTINGS)
