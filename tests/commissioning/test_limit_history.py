"""The history of limits: a change after results needs a reason, and names all that has changed."""

import json
from pathlib import Path

import pytest

from gynbtnet.commissioning.commission import commission_model
from gynbtnet.commissioning.limit_history import SeenLimits, changes, with_limits
from gynbtnet.commissioning.limits import Limits
from gynbtnet.commissioning.record import RECORD, SCHEMA, CommissioningRecord
from gynbtnet.datasets import Cohort
from gynbtnet.runtime import BadInput

from .conftest import SETTINGS


def with_dose(limits: Limits, **settings: object) -> Limits:
    return limits.model_copy(update={"dose": limits.dose.model_copy(update=settings)})


def test_a_change_is_named_with_the_settings_of_the_dose(limits: Limits) -> None:
    history = with_limits((), limits, results_exist=False)
    other = with_dose(limits, alpha_beta_organ_gy=2.0).model_copy(update={"confidence": 0.9})
    with pytest.raises(BadInput, match=r"confidence from 0\.95 to 0\.9 and dose alpha_beta_organ_gy from 3\.0 to 2\.0"):
        with_limits(history, other, results_exist=True, reason="  ")
    changed = with_limits(history, other, results_exist=True, reason=" a typing error ")
    assert [seen.reason for seen in changed] == ["", "a typing error"] and changed[1].after_results
    assert with_limits(changed, other, results_exist=True, reason="a typing error") == changed, "it was interrupted"
    with pytest.raises(BadInput, match="are those of the last run; leave it out"):
        with_limits(changed, other, results_exist=True, reason="another")


def test_a_change_before_results_needs_no_reason(limits: Limits) -> None:
    history = with_limits((), limits, results_exist=False)
    changed = with_limits(history, with_dose(limits, ends="half"), results_exist=False, reason="half a slice")
    assert (changed[1].after_results, changed[1].reason) == (False, "half a slice")
    with pytest.raises(BadInput, match="has seen no limits before; leave it out"):
        with_limits((), limits, results_exist=False, reason="any")


def test_an_earlier_version_did_not_record_the_dose() -> None:
    before = SeenLimits("a", "2026-01-01T00:00:00+00:00", "me", {"confidence": 0.95})
    assert changes(before, SeenLimits("b", "", "me", {"confidence": 0.95}, dose={"ends": "half"})) == (
        "the settings of the dose"
    )


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    model = dict.fromkeys(("name", "sha256", "rules", "trained_on", "settings", "device"), "")
    model |= {"files": {}, "structures": [], "versions": {}}  # type: ignore[dict-item]
    record = {"schema": SCHEMA, "model": model, "intended_use": "", "history": []}
    (tmp_path / RECORD).write_text(json.dumps(record))
    assert CommissioningRecord.load(tmp_path) is not None
    (tmp_path / RECORD).write_text(json.dumps(record | {"schema": SCHEMA + 1}))
    with pytest.raises(BadInput, match=f"has schema {SCHEMA + 1}, expected {SCHEMA}; give a new folder"):
        CommissioningRecord.load(tmp_path)


def test_what_is_refused_before_anything_is_written(
    local: Cohort, limits: Limits, model_path: Path, tmp_path: Path
) -> None:
    kit = tmp_path / "kit"
    with pytest.raises(BadInput, match=r"There is no folder .*absent; expected one with the doses"):
        commission_model(model_path, local, limits, kit, settings=SETTINGS, doses=tmp_path / "absent")
    with pytest.raises(BadInput, match="alpha_beta_gy of the limits' dose names spleen"):
        commission_model(model_path, local, with_dose(limits, alpha_beta_gy={"spleen": 2.0}), kit, settings=SETTINGS)
    wider = Cohort("wider", (*local.structures, "uterus"), local.cases, local.folder)
    more = limits.model_copy(update={"limits": {**limits.limits, "uterus": limits.limits["bladder"]}})
    with pytest.raises(BadInput, match="limits for uterus, which the model doesn't segment, only hr_ctv, bladder"):
        commission_model(model_path, wider, more, kit, settings=SETTINGS)
    assert not kit.exists()
