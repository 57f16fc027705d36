"""Contours of a uterus that contains the upper half of the HR-CTV, from RTSTRUCT to volumes, DSC, dose and RTSTRUCT."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.path import Path as Polygon
from scipy import ndimage
from typer.testing import CliRunner, Result

from gynbtnet.cli import app
from gynbtnet.datasets import Cohort, ingest, inspect_folder, read_contours
from gynbtnet.evaluation import DoseSettings, evaluate, evaluate_dose, overlap_table
from gynbtnet.experiment import Experiment, Scans, run_experiment
from gynbtnet.imaging import (
    CTSeries,
    OverlappingSegmentation,
    Segmentation,
    StructureNames,
    paint_label_map,
    read_ct_series,
    read_rtstruct,
    write_mask_folder,
    write_rtstruct,
    write_volume,
)
from gynbtnet.phantom import pelvic_geometry, phantom_case
from gynbtnet.recipes import load_recipe
from gynbtnet.runtime import BadInput

from .builders import CT, rtdose, rtstruct

STRUCTURES = ("hr_ctv", "bladder", "uterus")
SLICES, SIZE, STEP_MM, DEPTH_MM = 26, 64, 1.0, 2.5
HR_CTV, UTERUS, BLADDER = range(4, 16), range(10, 20), range(4, 10)
"""Slices of each structure; the uterus has the upper half of those of the HR-CTV."""
CENTRE, SOURCE = 32.0, np.array([32.0, 14.0])  # row and column in voxels
Mask = npt.NDArray[np.bool_]
Rings = Mapping[str, Mapping[int, np.ndarray]]


def ring(centre: tuple[float, float], radius: float, phase: float) -> np.ndarray:
    """Return the corners (row, column) of a smooth closed curve in voxels."""
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radii = radius * (1 + 0.12 * np.cos(3 * angles + phase))
    return np.stack([centre[0] + radii * np.sin(angles), centre[1] + radii * np.cos(angles)], axis=1)


RINGS: Rings = {
    "hr_ctv": {k: ring((CENTRE, CENTRE), 10.3, k / 3) for k in HR_CTV},
    "uterus": {k: ring((CENTRE, CENTRE), 15.7, k / 4) for k in UTERUS},
    "bladder": {k: ring((10.2, 32.4), 7.1, k / 5) for k in BLADDER},
}


def dose_gy(row: np.ndarray, column: np.ndarray, z_mm: np.ndarray) -> np.ndarray:
    """Return the dose of a line of sources left of the HR-CTV, colder upwards."""
    squares = (row - SOURCE[0]) ** 2 + (column - SOURCE[1]) ** 2
    return np.asarray((3000 / (squares + 200)) * np.exp(-z_mm / 60))


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nested") / "export"
    ct = CT(folder / "CT", SLICES, SIZE, SIZE, step=DEPTH_MM, hu=lambda k, i, j: k + i + j)
    rois = [
        (
            number,
            name,
            [("CLOSED_PLANAR", np.array([ct.world(k, *corner) for corner in corners])) for k, corners in rings.items()],
        )
        for number, (name, rings) in enumerate(RINGS.items(), start=1)
    ]
    rtstruct(folder / "RS.dcm", ct, rois)
    z, row, column = np.meshgrid(np.arange(-2, 34) * 2.0, *[np.arange(-4, 68, 2.0)] * 2, indexing="ij")
    first = ct.world(0, -4, -4) - ct.nrm * 4.0
    rtdose(folder / "RD.dcm", ct, dose_gy(row, column, z), first, scaling=1e-6)
    return folder


@pytest.fixture(scope="module")
def cohort(export: Path) -> Cohort:
    return ingest(export, export.parent / "cohort", structures=STRUCTURES, allow_overlap=True).cohort


def drawn_mask(structure: str) -> Mask:
    """Return the voxels whose centres are inside the drawn curves, by matplotlib's test of points in polygons."""
    centres = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij"), axis=-1).reshape(-1, 2)
    mask = np.zeros((SLICES, SIZE, SIZE), bool)
    for k, corners in RINGS[structure].items():
        mask[k] = Polygon(corners, closed=False).contains_points(centres).reshape(SIZE, SIZE)
    return mask


