"""The page is self-contained, marks synthetic data, escapes all texts, and is reproducible."""

import base64
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from gynbtnet.evaluation.cohorts.cohort_overview import cohort_pictures, cohort_table
from gynbtnet.evaluation.dose.pages.report import dose_report
from gynbtnet.evaluation.metrics.evaluation import evaluate, read_prediction
from gynbtnet.evaluation.reports.case_overlay import prediction_overlay
from gynbtnet.evaluation.reports.example_cases import ExampleCases, example_cases
from gynbtnet.evaluation.reports.grouped_table import Cell, GroupedTable, Head
from gynbtnet.evaluation.reports.model_results import model_results
from gynbtnet.evaluation.reports.report import ReportContent, report_page, write_report
from gynbtnet.evaluation.reports.stage_report import stage_report
from gynbtnet.evaluation.reports.training_curves import curve_figures
from gynbtnet.imaging import StructureNames, read_volume
from gynbtnet.pages import StructureStyle
from gynbtnet.pictures import Picture, render_picture
from gynbtnet.runtime import BadInput

NAMES = StructureNames.load()
VOID = {"meta", "img", "br", "input"}


class Page(HTMLParser):
    """Words, attributes and tags of a page; every tag must be closed in the right order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "recipe.yaml").write_text("stage: segmentation\nsettings:\n  epochs: 2\n  devices: null\n")
    (folder / "log.csv").write_text(
        "epoch,step,learning_rate,loss,seconds,memory_gb,validation_loss,dice_mean,dice_bladder\n"
        "1,10,0.001,1.25,30,1,,,\n"
        "2,20,0.0005,0.75,30,1,0.8,0.5,0.5\n"
    )
    (folder / "transfer.json").write_text(
        json.dumps(
            {"parts": "all_but_heads", "share": 0.987, "loaded": ["a", "b"], "reshaped": {}, "skipped": {"c": "no"}}
        )
    )
    (folder / "pictures").mkdir()
    figure = next(iter(curve_figures(pd.DataFrame({"epoch": [1], "loss": [1.0]})).values()))
    for epoch in (1, 2):
        (folder / "pictures" / f"epoch_{epoch:04d}.png").write_bytes(render_picture(figure, "").png)
    return folder


@pytest.fixture(scope="module")
def content(scanned, predicted, run, tmp_path_factory):
    evaluation = evaluate(scanned, predicted, tmp_path_factory.mktemp("evaluation") / "out")
    training, test = scanned.of_patients(["p1"]), scanned.of_patients(["p2", "p3"])
    unlabelled = replace(scanned, structures=(), cases=scanned.cases[:2])
    groups = {"unlabelled": unlabelled, "training": training, "test": test}
    case = scanned.cases[0]
    prediction = read_prediction(case, predicted, scanned.structures)
    return ReportContent(
        title="A <b>demo</b> & more",
        synthetic=True,
        description="Three stages.",
        cohort=cohort_table(groups),
        cohort_pictures=cohort_pictures(groups),
        notes=("A note of the cohort.",),
        stages=(stage_report(run, "Stage 3"),),
        results=(model_results("", scanned, evaluation, predicted, {"p2_f1"}),),
        examples=example_cases(scanned, {"prediction": evaluation}, {"prediction": predicted}, NAMES),
        unlabelled=(prediction_overlay("A pelvis", read_volume(case.image), prediction, NAMES),),
        provenance=(("seed", "0"), ("PyTorch", "2.13.0")),
        citations=("Somebody 2015, https://example.org/data",),
    )


def test_all_parts_are_shown(content):
    page = Page(report_page(content))
    for words in (
        "Results",
        "0.812 ± 0.161",
        "mean over structures",
        "Bladder",
        "missed",
        "Every case and structure (8 rows)",
        "Bladder: DSC 0.81 ± 0.16, HD95",
        "missed in none",
        "(mean DSC over 4 cases of 3 patients)",
        "Best case, mean DSC 1.00: p1_f1",
        "worst case, worst slice, DSC 0.25: p3_f1",
        "By artefacts",
        "no metal",
        "relative to the centroid of Bladder",
        "mean SD of DSC within a patient",
        "A pelvis",
        "A note of the cohort.",
        "Stage 3",
        "98.7 % of the parameters of the encoder and decoder without their heads were copied (2 tensors)",
        "1.250 → 0.750",
        "1.0 min",
        "settings.epochs",
        "after epoch 2",
        "PyTorch",
        "Somebody 2015",
    ):
        assert words in page.text, words
    assert page.text.count("research use only") == 1
    assert page.tags.count("img") == 3 + 3 + 3 + 1  # overlay without truth, cohort, curves, patches
    assert page.tags.count("image") == 3 * 3 + 4 * 3 + 2 * 4  # viewer, slices of cases, slices of structures
    assert "truth" not in page.text.lower()
    assert page.tags.count("h1") == 1
    assert all(value for tag, name, value in page.attributes if name in ("alt", "aria-label"))
    assert {"alt"} <= {name for tag, name, _ in page.attributes if tag == "img"}


@pytest.fixture(params=["contours", "doses"])
def any_page(request, content, dose_content):
    return report_page(content) if request.param == "contours" else dose_report(dose_content)


def test_the_page_needs_nothing_but_itself(any_page):
    page = any_page
    sources = [value for _, name, value in Page(page).attributes if name in ("src", "href", "srcset", "action", "data")]
    starts = {
        "data:image/png;base64": b"\x89PNG",
        "data:image/webp;base64": b"RIFF",
        "data:text/csv;charset=utf-8;base64": b"",
    }
    for value in sources:
        if not value.startswith("#"):
            kind, encoded = value.split(",", 1)
            assert base64.b64decode(encoded, validate=True).startswith(starts[kind])
    assert not {"link", "iframe", "object"} & set(Page(page).tags)
    assert not re.search(r"url\((?!#)|@import|https?://(?!example\.org|www\.w3\.org)", page)
    assert "Content-Security-Policy\" content=\"default-src 'none'; img-src data:;" in page
    anchors = [value for _, name, value in Page(page).attributes if name == "id"]
    assert len(anchors) == len(set(anchors))
    used = {value[1:] for value in sources if value.startswith("#")} | set(re.findall(r"url\(#([\w-]+)\)", page))
    assert used <= set(anchors)


def test_data_behind_tables_and_figures(content):
    links = re.findall(r'download="([^"]*)" href="data:text/csv;charset=utf-8;base64,([^"]*)"', report_page(content))
    data = {name: base64.b64decode(text).decode() for name, text in links}
    assert data["scores.csv"].splitlines()[0].startswith("case,structure,status,DSC,HD95 (mm),ASD (mm),")
    assert len(data["scores.csv"].splitlines()) == 1 + 8
    # People read names, programs read identifiers.
    assert data["scores.csv"].splitlines()[1].startswith("p1_f1,bladder,")
    assert data["summary.csv"].splitlines()[1].startswith("bladder,")
    assert {line.split(",")[2] for line in data["subgroups.csv"].splitlines()[1:]} >= {"bladder", "rectum"}
    assert data["loss-over-epochs.csv"].splitlines()[0] == "epoch,loss,validation_loss"
    assert data["volume-of-each-structure-in-each-case.csv"].splitlines()[1] == "training,p1,p1_f1,bladder,5.76"
    assert {"summary.csv", "subgroups.csv", "consistency.csv"} <= set(data)


def test_tables_of_statistics(content):
    row = Cell("Bladder"), Cell("0.91", best=True, mark="†"), Cell("<0.8")
    table = GroupedTable("table_1", "What & why.", ((Head(""), Head("DSC", 2)), tuple(map(Head, "abc"))), ((row,),))
    figure = Picture(content.cohort_pictures[0].png, "Box plot", "model,dsc\nx,1\n")
    page = report_page(replace(content, tables=(("Models", table),), figures=(figure,), warnings=("Few patients.",)))
    assert '<th scope="col" colspan="2" class="number">DSC</th>' in page
    assert '<td class="number"><b>0.91</b><sup>†</sup></td><td class="number">&lt;0.8</td>' in page
    assert all(words in Page(page).text for words in ("What & why.", "Few patients.", "box-plot.csv"))


def test_the_banner_comes_first_if_data_are_synthetic(content):
    body = report_page(content).split("<body>")[1]
    assert re.match(r'\s*<p class="banner">Synthetic data\.', body)
    assert "Synthetic" not in Page(report_page(replace(content, synthetic=False))).text


def test_the_same_content_gives_the_same_bytes(content, scanned, predicted, run, tmp_path):
    again = replace(
        content,
        examples=example_cases(
            scanned, {"prediction": content.results[0].evaluation}, {"prediction": predicted}, NAMES
        ),
        stages=(stage_report(run, "Stage 3"),),
    )
    write_report(content, tmp_path / "one.html")
    write_report(again, tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_every_text_is_escaped(content, scanned):
    nasty = '</script><iframe onload="alert(1)">'
    groups = {nasty: replace(scanned, structures=(nasty,))}
    (result,) = content.results
    scores = tuple(replace(score, case=nasty, structure=nasty) for score in result.evaluation.scores)
    nasty_result = replace(
        result,
        name=nasty,
        evaluation=replace(result.evaluation, scores=scores),
        subgroups=result.subgroups.assign(by=nasty, group=nasty, structure=nasty),
        fraction_consistency=result.fraction_consistency.assign(patient=nasty, structure=nasty),
    )
    overlay = replace(content.unlabelled[0], title=nasty, caption=nasty, legend=((nasty, '"><iframe>'),))
    viewed = content.examples.viewed[0]
    stacks = tuple(
        replace(
            stack,
            outlines={
                "reference": {nasty: stack.outlines["reference"]["bladder"]},
                nasty: {nasty: stack.outlines["reference"]["bladder"]},
            },
        )
        for stack in viewed.stacks
    )
    panel = replace(content.examples.cases[0].panels[0], title=nasty, note=nasty, description=nasty)
    row = replace(content.examples.cases[0], title=nasty, caption=nasty, panels=(panel,))
    examples = ExampleCases(
        (nasty,),
        (
            replace(
                viewed,
                title=nasty,
                caption=nasty,
                stacks=stacks,
                models=(nasty,),
                styles={nasty: StructureStyle(nasty, "#fff")},
            ),
        ),
        (row,),
        (row,),
    )
    stage = replace(content.stages[0], name=nasty, facts=((nasty, nasty),), settings=((nasty, nasty),), transfer=nasty)
    page = report_page(
        ReportContent(
            title=nasty,
            synthetic=False,
            description=nasty,
            cohort=cohort_table(groups),
            notes=(nasty,),
            stages=(stage,),
            results=(nasty_result, nasty_result),
            examples=examples,
            unlabelled=(overlay,),
            provenance=((nasty, nasty),),
            citations=(nasty,),
        )
    )
    assert "iframe" not in Page(page).tags
    assert Page(page).tags.count("script") == 2  # our own, and the viewer's data
    assert Page(page).text.count(nasty) > 30


def test_parts_that_are_empty_get_no_section():
    page = Page(report_page(ReportContent(title="Nothing yet", synthetic=False)))
    assert "section" not in page.tags
    assert "Nothing yet" in page.text


def test_the_cohorts_table(scanned):
    rows = cohort_table({"all": scanned, "many": replace(scanned, structures=tuple(f"s{i}" for i in range(104)))})
    assert rows.loc[0].to_dict() == {
        "group": "all",
        "structures": "Bladder, Rectum",
        "patients": 3,
        "fractions per patient": "1 (1–2)",
        "cases": 4,
        "slices": "12",
        "slice spacing (mm)": "4.00",
        "in-plane spacing (mm)": "3.00",
    }
    assert rows.loc[1, "structures"] == "104 classes"


def test_curves_are_drawn_for_the_columns_that_are_there():
    log = pd.DataFrame(
        {"epoch": [1, 2, 3], "loss": [3.0, 2, 1], "validation_loss": [None, 2.5, None], "seconds": [1.0] * 3}
    )
    (loss,) = curve_figures(log).values()
    training, validation = loss.axes[0].get_lines()
    assert (training.get_label(), np.asarray(training.get_ydata()).tolist()) == ("training", [3, 2, 1])
    assert (validation.get_label(), np.asarray(validation.get_xdata()).tolist()) == ("validation", [2])
    crowd = pd.DataFrame({"epoch": [1, 2]} | {f"dice_{name}": [0.1, 0.2] for name in ("mean", *"abcdefghij")})
    (dice,) = curve_figures(crowd).values()
    assert [text.get_text() for text in dice.axes[0].get_legend().get_texts()] == ["mean"]


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is a run folder"):
        stage_report(tmp_path, "Stage 1")
    (tmp_path / "recipe.yaml").write_text("epochs: 1\n")
    with pytest.raises(BadInput, match=r"no .*log\.csv"):
        stage_report(tmp_path, "Stage 1")
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="columns a, b"):
        stage_report(tmp_path, "Stage 1")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.yaml", b"[cut: sho"),
        ("recipe.yaml", b""),
        ("recipe.yaml", b"\xff\xfe"),
        ("log.csv", b"\n"),
        ("log.csv", b'epoch,loss\n1,2\n"3,'),
        ("log.csv", b"epoch,loss\n1,2\n2,1,7,9\n"),
        ("log.csv", b"\xff\xfe"),
        ("log.csv", b"epoch,loss\n"),
        ("log.csv", b"epoch,loss\n1,2\na,b\n"),
        ("log.csv", b"epoch,seconds\n1,2\n2,abc\n"),
        ("log.csv", b"epoch,loss\n1,2\n,1\n"),
        ("transfer.json", b""),
        ("transfer.json", b'{"parts": "encoder"}'),
    ],
)
def test_a_damaged_run_folder_is_refused(run, tmp_path, name, content):
    damaged = shutil.copytree(run, tmp_path / "run")
    (damaged / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{name} is damaged"):
        stage_report(damaged, "Stage 3")
