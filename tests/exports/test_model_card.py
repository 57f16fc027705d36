"""The card of a model: what the hub reads, what is counted, what stays open, and what must not be in it."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gynbtnet.datasets import Cohort
from gynbtnet.exports import CardInputs, make_card
from gynbtnet.exports.card.answers import FIELDS
from gynbtnet.exports.card.small_counts import stated_count, stated_groups
from gynbtnet.preparation import load_plan, save_plan
from gynbtnet.runtime import BadInput
from gynbtnet.training import TrainingData, TrainingScans

from .conftest import PATIENT


@pytest.fixture
def inputs(cohort: Cohort, split: Path, evaluation: Path, tmp_path: Path) -> CardInputs:
    answers = tmp_path / "card.yaml"
    answers.write_text("license: CC-BY-4.0\nintended_use: First draft of contours.\nrisk_analysis:\n")
    return CardInputs(cohort.folder, split, evaluation, answers)


def front_matter(card: str) -> dict:
    """Return the metadata in front of a card."""
    opening, metadata, _ = card.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(metadata)


def test_the_hub_reads_the_front_matter(model_folder: Path, inputs: CardInputs) -> None:
    metadata = front_matter(make_card(model_folder, inputs).text)
    assert metadata["language"] == ["en"]
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["library_name"] == "gynbtnet"
    assert metadata["pipeline_tag"] == "image-segmentation"
    assert {"brachytherapy", "bladder", "rectum"} <= set(metadata["tags"])
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert result["task"]["type"] == "image-segmentation" and {"type", "name"} <= set(result["dataset"])
    dice = {metric["name"]: metric["value"] for metric in result["metrics"] if metric["type"] == "dice"}
    assert dice == {"DSC, Bladder": 0.825, "DSC, Rectum": 0.815}
    assert all({"type", "value"} <= set(metric) for metric in result["metrics"])


def test_the_hubs_own_library_reads_it(model_folder: Path, inputs: CardInputs) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(make_card(model_folder, inputs).text, ignore_metadata_errors=False).data
    scores = {(score.metric_type, score.metric_name): score.metric_value for score in data.eval_results}
    assert scores["dice", "DSC, Bladder"] == 0.825
    assert data.license == "cc-by-4.0" and data.pipeline_tag == "image-segmentation"


def test_what_can_be_counted_is_filled_in(model_folder: Path, inputs: CardInputs) -> None:
    card = make_card(model_folder, inputs).text
    assert re.findall(r"^## (\d)\.", card, re.MULTILINE) == list("012345")
    for words in (
        "trained on 20 scans of 12 patients",
        "12 scans of 12 patients, training and validation together. fewer than 5 further patients held out",
        "| Bladder | 12 | 90 |",
        "| learning_rate | 0.006 |",
        "Bladder: largest component",
        "torch 2.8.0, device GPU",
        "6 scans of 6 patients",
        "| Bladder | 6 | 6 | 0.825 [0.805, 0.845] | 0.900 | 4.0 | fewer than 5 |",
        "First draft of contours.",
    ):
        assert words in card, words


def test_no_count_below_five_and_no_identifier(model_folder: Path, inputs: CardInputs) -> None:
    card = make_card(model_folder, inputs).text
    assert not re.search(rf"{PATIENT}|patient-\d|1\.2\.3|cohort of the clinic|host-of-the-clinic|/archive", card)
    assert str(inputs.cohort) not in card
    assert not re.search(r"\b[0-4] (further )?(patient|scan)", card)
    assert "| Rectum | fewer than 5 | 60 |" in card  # of the plan
    assert "| Rectum | fewer than 5 |\n" in card  # of the cohort
    assert "| Rectum | fewer than 5 | fewer than 5 | 0.815" in card  # of the evaluation
    assert "tandem+ovoids not stated, tandem+ring fewer than 5" in card  # 12 − 11 would be 1


def test_images_are_those_that_the_model_reads(model_folder: Path, inputs: CardInputs) -> None:
    card = make_card(model_folder, inputs).text
    assert "Contours Bladder and Rectum on CT." in card
    assert "**Limits of the software.** One CT in HU of the female pelvis" in card
    assert "to left, posterior, superior; values below -1024 HU raised to it, z-scored by the mean and" in card
    save_plan(replace(load_plan(model_folder), channels=("CT", "MR")), model_folder)
    card = make_card(model_folder, inputs).text
    assert "Contours Bladder and Rectum on CT and MR." in card
    assert "**Limits of the software.** CT in HU and MR, on one grid, of the female pelvis" in card
    assert "CT: values below -1024 HU raised to it, z-scored" in card and "; MR: z-scored by the mean" in card
    metadata = front_matter(card)
    assert {"ct", "mr"} <= set(metadata["tags"])
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == "CT and MR, evaluation"
    save_plan(replace(load_plan(model_folder), channels=("MR",)), model_folder)
    card = make_card(model_folder, inputs).text
    assert "One MR of the female pelvis" in card and "HU" not in card
    assert "ct" not in front_matter(card)["tags"]


@pytest.mark.parametrize(("kept", "interval"), [(1, ""), (2, ""), (4, ""), (5, " [0.800, 0.840]")])
def test_an_interval_needs_five_patients(
    model_folder: Path, inputs: CardInputs, evaluation: Path, kept: int, interval: str
) -> None:
    """Two scans of one patient have no interval, and few patients would have one that is only the range of DSC."""
    scores = pd.read_csv(evaluation / "scores.csv")
    first = scores["patient"].unique()[:kept]
    chosen = scores[(scores["structure"] == "bladder") & scores["patient"].isin(first)]
    again = chosen.assign(case=chosen["case"] + "-second")
    pd.concat([chosen, again]).to_csv(evaluation / "scores.csv", index=False)
    card = make_card(model_folder, inputs).text
    (row,) = re.findall(r"^\| Bladder \| .* \| (0\.8\d\d.*?) \| 0\.900", card, re.MULTILINE)
    assert row == f"{chosen['dsc'].mean():.3f}{interval}"
    assert "nan" not in card


def test_patients_with_one_dsc_have_no_interval(model_folder: Path, inputs: CardInputs, evaluation: Path) -> None:
    pd.read_csv(evaluation / "scores.csv").assign(dsc=0.86).to_csv(evaluation / "scores.csv", index=False)
    assert "| 0.860 | 0.900 |" in make_card(model_folder, inputs).text


def test_an_interval_ends_at_one(model_folder: Path, inputs: CardInputs, evaluation: Path) -> None:
    scores = pd.read_csv(evaluation / "scores.csv")
    scores["dsc"] = 1.0 - 0.3 * (scores["patient"] == scores["patient"][0])
    scores.to_csv(evaluation / "scores.csv", index=False)
    assert re.search(r"\| 0\.950 \[0\.8\d\d, 1\.000\] \|", make_card(model_folder, inputs).text)


def test_a_small_training_is_not_counted(model_folder: Path) -> None:
    TrainingData(4, 2, synthetic=True).save(model_folder)
    card = make_card(model_folder).text
    assert "trained on fewer than 5 scans of fewer than 5 patients" in card
    assert "SYNTHETIC training data: no patient was scanned." in card
    assert "synthetic-data" in front_matter(card)["tags"]


def test_what_must_be_typed_is_marked_and_listed(model_folder: Path, inputs: CardInputs) -> None:
    bare, filled = make_card(model_folder), make_card(model_folder, inputs)
    assert bare.open == (*FIELDS, "--cohort", "--evaluation")
    assert filled.open == tuple(key for key in FIELDS if key not in ("license", "intended_use"))
    for card in (bare, filled):
        marked = set(re.findall(r"\*\*To be stated\*\* \(`(\w+)`\)", card.text))
        assert marked == set(card.open) & set(FIELDS) - {"name"}  # the name has a default
    assert "model-index" not in front_matter(bare.text)
    assert front_matter(bare.text)["license"] == "unknown"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("licence: x", "answers 'licence', which no card asks"),
        ("- license", "has no answers"),
        ("license: [a, b]", "license in .* is not a text"),
        ("license: 'x", "can't be read as answers"),
        (f"version: {'x' * 5000}", "version in .* is not a text of at most 4000 characters"),
    ],
)
def test_wrong_answers_are_refused(model_folder: Path, tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "card.yaml").write_text(content)
    with pytest.raises(BadInput, match=words):
        make_card(model_folder, CardInputs(answers=tmp_path / "card.yaml"))


def test_inputs_of_another_model_are_refused(model_folder: Path, inputs: CardInputs) -> None:
    with pytest.raises(BadInput, match="--split belongs to --cohort"):
        make_card(model_folder, CardInputs(split=inputs.split))
    TrainingData(99, 50, synthetic=False).save(model_folder)
    with pytest.raises(BadInput, match="has fewer patients than the training"):
        make_card(model_folder, inputs)
    with pytest.raises(BadInput, match="expected a trained model"):
        make_card(model_folder.parent)


@pytest.mark.parametrize(("recorded", "words"), [("own", ""), (None, "Not checked: that these"), ("other", "refused")])
def test_an_evaluation_of_other_weights_is_refused(
    model_folder: Path, inputs: CardInputs, evaluation: Path, recorded: str | None, words: str
) -> None:
    """The structures are the same in each."""
    own = hashlib.sha256((model_folder / "weights_last.safetensors").read_bytes()).hexdigest()
    if recorded:
        digests = [own] if recorded == "own" else [own, "0" * 64]
        (evaluation / "weights.json").write_text(json.dumps({"sha256": digests}))
    if words == "refused":
        with pytest.raises(BadInput, match="is the evaluation of other weights than the exported ones"):
            make_card(model_folder, inputs)
    else:
        card = make_card(model_folder, inputs).text
        assert ("Not checked" in card) == bool(words) and words in card


def test_a_cohort_without_its_split_is_not_the_training(model_folder: Path, cohort: Cohort, split: Path) -> None:
    labels = cohort.folder / "labelsTr" / "any.nii.gz"
    labels.parent.mkdir()
    labels.touch()
    cases = [
        replace(case, labels=labels, source=replace(case.source, sha256={"CT": f"digest {number}"}))
        for number, case in enumerate(cohort.cases)
    ]
    replace(cohort, cases=tuple(cases)).save()
    TrainingScans(("0" * 64,), tuple(f"digest {number}" for number in range(12))).save(model_folder)
    assert "12 scans of 12 patients" in make_card(model_folder, CardInputs(cohort.folder, split)).text
    with pytest.raises(BadInput, match=r"2 scans with contours of 14 scans of .* were not in the training"):
        make_card(model_folder, CardInputs(cohort.folder))


@settings(deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 30), max_size=6))
def test_no_small_group_follows_from_the_total(sizes: dict[str, int]) -> None:
    stated = stated_groups(sizes)
    assert set(stated) == set(sizes)
    withheld = [size for name, size in sizes.items() if not stated[name].isdigit()]
    assert all(stated[name] == str(size) for name, size in sizes.items() if stated[name].isdigit())
    assert not any(size < 5 for name, size in sizes.items() if stated[name].isdigit())
    assert sum(withheld) >= 5 or len(withheld) in (0, len(sizes))


def test_counts_in_words() -> None:
    assert [stated_count(n, "scan") for n in (0, 4, 5)] == ["fewer than 5 scans", "fewer than 5 scans", "5 scans"]
