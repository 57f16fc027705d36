"""Tables, tests and messages of a comparison of several models."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.evaluation.comparison.compare import Comparison, compare, make_comparison
from gynbtnet.evaluation.comparison.settings import ComparisonSettings, checked_metrics
from gynbtnet.evaluation.comparison.tables.effects import effects_with_counts
from gynbtnet.evaluation.comparison.tables.model_tables import model_table, pretraining_table
from gynbtnet.evaluation.comparison.tables.non_inferiority_table import non_inferiority_table
from gynbtnet.evaluation.metrics.evaluated_cohort import EvaluatedCohort
from gynbtnet.evaluation.metrics.metrics import Score
from gynbtnet.evaluation.metrics.score_table import METRICS, score_table
from gynbtnet.evaluation.metrics.settings import ScoringSettings
from gynbtnet.evaluation.statistics.significance_marks import significance_mark
from gynbtnet.imaging import Geometry, Segmentation, Volume, write_volume
from gynbtnet.runtime import BadInput, write_json

GRID = Geometry((12, 20, 24), (4.0, 3.0, 3.0), (-36.0, -30.0, 10.0))
SHIFTS = {"gynbtnet": 0.0, "gynbtnet-from-scratch": -0.03, "nnunet": -0.06}
QUICK = ComparisonSettings(n_resamples=2000)


def scored(case: str, patient: str, structure: str, dsc: float, **further: object) -> Score:
    known: dict[str, Any] = {"case": case, "patient": patient, "structure": structure, "dsc": dsc, "missing_in": "none"}
    known |= {"hd95_mm": 30 * (1 - dsc), "asd_mm": 10 * (1 - dsc), "truth_cm3": 50.0, "prediction_cm3": 60 * dsc}
    known |= {"surface_dsc": dsc, "hausdorff_mm": 40 * (1 - dsc), "volume_difference_cm3": 60 * dsc - 50}
    known |= {"centroid_shift_mm": 5 * (1 - dsc)}
    known |= {name: 1 - dsc for name in METRICS if name.startswith("added_path_length")}
    return Score(**({field.name: float("nan") for field in fields(Score)} | known | further))


def scores_of(shift: float, seed: int, patients: int = 6, fractions: int = 4) -> list[Score]:
    """Return scores with a difficulty per case that all models share, and the model's own shift and noise."""
    hard, own = np.random.default_rng(0), np.random.default_rng(seed)
    return [
        scored(f"p{p}_f{f}", f"p{p}", structure, float(hard.uniform(0.6, 0.9) + shift + own.normal(0, 0.01)))
        for p in range(patients)
        for f in range(1, fractions + 1)
        for structure in ("bladder", "hr_ctv")
    ]