def test_masks_and_volumes_are_those_of_the_drawn_curves(cohort: Cohort, tmp_path: Path) -> None:
    (case,) = cohort.cases
    contours = read_contours(case, STRUCTURES)
    drawn = {name: drawn_mask(name) for name in STRUCTURES}
    assert (drawn["hr_ctv"] & drawn["uterus"]).sum() > 0.4 * drawn["hr_ctv"].sum()
    for name in STRUCTURES:
        assert np.array_equal(contours.mask(name), drawn[name]), name
        assert case.volumes_cm3[name] == pytest.approx(drawn[name].sum() * DEPTH_MM / 1000)
    evaluate_dose(cohort, tmp_path / "dose", settings=DoseSettings(ends="half"))
    curves = pd.read_csv(tmp_path / "dose" / "dvh.csv")
    whole = curves[curves["volume_percent"] == 100].set_index("structure")["volume_cm3"]
    for name in whole.index:
        assert whole[name] == pytest.approx(case.volumes_cm3[name], rel=0.01)


def test_an_exclusive_cohort_is_refused_with_the_way_out(export: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        ingest(export, tmp_path / "cohort", structures=STRUCTURES)
    message = str(refused.value)
    assert re.search(r"uterus would lose \d+\.\d+ of \d+\.\d+ cm³ \([\d.]+ %\) to hr_ctv", message)
    for remedy in ("--allow-overlap", "outputs: overlapping", "--set task.plan.outputs=overlapping"):
        assert remedy in message


def test_describe_and_inspect_show_the_overlap(cohort: Cohort, export: Path) -> None:
    masks = {name: drawn_mask(name) for name in STRUCTURES}
    shared = (masks["hr_ctv"] & masks["uterus"]).sum()
    percent = [100 * shared / masks[name].sum() for name in ("hr_ctv", "uterus")]
    (row,) = overlap_table(cohort).to_dict("records")
    assert list(row.values()) == ["HR-CTV", "Uterus", *(f"{value:.1f}" for value in percent)]
    (item,) = [item for item in inspect_folder(export, StructureNames.load()).items if item.kind == "RTSTRUCT"]
    cm3 = shared * DEPTH_MM / 1000
    sentence = f"hr_ctv and uterus share {cm3:.2f} cm³ ({percent[0]:.0f} % of hr_ctv, {percent[1]:.0f} % of uterus)."
    assert sentence in item.contents and item.problem == ""


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ([], False),
        (["task.plan.outputs=overlapping"], True),
        (["task.plan.nesting=[hr_ctv < uterus]"], True),
    ],
)
def test_a_recipe_with_overlapping_outputs_accepts_overlaps(
    export: Path, tmp_path: Path, changes: list[str], accepted: bool
) -> None:
    structures = "structures=[hr_ctv, bladder, uterus]"
    recipe = load_recipe(
        "smoke", [structures, "pretraining=null", "supervised=null", "split.test=1", "split.folds=2", *changes]
    )
    scans, experiment = Scans(export), Experiment(tmp_path / "experiment")
    message = "patient" if accepted else "uterus would lose"  # can't be held out
    with pytest.raises(BadInput, match=message):
        run_experiment(recipe, scans, experiment.folder)
    assert (experiment.cohort("task") / "cohort.json").is_file() == accepted


def test_the_same_masks_as_a_prediction_have_a_dsc_of_one(cohort: Cohort, tmp_path: Path) -> None:
    (case,) = cohort.cases
    write_mask_folder(read_contours(case, STRUCTURES), tmp_path / "predictions" / case.id / "masks")
    for score in evaluate(cohort, tmp_path / "predictions", tmp_path / "evaluation").scores:
        assert (score.dsc, score.hausdorff_mm) == (1, 0), score.structure
        assert score.truth_cm3 == score.prediction_cm3 == pytest.approx(case.volumes_cm3[score.structure], abs=1e-3)


