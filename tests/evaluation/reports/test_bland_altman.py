import numpy as np
import pandas as pd
import pytest

from gynbtnet.evaluation.comparison.box_plot import box_figure
from gynbtnet.evaluation.reports.bland_altman import COLUMNS, agreement_table, bland_altman_figure, with_differences
from gynbtnet.evaluation.reports.patient_styles import patient_styles
from gynbtnet.pictures import render_picture


def pairs(patients: int = 4, structures: tuple[str, ...] = ("bladder", "rectum")) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = [
        (structure, model, f"p{p:02d}", f"p{p:02d}_f{f}", manual + random.normal(1, 2), manual)
        for structure in structures
        for model in ("ours", "theirs")
        for p in range(patients)
        for f, manual in enumerate(random.uniform(40, 80, 3), start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_doses_are_plotted_like_volumes() -> None:
    """Plot doses: one panel per structure and model, each point at its mean and difference."""
    data = pairs()
    figure = bland_altman_figure(data, "D2cc", "Gy", "synthetic data")
    assert [axes.get_title() for axes in figure.axes] == [
        *("Bladder, ours", "Bladder, theirs"),
        *("Rectum, ours", "Rectum, theirs"),
    ]
    assert figure.axes[0].get_ylabel() == "prediction − reference\n(Gy)"
    assert figure.axes[2].get_xlabel() == "mean D2cc (Gy)"
    assert figure.get_suptitle() == "synthetic data"
    plotted = np.concatenate([np.ma.getdata(points.get_offsets()) for points in figure.axes[0].collections])
    expected = with_differences(data[(data["structure"] == "bladder") & (data["model"] == "ours")])
    assert np.sort(plotted, axis=0) == pytest.approx(np.sort(expected[["mean", "difference"]].to_numpy(), axis=0))
    assert (
        render_picture(figure, "").png
        == render_picture(bland_altman_figure(data, "D2cc", "Gy", "synthetic data"), "").png
    )


def test_limits_are_of_each_panel() -> None:
    table = agreement_table(pairs())
    assert list(table["cases"]) == [12] * 4
    assert (table["lower"] < table["bias"]).all()
    assert (table["upper_low"] < table["upper"]).all()


def test_a_single_model_has_its_structures_side_by_side() -> None:
    data = pairs()
    figure = bland_altman_figure(data[data["model"] == "ours"], "D2cc", "Gy")
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("Bladder", "Rectum")
    assert first.get_position().y0 == second.get_position().y0
    few, many = (bland_altman_figure(pairs(number), "volume", "cm³").axes[0].patches for number in (7, 8))
    assert (len(few), len(many)) == (0, 3)  # with few patients the bands would cover one another


@pytest.mark.parametrize("data", [pairs(1), pairs(30), pairs().iloc[:0]])
def test_one_many_and_no_patients(data: pd.DataFrame) -> None:
    assert render_picture(bland_altman_figure(data, "volume", "cm³"), "").png
    boxes = data.assign(missing_in="none", dsc=0.5)
    boxes.loc[boxes.index[:1], "missing_in"] = "prediction"
    assert render_picture(box_figure(boxes, "dsc"), "").png


def test_patients_differ_in_colour_and_shape() -> None:
    styles = list(patient_styles(f"p{i:02d}" for i in range(56)).values())
    assert len(set(styles)) == 56
    assert len({style.colour for style in styles[:7]}) == len({style.shape for style in styles[:7]}) == 7


@pytest.mark.parametrize("patients", [2, 3, 4, 7])
def test_long_intervals_do_not_squash_the_cases(patients: int) -> None:
    """Cases and limits fill most of the panel, although the intervals of few patients are much longer."""
    data = pairs(patients, ("bladder",))
    data = data[data["model"] == "ours"]
    axes = bland_altman_figure(data, "D2cc", "Gy").axes[0]
    shown = with_differences(data)["difference"]
    limits = agreement_table(data).iloc[0]
    low, high = min(shown.min(), limits["lower"], 0), max(shown.max(), limits["upper"], 0)
    bottom, top = axes.get_ylim()
    assert bottom <= low
    assert top >= high
    assert high - low > 0.75 * (top - bottom)