def save(scores: list[Score], folder: Path, settings: ScoringSettings | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = score_table(scores).assign(**(settings or ScoringSettings()).model_dump())
    table.to_csv(folder / "scores.csv", index=False)
    return folder


def cohort_of(scores: list[Score]) -> Cohort:
    cases = dict.fromkeys((score.case, score.patient) for score in scores)
    source, away = Source(synthetic=True), Path("away.nii.gz")
    listed = tuple(Case(patient, 1, case, (away,), away, source, GRID) for case, patient in cases)
    return Cohort("mini", ("bladder", "hr_ctv"), listed, Path())


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    return {
        name: save(scores_of(shift, seed), tmp_path / "evaluations" / name)
        for seed, (name, shift) in enumerate(SHIFTS.items())
    }


@pytest.fixture
def run(models: dict[str, Path]) -> Callable[..., Comparison]:
    def compared(changed: dict[str, Path] | None = None, **further: object) -> Comparison:
        settings: dict[str, Any] = {"settings": QUICK} | further
        return make_comparison(cohort_of(scores_of(0, 0)), models | (changed or {}), **settings)

    return compared


def test_the_folder(models: dict[str, Path], tmp_path: Path) -> None:
    comparison = compare(cohort_of(scores_of(0, 0)), models, tmp_path / "out", settings=QUICK)
    assert (comparison.ours, comparison.from_scratch, comparison.rivals) == (
        *("gynbtnet", "gynbtnet-from-scratch"),
        ("nnunet",),
    )
    out = tmp_path / "out"
    manifest = json.loads((out / "comparison.json").read_text())
    assert (manifest["cases"], manifest["patients"], manifest["synthetic"]) == (24, 6, True)
    assert manifest["models"] == list(SHIFTS)
    first = pd.read_csv(out / "table_1.csv", keep_default_na=False)
    assert list(first["model"]) == ["nnunet", "gynbtnet"] * 2
    values = [score.dsc for score in scores_of(0, 0) if score.structure == "hr_ctv"]
    ours = first.iloc[3]
    assert float(ours["dsc_mean"]) == pytest.approx(np.mean(values))
    assert float(ours["dsc_sd"]) == pytest.approx(np.std(values, ddof=1))
    mean_and_sd = f"**{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}**†"
    assert f"| gynbtnet | 0 | 0 | 24 | {mean_and_sd} | {np.median(values):.3f} [" in (out / "table_1.md").read_text()
    caption = (out / "table_1.md").read_text().splitlines()[-1]
    for words in (
        "Synthetic data: no patient was scanned.",
        "24 cases of 6 patients",
        "p from the paired t test by patient, Benjamini–Hochberg over 12 comparisons with gynbtnet",
        "With the policy worst both are scored.",
    ):
        assert words in caption
    assert json.loads((out / "table_2.json").read_text())[0]["model"] == "gynbtnet-from-scratch"
    assert "Synthetic data" in (out / "comparison.md").read_text()
    for picture in ("box_dsc", "box_hd95_mm", "box_asd_mm", "bland_altman_volume"):
        assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
        assert len(pd.read_csv(out / f"{picture}.csv")) == 24 * 2 * 3
    assert len(pd.read_csv(out / "bland_altman_volume_limits.csv")) == 6
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    compare(cohort_of(scores_of(0, 0)), models, out, settings=QUICK)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (out / "letter.txt").write_text("mine")
    with pytest.raises(BadInput, match="would be replaced"):
        compare(cohort_of(scores_of(0, 0)), models, out, settings=QUICK)
    assert (out / "letter.txt").read_text() == "mine"


def test_p_values_are_those_of_the_pairs(run: Callable[..., Comparison], models: dict[str, Path]) -> None:
    """Compare with scipy; Benjamini–Hochberg is over our model's pairs, and separately over the others."""
    tests = run().tests
    columns = {
        name: [score.dsc for score in scores_of(shift, seed) if score.structure == "bladder"]
        for seed, (name, shift) in enumerate(SHIFTS.items())
    }
    of_cell = tests.tests[(tests.tests["structure"] == "bladder") & (tests.tests["metric"] == "dsc")].set_index("test")
    assert of_cell.loc["anova", "p"] == pytest.approx(stats.f_oneway(*columns.values()).pvalue, rel=1e-9)
    assert of_cell.loc["friedman", "p"] == pytest.approx(stats.friedmanchisquare(*columns.values()).pvalue, rel=1e-9)
    wilcoxon = stats.wilcoxon(columns["gynbtnet"], columns["nnunet"]).pvalue
    p = tests.of_pair("wilcoxon", "gynbtnet", "nnunet").loc[("bladder", "dsc"), "p"]
    assert p == pytest.approx(wilcoxon, rel=1e-9)
    pairs = tests.tests[tests.tests["test"] == "patient_permutation"]
    ours = pairs["model"] == "gynbtnet"
    for family in (pairs[ours], pairs[~ours]):
        assert family["p_adjusted"].to_numpy() == pytest.approx(stats.false_discovery_control(family["p"]), rel=1e-9)
    assert set(pairs.loc[ours, "adjustment"]) == {"Benjamini–Hochberg over 12 comparisons"}
    assert set(pairs.loc[~ours, "adjustment"]) == {"Benjamini–Hochberg over 6 comparisons"}
    assert (pairs["n_permutations"] == 64).all()


def test_marks_are_the_papers(run: Callable[..., Comparison]) -> None:
    """Compare with every other model; there is no mark unless ours is better."""
    comparison = run()
    tests = comparison.tests

    def with_p(p: dict[str, float]) -> Comparison:
        table = tests.tests.copy()
        for other, value in p.items():
            table.loc[table["other"] == other, "p_adjusted"] = value
        return replace(comparison, tests=replace(tests, tests=table))

    def marked(p_scratch: float, p_nnunet: float, ours: str = "gynbtnet") -> str:
        changed = with_p({"gynbtnet-from-scratch": p_scratch, "nnunet": p_nnunet}).tests
        return significance_mark(
            changed, "permutation", ours, ["gynbtnet-from-scratch", "nnunet"], "bladder", "hd95_mm"
        )

    assert [marked(0.009, 0.009), marked(0.009, 0.011), marked(0.009, 0.05), marked(0.6, 0.001)] == ["†", "*", "", ""]
    assert [marked(0.01, 0.01), marked(float("nan"), 0.001)] == ["*", ""]
    worse = run(ours="nnunet", from_scratch="gynbtnet-from-scratch")
    cells = [cell for row in model_table(worse).rows for cell in row]
    assert {cell.mark for cell in cells} == {""}
    assert sum(cell.best for cell in cells) == 6
    assert [row[1].text for row in model_table(worse).rows if row[5].best] == ["gynbtnet", "gynbtnet"]


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("patient", "p from the paired t test by patient, Benjamini–Hochberg over 12 comparisons"),
        ("permutation", "By the paired t test by patient, 6 of the 6 marked values would be marked."),
        (
            "permutation",
            "paired permutation by case, all 16,777,216 swaps, Benjamini–Hochberg over 12 comparisons",
        ),
        ("tukey", "Tukey HSD, which allows for 3 pairs of models"),
        ("wilcoxon", "Wilcoxon signed-rank test, after Friedman's test, Holm over 3 pairs"),
        ("patient_permutation", "paired permutation by patient, all 64 swaps, Benjamini–Hochberg over 12 comparisons"),
    ],
)
def test_the_caption_explains_the_marks(run: Callable[..., Comparison], by: str, words: str) -> None:
    comparison = run(settings=ComparisonSettings(n_resamples=2000, significance_test=by))
    assert words in pretraining_table(comparison).caption
    marks = {cell.mark for row in pretraining_table(comparison).rows for cell in row}
    # The difficulty of cases is noise to Tukey's HSD, which doesn't pair them; six patients give no †.
    assert marks == {"tukey": {""}, "patient_permutation": {"", "*"}}.get(by, {"", "†"})


