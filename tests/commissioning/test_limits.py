"""The file of limits: proposals, wrong values, the digest, and verdicts by an independent computation."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gynbtnet.commissioning.limits import METRICS, Limits, Side
from gynbtnet.commissioning.measured_values import find_worst
from gynbtnet.commissioning.proposal import write_proposal
from gynbtnet.commissioning.verdict import judge
from gynbtnet.imaging import StructureNames
from gynbtnet.phantom import STRUCTURES
from gynbtnet.runtime import BadInput


def test_proposals_have_a_sentence_and_a_source_each(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    write_proposal([*STRUCTURES, "kidney_left"], path)
    limits = Limits.load(path)
    assert tuple(limits.limits) == STRUCTURES
    everything = [limit for metrics in limits.limits.values() for limit in metrics.values()]
    assert len(everything) > 20 and all(limit.why.endswith(".") and limit.source for limit in everything)
    proposed = {metric for metrics in limits.limits.values() for metric in metrics}
    assert proposed == set(METRICS)
    names = StructureNames.load()
    for structure, metrics in limits.limits.items():
        is_target = names.interpreted_type(structure) == "CTV"
        assert not (set(metrics) & ({"delta_d2cc_gy"} if is_target else {"delta_d90_gy"}))
    assert "kidney_left: there is no proposal" in path.read_text()
    with pytest.raises(BadInput, match="exists already"):
        write_proposal(STRUCTURES, path)
    with pytest.raises(BadInput, match="kidney") as refused:
        write_proposal(["kidney_left"], tmp_path / "other.yaml")
    (tmp_path / "own.yaml").write_text(str(refused.value).split("`")[1])
    assert list(Limits.load(tmp_path / "own.yaml").limits) == ["kidney_left"]


def test_the_page_shows_limits_that_are_read(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "commissioning.md"
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "limits.yaml").write_text(block)
    assert "vagina" in Limits.load(tmp_path / "limits.yaml").limits


ENTRY = "limits: {{bladder: {{{}: {{limit: {}, why: w, source: s{}}}}}}}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTRY.format("dsc", 1.2, ""), "share below 1"),
        (ENTRY.format("dsc", 0.8, ", tolerance_mm: 2"), "tolerance_mm belongs"),
        (ENTRY.format("surface_dsc", 0.8, ""), "tolerance_mm belongs"),
        (ENTRY.format("hd95_mm", -1, ""), "greater than 0"),
        (ENTRY.format("asd", 1, ""), "bladder"),
        ("limits: {}\n", "limits"),
        ("limits: {bladder: {}}\n", "bladder has no limit; give one, or delete its name"),
        (ENTRY.format("hd95_mm", "yes", ""), "true is not a number"),
        (ENTRY.format("hd95_mm", "2,5", ""), "has the key 5; write decimals with a point"),
        (ENTRY.format("hd95_mm", ".inf", ""), "finite"),
        ("limits: {bladder: {dsc: {limit: 0.8, why: ' ', source: s}}}", "why: String should have at least 1"),
        ("limits: [", "YAML"),
        ("confidence: 2\n" + ENTRY.format("dsc", 0.8, ""), "confidence"),
    ],
)
def test_wrong_limits(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "limits.yaml").write_text(text)
    with pytest.raises(BadInput, match=words):
        Limits.load(tmp_path / "limits.yaml")
    with pytest.raises(BadInput, match="--init"):
        Limits.load(tmp_path / "absent.yaml")


def test_the_digest_is_of_what_decides(limits: Limits) -> None:
    same = limits.model_copy(update={"intended_use": "other", "set_by": "other"})
    assert same.sha256 == limits.sha256
    dose = limits.dose.model_copy(update={"alpha_beta_organ_gy": 2.0})
    assert len({limits.sha256, limits.model_copy(update={"confidence": 0.9}).sha256}) == 2
    assert limits.model_copy(update={"dose": dose}).sha256 != limits.sha256


VALUES = np.array([0.80, 0.84, 0.79, 0.83, 0.86, 0.81, 0.82, 0.80])


@pytest.mark.parametrize(
    ("limit", "side", "verdict"),
    [
        (0.79, "at least", "meets"),
        (0.85, "at least", "fails"),
        (0.82, "at least", "can't decide"),
        (0.85, "at most", "meets"),
        (0.79, "at most", "fails"),
        (0.81, "at most", "can't decide"),
        (0.90, "within", "meets"),
        (0.70, "within", "fails"),
        (0.81, "within", "can't decide"),
    ],
)
def test_verdicts(limit: float, side, verdict: str) -> None:
    patients = [f"p{number}" for number in range(len(VALUES))]
    judgement = judge(list(VALUES), patients, limit=limit, side=side)
    interval = stats.t.interval(0.95, 7, VALUES.mean(), stats.sem(VALUES))
    assert (judgement.low, judgement.high) == pytest.approx(interval)
    assert judgement.verdict == verdict
    if side == "within":
        negative = judge(list(-VALUES), patients, limit=limit, side=side)
        assert negative.verdict == verdict and negative.patients_needed == judgement.patients_needed


def test_the_number_of_patients_decides_in_four_of_five_studies() -> None:
    """A simulation with the mean and the SD of the pilot, independent of the formula."""
    patients = [f"p{number}" for number in range(len(VALUES))]
    judgement = judge(list(VALUES), patients, limit=0.80, side="at least")
    assert judgement.verdict == "can't decide" and judgement.patients_needed is not None
    random = np.random.default_rng(0)
    mean, sd = VALUES.mean(), VALUES.std(ddof=1)
    decided = {}
    for n in (judgement.patients_needed - 1, judgement.patients_needed):
        studies = random.normal(mean, sd, (20_000, n))
        low = studies.mean(1) - stats.t.ppf(0.975, n - 1) * studies.std(1, ddof=1) / np.sqrt(n)
        decided[n] = (low > 0.80).mean()
    assert decided[judgement.patients_needed] > 0.79 and decided[judgement.patients_needed - 1] < 0.81


def test_fractions_of_a_patient_are_not_patients() -> None:
    """Twelve cases of four patients have no interval; of six patients that of their means."""
    few = judge([0.8, 0.81, 0.82, 0.83] * 3, list("abcd") * 3, limit=0.5, side="at least")
    assert (few.verdict, few.low, few.patients) == ("can't decide", None, 4)
    means = [0.8, 0.81, 0.82, 0.83, 0.79, 0.84]
    six = judge(means * 3, list("abcdef") * 3, limit=0.5, side="at least")
    assert (six.low, six.high) == pytest.approx(stats.t.interval(0.95, 5, np.mean(means), stats.sem(means)))
    assert judge([], [], limit=1, side="at most").verdict == "no data"
    at_the_limit = judge([0.7, 0.8, 0.9, 0.75, 0.85], list("abcde"), limit=0.8, side="at least")
    assert at_the_limit.patients_needed is None and "too close" in at_the_limit.note
    patients = [f"p{number}" for number in range(6)]
    near = judge([0.7, 0.8, 0.9, 0.75, 0.85, 0.8], patients, limit=0.799, side="at least")
    assert near.patients_needed is None and "over 1000 decide" in near.note


def test_an_interval_ends_at_what_the_metric_can_be() -> None:
    """One failure among six: the t interval of a DSC would exceed 1, that of a distance would begin below 0."""
    patients = [f"p{number}" for number in range(6)]
    for values, metric, cut, kept in (
        ([0.95, 0.9, 0.92, 0.94, 0.93, 0.1], "dsc", 1, 0),
        ([2.0, 3.0, 2.5, 3.5, 2.0, 90.0], "hd95_mm", 0, 1),
    ):
        limited = METRICS[metric]
        raw = judge(values, patients, limit=0.8, side=limited.side)
        bounded = judge(values, patients, limit=0.8, side=limited.side, lowest=limited.lowest, highest=limited.highest)
        assert raw.verdict == bounded.verdict == "can't decide"
        assert (bounded.low, bounded.high)[kept == 0] == cut != (raw.low, raw.high)[kept == 0]
        assert (bounded.low, bounded.high)[kept] == (raw.low, raw.high)[kept]


@pytest.mark.parametrize(
    ("side", "values", "worst"),
    [
        ("at least", [0.9, 0.2, 0.8], (0.2, "b")),
        ("at most", [1.0, 2.0, 9.0], (9.0, "c")),
        ("within", [1.0, -3.0, 2.0], (-3.0, "b")),
        ("at most", [1.0, float("nan"), float("inf")], (1.0, "a")),
    ],
)
def test_the_worst_value_is_named(side: Side, values: list[float], worst: tuple[float, str]) -> None:
    assert find_worst(values, ["a", "b", "c"], side) == worst
    assert find_worst([], [], side) == (None, "")