def test_d90_is_that_of_an_independent_histogram_of_the_curves(cohort: Cohort, tmp_path: Path) -> None:
    doses = evaluate_dose(cohort, tmp_path / "dose", settings=DoseSettings(ends="half")).scores
    (d90,) = [score.manual_gy for score in doses if (score.structure, score.metric) == ("hr_ctv", "D90")]

    def independent_d90(slices: range) -> float:
        """Return the dose that 90 % of points in the curves exceed; 4 × 4 × 5 points per voxel."""
        fine = (np.arange(SIZE * 4) + 0.5) / 4 - 0.5
        points = np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(-1, 2)
        doses = []
        for k in slices:
            inside = points[Polygon(RINGS["hr_ctv"][k], closed=False).contains_points(points)]
            doses += [dose_gy(inside[:, 0], inside[:, 1], np.array((k + (n - 2) / 5) * DEPTH_MM)) for n in range(5)]
        return float(np.quantile(np.concatenate(doses), 0.1))

    assert d90 == pytest.approx(independent_d90(HR_CTV), rel=0.01)
    lower_half = independent_d90(range(HR_CTV.start, UTERUS.start))
    assert abs(d90 / lower_half - 1) > 0.05  # what a trimmed HR-CTV would have


def test_a_structure_may_have_its_own_alpha_beta(cohort: Cohort, tmp_path: Path) -> None:
    def dose(value: str, out: Path) -> Result:
        return CliRunner().invoke(app, ["dose", str(cohort.folder), "--out", str(out), "--alpha-beta", value])

    assert dose("bladder=2", tmp_path / "dose").exit_code == 0
    table = pd.read_csv(tmp_path / "dose" / "eqd2.csv")
    assert dict(zip(table["structure"], table["alpha_beta_gy"], strict=True)) == {"hr_ctv": 10, "bladder": 2}
    for value, message in (("bladder", "is not STRUCTURE=GY"), ("vagina=2", "--alpha-beta names vagina, which is not")):
        refused = dose(value, tmp_path / "refused")
        assert isinstance(refused.exception, BadInput) or refused.exit_code == 2
        assert message in refused.output + refused.stderr + str(refused.exception)


@pytest.mark.parametrize("hole_style", ["keyhole", "inner"])
def test_contours_come_back_identical_from_case_to_rtstruct(
    cohort: Cohort, export: Path, tmp_path: Path, hole_style: str
) -> None:
    (case,) = cohort.cases
    series, names = read_ct_series(export / "CT"), StructureNames.load()
    before = read_contours(case, STRUCTURES)

    def written(segmentation: Segmentation, path: Path) -> Segmentation:
        _write(segmentation, series, path, hole_style)
        return read_rtstruct(path, series, STRUCTURES, names)[0]

    once = written(before, tmp_path / "RS1.dcm")
    twice = written(once, tmp_path / "RS2.dcm")
    for name in STRUCTURES:
        assert np.array_equal(once.mask(name), before.mask(name)), name
        assert np.array_equal(twice.mask(name), drawn_mask(name)), name
    assert np.array_equal(once.labels.array, before.labels.array)


def _write(segmentation: Segmentation, series: CTSeries, path: Path, hole_style: str) -> None:
    write_rtstruct(
        segmentation,
        series,
        path,
        names=StructureNames.load(),
        label="test",
        description="SYNTHETIC test",
        software_version="test",
        automatic=False,
        contour_style="exact",
        hole_style=hole_style,  # type: ignore[arg-type]
    )


def test_32_overlapping_structures_take_at_most_1_3_times_the_disk_space(tmp_path: Path) -> None:
    """Every organ is enlarged by a voxel, so that it overlaps its neighbours."""
    case = phantom_case(0, 0, 0, pelvic_geometry((3.0, 3.0, 3.0), (48, 80, 112)), nested=True)
    organs = {name: ndimage.binary_dilation(case.organs.mask(name)) for name in case.organs.structures}
    masks = organs | {name: case.structures.mask(name) for name in case.structures.structures}
    masks["bowel_bag"] = ndimage.binary_dilation(organs["small_bowel"] | organs["colon"], iterations=3)
    assert len(masks) == 32
    segmentation, overlaps = paint_label_map(masks, tuple(masks), case.scan.geometry)
    assert isinstance(segmentation, OverlappingSegmentation) and len(overlaps) > 30
    for name, mask in masks.items():
        assert np.array_equal(segmentation.mask(name), mask)
    for name, volume in (("image", case.scan), ("labels", segmentation.labels)):
        write_volume(volume, tmp_path / f"{name}.nii.gz")
    today = sum(path.stat().st_size for path in tmp_path.iterdir())
    write_volume(segmentation.own.bits, tmp_path / "masks.nii.gz")  # as in masksTr
    assert (tmp_path / "masks.nii.gz").stat().st_size < 0.3 * today
