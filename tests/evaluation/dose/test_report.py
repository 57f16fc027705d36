"""The dose report shows the values of its tables, and includes them as CSV files."""

import base64
import io
import re
from dataclasses import replace

import pandas as pd
import pytest

from gynbtnet.evaluation.dose.dvh_plot import dvh_figure
from gynbtnet.evaluation.dose.pages.report import dose_report
from gynbtnet.evaluation.dose.tables import summarise_dose
from gynbtnet.evaluation.statistics.agreement import limits_of_agreement


def section(page: str, anchor: str) -> str:
    return page.split(f'<section id="{anchor}">')[1].split("</section>")[0]


def rows(html: str) -> list[list[str]]:
    """Return the cells of the first table."""
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in body.split("</tr>")[:-1]]


def downloads(page: str) -> dict[str, pd.DataFrame]:
    links = re.findall(r'download="([^"]*)" href="data:text/csv;charset=utf-8;base64,([^"]*)"', page)
    return {name: pd.read_csv(io.BytesIO(base64.b64decode(text)), keep_default_na=False) for name, text in links}


def test_verdicts_are_counted(dose_content):
    """Bladder of p3: 43.2 + 12·15/5 = 79.2 Gy meets the aim of 80, 43.2 + 12.5·15.5/5 = 81.95 Gy only the limit."""
    page = dose_report(dose_content)
    course = section(page, "whole-course-total-eqd2")
    counts = {tuple(row[:3]): row[3:] for row in rows(course)}
    assert counts["Bladder", "D2cc", "reference"] == ["&lt; 80", "&lt; 90", "3", "0", "0", "0", "0"]
    assert counts["Bladder", "D2cc", "prediction"] == ["&lt; 80", "&lt; 90", "2", "1", "0", "0", "0"]
    assert counts["Rectum", "D2cc", "prediction"] == ["&lt; 65", "&lt; 75", "2", "0", "0", "0", "1"]
    first_screen = page.split('<div class="summary">')[1].split("<nav>")[0]
    assert "8. The predicted contours change the verdict of 1: p3 Bladder D2cc (aim met → limit met)." in first_screen
    assert "Bladder D2cc: reference 69.2 Gy on average (aim met 3), prediction" in first_screen
    assert "fraction 1: prediction no contour" in course


def test_a_row_for_each_patient(dose_content):
    """Bladder of p3: 79.2 Gy by the reference meets the aim, 81.95 Gy by the prediction only the limit."""
    page = dose_report(replace(dose_content, pages={"p3": "patients/p3.html"}))
    patients = section(page, "patients")
    assert "EMBRACE II" in patients
    body = patients.split("<tbody>")[1].split("</tbody>")[0].split("</tr>")[:-1]
    assert len(body) == 3
    assert '<a href="patients/p3.html">p3</a>' in body[2]
    badges = re.findall(r'class="badge (\w+)" title="([^"]*)">([^<]*) <', body[2].split("<td")[5])
    assert badges == [("good", "aim met", "79.2"), ("fair", "limit met", "82.0")]
    assert downloads(page)["patient_verdicts.csv"].iloc[2, 4] == "79.2 (aim met); 82.0 (limit met)"
    signs = re.findall(r'aria-hidden="true">(.)</span>', body[2])
    assert {"✓", "≈"} <= set(signs)  # readable without colours


def test_no_total_is_judged(dose_content):
    unjudged = [
        replace(course, manual_verdict="not judged", automatic_verdict="not judged") for course in dose_content.courses
    ]
    assert "No total was judged by both contours." in dose_report(replace(dose_content, courses=unjudged))


def test_agreement_and_its_data(dose_content):
    page = dose_report(dose_content)
    agreement = section(page, "prediction-against-reference")
    data = downloads(page)
    assert agreement.count("<img") == 2  # bladder and rectum by D2cc, HR-CTV by D90
    pairs = data["bland_altman_d2cc.csv"]
    bladder = pairs[pairs["structure"] == "bladder"]
    assert bladder["difference"].to_numpy() == pytest.approx([0.5, -0.2, 0.1, 0.5])
    assert len(pairs[pairs["structure"] == "rectum"]) == 3
    limits = limits_of_agreement(bladder["difference"], list(bladder["patient"]))
    row = rows(agreement)[0]
    assert row[:3] == ["Bladder", "4", "3"]
    assert row[4] == f"{limits.bias:.2f}" == "0.25"  # the mean of 0.15, 0.1 and 0.5
    assert row[6] == f"{limits.lower:.2f}"
    assert row[9] == "{:.2f} to {:.2f}".format(*limits.upper_interval)
    table = data["bland_altman_d2cc_limits.csv"]
    assert table["upper"][0] == pytest.approx(limits.upper)
    assert list(data["bland_altman_d90.csv"]["automatic"]) == [7.2, 6.9, 7.5, 7.8]


def test_tables_and_curves_can_be_downloaded(dose_content):
    page = dose_report(dose_content)
    data = downloads(page)
    assert list(data["dose.csv"]["manual_gy"]) == [score.manual_gy for score in dose_content.scores]
    assert list(data["eqd2.csv"]["manual_eqd2_gy"]) == [course.manual_eqd2_gy for course in dose_content.courses]
    curves = data["dvh_by_case.csv"]
    assert len(curves) == 2 * 12 - 1
    assert list(curves.columns[3:]) == ["D0.25 (Gy)", "D50 (Gy)", "D100 (Gy)"]
    first = rows(section(page, "one-fraction"))[1]
    assert first == ["Bladder", "D2cc", "8.25 ± 2.50", "8.47 ± 2.70", "0.22 ± 0.34", "0.32", "4", "3", "0", "0"]
    assert list(data["dose_summary.csv"]["absolute_mean"])[1] == pytest.approx(0.325)


def test_without_predictions(dose_content):
    alone = replace(
        dose_content, predicted=False, agreements=(), summary=summarise_dose(dose_content.scores, predicted=False)
    )
    page = dose_report(alone)
    assert "Prediction against reference" not in page
    assert "prediction" not in section(page, "one-fraction").split('class="note"')[0]
    assert {row[2] for row in rows(section(page, "whole-course-total-eqd2"))} == {"reference"}
    assert "Verdicts over patients and metrics: aim met" in page


def test_synthetic_data_are_stated_first(dose_content):
    page = dose_report(dose_content)
    assert page.split("<body>")[1].lstrip().startswith('<p class="banner">Synthetic data.')
    assert page.count("research use only") == 1
    assert dose_report(dose_content) == page


def test_the_prescribed_dose_is_a_line_and_many_cases_are_a_band(dose_content):
    rows = dose_content.curves[dose_content.curves["structure"] == "bladder"]
    few = dvh_figure(rows, synthetic=True, prescription_gy=7.0).axes[0]
    labels = [text.get_text() for text in few.get_legend().get_texts()]
    assert labels == ["reference", "prediction", "prescribed, 7 Gy"]
    styles = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in few.get_lines()}
    assert len({styles[name] for name in labels}) == 3
    assert len({styles[name][1] for name in labels}) == 3
    many = pd.concat([rows.assign(case=rows["case"] + str(copy)) for copy in range(4)])
    axes = dvh_figure(many, synthetic=True).axes[0]
    assert (len(axes.get_lines()), len(axes.collections)) == (2, 2)