def test_a_right_absence_is_scored_if_another_model_is_wrong(run: Callable[..., Comparison], tmp_path: Path) -> None:
    """Two of four fractions of each patient have no bladder; our model alone predicts one there."""
    nothing: dict[str, Any] = {"missing_in": "both", "truth_cm3": 0.0, "prediction_cm3": 0.0, "dsc": np.nan}
    nothing |= dict.fromkeys(METRICS, np.nan)
    folders = {}
    for seed, (name, shift) in enumerate(SHIFTS.items()):
        wrong = {"dsc": 0.0, "missing_in": "truth", "truth_cm3": 0.0, "hd95_mm": 80.0, "asd_mm": 70.0}
        change = wrong if name == "gynbtnet" else nothing
        changed = [
            replace(s, **change) if s.structure == "bladder" and s.case.endswith(("_f1", "_f2")) else s
            for s in scores_of(shift, seed)
        ]
        folders[name] = save(changed, tmp_path / "changed" / name)
    comparison = run(folders)
    effects = comparison.tests.effects.set_index(["structure", "metric"])
    assert set(effects["left_out"]["bladder"]) == {0}
    counted = effects_with_counts(comparison)
    for count in ("missed", "false"):
        counts = {name: one.summary.set_index("structure")[count] for name, one in comparison.evaluations.items()}
        assert list(counted[count]) == [counts[row.model][row.structure] for row in counted.itertuples()]
        assert list(counted[f"other_{count}"]) == [counts[row.other][row.structure] for row in counted.itertuples()]
    assert set(effects["cases"]["bladder"]) == {24}
    assert set(effects["absences"]["bladder"]) == {12}
    table = model_table(comparison)
    assert "some model predicted it, in 12 of Bladder: a model that rightly predicted none" in table.caption
    rival, ours = (list(row) for row in list(table.rows)[:2])
    assert [[cell.text for cell in row[2:5]] for row in (rival, ours)] == [["0", "0", "24"], ["0", "12", "24"]]
    assert {cell.mark for cell in ours} == {""}, "a model that predicts absent structures is not better"
    right = [s.dsc for s in scores_of(SHIFTS["nnunet"], 2) if s.structure == "bladder" and s.case[-1] in "34"]
    assert rival[5].text.startswith(f"{np.mean([*right, *[1.0] * 12]):.3f} ± ")
    pairs = comparison.tests.effects.set_index(["structure", "metric", "model", "other"])["difference"].to_dict()
    assert pairs["bladder", "dsc", "gynbtnet", "nnunet"] < -0.4


