from dataclasses import replace

import pytest

from gynbtnet.datasets import Cohort
from gynbtnet.evaluation.cohorts.cohort_overview import (
    applicator_table,
    cohort_figure,
    cohort_pictures,
    structure_table,
)
from gynbtnet.pictures import render_picture


def test_structures_by_hand(scanned: Cohort) -> None:
    """Count four cases: one has no rectum, one has a bladder of twice the volume."""
    first, second, *others = scanned.cases
    bladder = first.volumes_cm3["bladder"]
    cases = (
        replace(first, volumes_cm3={"bladder": 2 * bladder}),
        replace(second, volumes_cm3={"bladder": bladder, "rectum": 0.0}),
        *others,
    )
    table = structure_table(replace(scanned, cases=cases)).set_index("structure")
    assert table.loc["Bladder", "cases"] == 4
    assert (table.loc["Rectum", "cases"], table.loc["Rectum", "without"]) == (2, 2)
    assert bladder == pytest.approx(5.76)
    assert table.loc["Bladder", "volume (cm³)"] == "5.76 (5.76–11.52)"
    assert table.loc["Bladder", "volume (mm³)"] == "5760 (5760–11520)"


def test_applicators_are_counted_with_their_source(scanned: Cohort) -> None:
    first, second, third, fourth = scanned.cases
    cases = (
        replace(first, applicator="tandem+ring", source=replace(first.source, applicator="table")),
        replace(second, applicator="tandem+ring", source=replace(second.source, applicator="RTPLAN")),
        replace(third, applicator="cylinder", source=replace(third.source, applicator="RTPLAN")),
        fourth,
    )
    table = applicator_table(replace(scanned, cases=cases))
    assert table.to_numpy().tolist() == [
        ["cylinder", 1, 1, "RTPLAN"],
        ["tandem+ring", 1, 2, "RTPLAN, table"],
        ["unknown", 1, 1, "–"],
    ]


@pytest.mark.parametrize("groups", [{}, {"unlabelled": ()}])
def test_a_picture_of_any_cohorts(scanned: Cohort, groups: dict[str, tuple[str, ...]]) -> None:
    cohorts = {"mini": scanned} | {name: replace(scanned, structures=names) for name, names in groups.items()}
    figure = cohort_figure(cohorts)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "patients and cases",
        "voxel spacing of each scan",
        "volume of each structure in each case",
        "fractions of each patient",
    ]
    assert "synthetic data" in figure.get_suptitle()
    assert render_picture(figure, "").png == render_picture(cohort_figure(cohorts), "").png


def test_a_picture_of_scans_alone(scanned: Cohort) -> None:
    figure = cohort_figure({"scans": replace(scanned, structures=())})
    assert len(figure.axes) == 3


def test_a_cohort_in_which_nothing_was_found(scanned: Cohort) -> None:
    empty = replace(scanned, cases=tuple(replace(case, volumes_cm3={}) for case in scanned.cases))
    assert len(cohort_pictures({"scans": empty})) == 2