def test_non_inferiority_against_a_margin(run: Callable[..., Comparison]) -> None:
    """Our model is better than one and worse by 0.06 than the other."""
    assert non_inferiority_table(run()) is None
    comparison = run(ours="nnunet", settings=QUICK.model_copy(update={"margin": 0.045}))
    table, data = non_inferiority_table(comparison)
    by_model = data.set_index(["structure", "other"])
    assert not by_model.loc[("bladder", "gynbtnet"), "not_inferior"]
    assert by_model.loc[("bladder", "gynbtnet-from-scratch"), "not_inferior"]
    assert [row[7].text for row in table.rows] == ["not shown", "not inferior"] * 2
    assert "by less than 0.045?" in table.caption


def test_order_of_cases_does_not_matter(run: Callable[..., Comparison], tmp_path: Path) -> None:
    straight = run().tests
    reversed_models = {
        name: save(scores_of(shift, seed)[::-1], tmp_path / "reversed" / name)
        for seed, (name, shift) in enumerate(SHIFTS.items())
    }
    order = ["structure", "metric", "test", "model", "other"]
    first, second = (
        tests.tests.sort_values(order, ignore_index=True) for tests in (straight, run(reversed_models).tests)
    )
    pd.testing.assert_frame_equal(first, second)


def test_one_case_gives_metrics_and_no_test(tmp_path: Path) -> None:
    few = [scored("p0_f1", "p0", "bladder", 0.8)]
    models = {name: save(few, tmp_path / name) for name in ("gynbtnet", "gynbtnet-from-scratch")}
    comparison = compare(cohort_of(few), models, tmp_path / "out", settings=QUICK)
    assert model_table(comparison) is None
    assert not (tmp_path / "out" / "table_1.md").exists()
    assert "| DSC | **0.800** | **0.800** |" in (tmp_path / "out" / "table_2.md").read_text()
    assert comparison.notes[0].startswith("With 1 patient no test and no interval by patient is possible")


def test_models_that_cannot_be_compared_are_refused_and_nothing_is_written(
    run: Callable[..., Comparison], models: dict[str, Path], tmp_path: Path
) -> None:
    def refused(words: str, changed: dict[str, Path] | None = None, **further: object) -> None:
        with pytest.raises(BadInput, match=words):
            run(changed, **further)

    whole = scores_of(-0.06, 2)
    refused("no .*scores.csv", {"nnunet": tmp_path / "nowhere"})
    refused(
        "don't have the same cases and structures. Only in one of them: 1, such as",
        {"nnunet": save(whole[1:], tmp_path / "a")},
    )
    other = [replace(whole[0], truth_cm3=51.0), *whole[1:]]
    refused("different truth for bladder of p0_f1; evaluate both", {"nnunet": save(other, tmp_path / "b")})
    all_other = [replace(score, truth_cm3=51.0) for score in whole]
    refused("different truth for bladder of p0_f1 and 47 more; evaluate", {"nnunet": save(all_other, tmp_path / "b")})
    moved = [replace(whole[0], patient="p1"), *whole[1:]]
    refused("name different patients for p0_f1; evaluate both", {"nnunet": save(moved, tmp_path / "c")})
    not_scored: dict[str, Any] = dict.fromkeys(METRICS, np.nan)
    lacking = [replace(whole[0], **not_scored, missing_in="unpredicted", prediction_cm3=0.0), *whole[1:]]
    lacks = (
        "predictions of .*h don't have bladder of p0_f1, those of .*gynbtnet do.*an empty ROI or mask counts as missed"
    )
    refused(lacks, {"nnunet": save(lacking, tmp_path / "h")})
    unknown = [replace(lacking[0], missing_in="unknown", truth_cm3=np.nan), *whole[1:]]
    refused(
        "i doesn't score bladder of p0_f1, .*gynbtnet does: the reference of the former",
        {"nnunet": save(unknown, tmp_path / "i")},
    )
    run({name: save(lacking, tmp_path / "all" / name) for name in models})  # nobody predicted it
    lenient = save(whole, tmp_path / "d", ScoringSettings(missing_structure_policy="drop"))
    refused("scored with the policy worst.*, .* with the policy drop", {"nnunet": lenient})
    twice = [*whole, whole[0]]
    refused("has two rows of bladder of p0_f1", {"nnunet": save(twice, tmp_path / "e")})
    beyond = [replace(whole[0], dsc=1.7), *whole[1:]]
    refused("has a dsc of 1.7 for bladder of p0_f1, expected 0 to 1", {"nnunet": save(beyond, tmp_path / "f")})
    refused("gynbtnet and nnunet are one evaluation", {"nnunet": models["nnunet"] / ".." / "gynbtnet"})
    refused("no model unet among", ours="unet")
    refused("can't be compared with itself", ours="nnunet", from_scratch="nnunet")
    with pytest.raises(BadInput, match="1 model is given"):
        compare(cohort_of(whole), {"nnunet": models["nnunet"]}, tmp_path / "new")
    with pytest.raises(BadInput, match=r"Not in the cohort .*: 4 of 24 evaluated cases"):
        compare(cohort_of(scores_of(0, 0, patients=5)), models, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_cohort_with_the_same_ids_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    """Evaluations with a record of their cohort, and older ones, which only have the volumes of the truth."""
    cohort = cohort_of(scores_of(0, 0))
    cohort = replace(cohort, cases=tuple(replace(case, volumes_cm3={"bladder": 50.0}) for case in cohort.cases))
    larger = replace(cohort, cases=tuple(replace(case, volumes_cm3={"bladder": 75.0}) for case in cohort.cases))
    real = replace(cohort, cases=tuple(replace(case, source=Source(synthetic=False)) for case in cohort.cases))
    more = replace(cohort, cases=(*cohort.cases, replace(cohort.cases[0], id="p9_f1", patient="p9")))
    renamed = replace(cohort, name="another name")

    def accepted(given: Cohort) -> bool:
        return len(make_comparison(given, models, settings=QUICK).cohort.cases) == 24

    assert accepted(cohort)
    with pytest.raises(
        BadInput, match=r"gynbtnet was scored with 50.00 cm³ for bladder of p0_f1, but .* has 75.00 cm³"
    ):
        accepted(larger)
    for folder in models.values():
        write_json(EvaluatedCohort.of(cohort), folder / "evaluation.json")
    assert accepted(cohort) and accepted(more) and accepted(renamed)
    for other in (larger, real):
        with pytest.raises(BadInput, match=r"was scored on the cohort mini \(synthetic\), and .* another cohort"):
            accepted(other)


def test_metrics_that_can_be_compared() -> None:
    assert checked_metrics(["hausdorff_mm", "dsc"]) == ("hausdorff_mm", "dsc")
    for metrics in (["dice"], ["dsc", "dsc"], ["volume_difference_cm3"]):
        with pytest.raises(BadInput, match="expected some of dsc, hd95_mm"):
            checked_metrics(metrics)
        with pytest.raises(ValueError, match="expected some of dsc, hd95_mm"):
            ComparisonSettings(metrics=tuple(metrics))


def test_predictions_are_found_next_to_the_scores(run: Callable[..., Comparison], tmp_path: Path) -> None:
    contours = tmp_path / "predictions" / "nnunet" / "p0_f1" / "labels.nii.gz"
    contours.parent.mkdir(parents=True)
    contours.touch()
    assert run().predictions == {"nnunet": tmp_path / "predictions" / "nnunet"}
    given = run(predictions={"gynbtnet": tmp_path / "elsewhere"}).predictions
    assert given["gynbtnet"] == tmp_path / "elsewhere"
    with pytest.raises(BadInput, match="Predictions are given of nnunett, which is not among the models"):
        run(predictions={"nnunett": tmp_path / "elsewhere"})


def test_only_predictions_that_were_scored_are_shown(tmp_path: Path) -> None:
    """Two evaluations next to one folder of predictions: it belongs to the first."""
    array = np.zeros(GRID.shape, np.uint8)
    array[4:8, 4:8, 4:8], array[4:8, 10:12, 4:8] = 1, 2
    labels = Volume(array, GRID)
    write_volume(labels, tmp_path / "predictions" / "p0_f1" / "labels.nii.gz")
    volumes = Segmentation(labels, ("bladder", "hr_ctv")).volumes_cm3()
    models = {}
    for model, change in (("one", 0.0), ("two", 0.5)):
        scores = [scored("p0_f1", "p0", name, 0.8, prediction_cm3=volume + change) for name, volume in volumes.items()]
        models[model] = save(scores, tmp_path / model)
    cohort, folder = cohort_of(scores), tmp_path / "predictions"
    comparison = compare(cohort, models, tmp_path / "out", settings=QUICK)
    assert comparison.predictions == {"one": folder}
    given = {"two": folder}
    with pytest.raises(BadInput, match=r"p0_f1 is not the prediction that was scored: its bladder has 2.30 cm³"):
        compare(cohort, models, tmp_path / "other", predictions=given, settings=QUICK)
    with pytest.raises(BadInput, match="There is no prediction"):
        compare(cohort, models, tmp_path / "other", predictions={"one": tmp_path / "none"}, settings=QUICK)
    assert not (tmp_path / "other").exists()


def test_no_comparison_with_a_model_that_may_not_be_marked_is_marked(run: Callable[..., Comparison]) -> None:
    marked, unmarked = run(), run(unmarked={"nnunet": "still improving, +0.031"})
    first, same = model_table(marked), model_table(unmarked)
    assert first is not None
    assert same is not None
    assert {row[5].mark for group in first.groups for row in group} == {"", "†"}
    assert {cell.mark for group in same.groups for row in group for cell in row} == {""}
    assert [row[1].text for row in same.groups[0]] == ["nnunet (still improving, +0.031)", "gynbtnet"]
    assert "Nothing is marked, because of nnunet (still improving, +0.031)." in same.caption
    assert pretraining_table(unmarked) == pretraining_table(marked), "it doesn't compare with nnunet"
