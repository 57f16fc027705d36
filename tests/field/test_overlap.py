"""Contours that overlap: an HR-CTV of 30 cm³, and a uterus contour with the cervix that takes 12 cm³ of it."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gynbtnet.cli import app
from gynbtnet.datasets import Cohort, ingest
from gynbtnet.evaluation import centroids, evaluate, evaluate_dose, read_compared_case, read_truth
from gynbtnet.imaging import (
    Conversion,
    OverlapTooLarge,
    StructureNames,
    Volume,
    convert,
    read_ct_series,
    read_label_names,
    read_mask_folder,
    read_rtstruct,
    read_volume,
    write_volume,
)
from gynbtnet.phantom import NESTED_STRUCTURES, write_brachytherapy
from gynbtnet.pictures import make_view, overlay_figure
from gynbtnet.preparation import Plan, prepare
from gynbtnet.runtime import BadInput

from .builders import CT, rtdose, rtstruct

HR_CTV, UTERUS, BLADDER = "HR-CTV", "Uterus", "Bladder"
LOWEST_GY, GY_A_MM = 5.0, 0.2
SLICES, ROWS, COLUMNS = 60, 90, 40  # of 2 × 1 × 1 mm
OWN_SLICES = range(5, 25)  # of the HR-CTV: 20 of 30 × 25 voxels of 2 mm³, 30 cm³
ORDERS = [
    pytest.param(order, marks=pytest.mark.slow if number in (1, 2, 4) else (), id="-".join(order))
    for number, order in enumerate(itertools.permutations(("hr_ctv", "uterus", "bladder")))
]


def boxes(ct: CT, slices: range, *box: int) -> list[tuple[str, np.ndarray]]:
    return [("CLOSED_PLANAR", ct.box(k, *box)) for k in slices]


def write_patient(folder: Path, *, beyond: int = 40, patient: str = "CASE", covered: bool = False) -> CT:
    """Write a uterus that shares 8 slices (12 cm³) with the HR-CTV and extends ``beyond`` slices of 1.5 cm³ above."""
    ct = CT(
        *(folder / "CT", SLICES + 10, ROWS, COLUMNS),
        step=2.0,
        patient=patient,
        hu=lambda k, i, j: k + i + j + beyond,
    )
    drawn = {
        UTERUS: boxes(ct, OWN_SLICES[-8:], 5, 34, 5, 29) + boxes(ct, range(25, 25 + beyond), 5, 34, 5, 29),
        HR_CTV: boxes(ct, OWN_SLICES, 5, 34, 5, 29),
        BLADDER: boxes(ct, OWN_SLICES, 10, 29, 10, 19) if covered else boxes(ct, OWN_SLICES, 50, 69, 5, 29),
    }
    rtstruct(folder / "RS.dcm", ct, [(n, name, contours) for n, (name, contours) in enumerate(drawn.items(), 1)])
    z = np.arange(SLICES + 20) * 2.0 - 10
    dose = np.ones((1, 60, 40)) * (LOWEST_GY + GY_A_MM * (z + 10))[:, None, None]
    rtdose(folder / "RD.dcm", ct, dose, ct.origin - (10, 5, 10), scaling=1e-6)
    return ct


def d90_gy(first: int, last: int) -> float:
    """Return the D90 in Gy of a box from the first to the last of these slices, from the formula of the dose."""
    lower, upper = 2 * first, 2 * last
    return LOWEST_GY + GY_A_MM * (lower + 0.1 * (upper - lower) + 10)


def ingested(folder: Path, structures: tuple[str, ...], **options: Any) -> Cohort:
    return ingest(folder / "export", folder / "cohort", structures=structures, **options).cohort


@pytest.mark.parametrize("structures", ORDERS)
def test_volume_dose_and_dice_are_those_of_the_drawn_contours(structures: tuple[str, ...], tmp_path: Path) -> None:
    write_patient(tmp_path / "export")
    cohort = ingested(tmp_path, structures)
    (case,) = cohort.cases
    assert case.labels and case.masks
    assert case.volumes_cm3 == {"hr_ctv": 30.0, "uterus": 72.0, "bladder": 20.0}
    assert case.covered == ()
    labels = read_volume(case.labels)
    inside = {name: np.count_nonzero(labels.array == n) * 2 / 1000 for n, name in enumerate(structures, start=1)}
    assert inside == {"hr_ctv": 30.0, "uterus": 60.0, "bladder": 20.0}
    assert any("uterus loses 12.00 of 72.00 cm³ (16.7 %) in the label map" in note for note in case.notes)
    assert any("to hr_ctv" in note for note in cohort.notes)

    prediction = read_truth(case, structures)
    write_volume(prediction.labels, tmp_path / "predictions" / case.id / "labels.nii.gz")
    scores = {one.structure: one for one in evaluate(cohort, tmp_path / "predictions", tmp_path / "e").scores}
    assert (scores["hr_ctv"].dsc, scores["hr_ctv"].truth_cm3, scores["hr_ctv"].hd95_mm) == (1, 30, 0)
    assert scores["uterus"].dsc == pytest.approx(2 * 60 / (60 + 72))
    assert (scores["uterus"].truth_cm3, scores["uterus"].prediction_cm3) == (72, 60)
    assert scores["uterus"].hausdorff_mm == 16  # the 8 slices that the label map doesn't have

    doses = evaluate_dose(cohort, tmp_path / "dose").scores
    d90 = {one.structure: one.manual_gy for one in doses if one.metric == "D90"}
    assert d90["hr_ctv"] == pytest.approx(d90_gy(5, 24), abs=0.05)
    assert abs(d90["hr_ctv"] - d90_gy(5, 16)) > 0.2  # what would be left if the uterus had won


def test_pictures_and_positions_are_those_of_the_drawn_contours(tmp_path: Path) -> None:
    write_patient(tmp_path / "export")
    structures = ("hr_ctv", "uterus")
    cohort = ingested(tmp_path, structures)
    (case,) = cohort.cases
    truth = read_truth(case, structures)
    write_volume(truth.labels, tmp_path / "predictions" / case.id / "labels.nii.gz")
    position = centroids(cohort, tmp_path / "predictions")[case.id]
    # 48 slices from the 18th to the 65th, and their upper 40: middles of 41 and 45, from the HR-CTV's 14.5
    assert position.truth["uterus"][2] == pytest.approx((40.5 - 14.5) * 2)
    assert position.prediction["uterus"][2] == pytest.approx((44.5 - 14.5) * 2)

    shown = read_compared_case(cohort, case.id, {"model": tmp_path / "predictions"})
    for seen in (shown, shown.cropped()):
        assert [np.count_nonzero(one.mask("uterus")) * 2 / 1000 for one in seen.segmentations.values()] == [72, 60]
    assert shown.worst_slice("uterus").outlines["reference"]["uterus"] != ("",)
    view = make_view(read_volume(case.image), truth, truth)
    (axes,) = overlay_figure(view, StructureNames.load(), ["coronal"]).axes
    heights = [np.ptp(np.concatenate([path.vertices for path in one.get_paths()])[:, 1]) for one in axes.collections]
    assert sorted(heights) == pytest.approx([40, 40, 96, 96], abs=2)  # filled and outlined, 20 and 48 slices


def test_a_loss_of_more_than_a_fifth_is_refused_and_costs_the_scan_only(tmp_path: Path) -> None:
    write_patient(tmp_path / "export" / "A", beyond=31, patient="A")  # 12 of 58.5 cm³: 20.5 %
    write_patient(tmp_path / "export" / "B", beyond=32, patient="B")  # 12 of 60 cm³: 20 %
    command = ["ingest", str(tmp_path / "export"), "--out", str(tmp_path / "cohort"), "--structures", "uterus,hr_ctv"]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 1, ended.output
    assert "overlap: In " in ended.stderr
    for part in ("uterus would lose 12.00 of 58.50 cm³ (20.5 %) to hr_ctv", "At most 20 %", "--allow-overlap"):
        assert part in ended.stderr
    assert [case.patient for case in Cohort.load(tmp_path / "cohort").cases] == ["patient-002"]
    with pytest.raises(BadInput, match="uterus would lose"):  # a caller who wants every scan
        ingested(tmp_path, ("uterus", "hr_ctv"))

    ended = CliRunner().invoke(app, [*command, "--allow-overlap"])
    assert ended.exit_code == 0, ended.output
    first, second = Cohort.load(tmp_path / "cohort").cases
    assert (first.volumes_cm3["uterus"], second.volumes_cm3["uterus"]) == (58.5, 60)
    ended = CliRunner().invoke(app, command)  # what was accepted once is not accepted for ever
    assert ended.exit_code == 1


def test_losses_to_several_structures_add_up(tmp_path: Path) -> None:
    ct = CT(tmp_path / "export" / "CT", 12, 60, 40)
    drawn = {"Uterus": (0, 49, 0, 9), "HR-CTV": (0, 5, 0, 9), "CTV_IR": (0, 9, 0, 9), "Rectum": (46, 49, 0, 9)}
    rois = [(n, name, boxes(ct, range(2, 9), *box)) for n, (name, box) in enumerate(drawn.items(), start=1)]
    rtstruct(tmp_path / "export" / "RS.dcm", ct, rois)
    aliases = tmp_path / "aliases.yaml"
    aliases.write_text("ir_ctv: [CTV_IR]\n")
    names = StructureNames.load(aliases)
    with pytest.raises(BadInput, match=r"uterus would lose .* \(28 %\) to ir_ctv and rectum; ir_ctv would .* \(60 %\)"):
        ingest(
            tmp_path / "export",
            tmp_path / "cohort",
            "dicom-rt",
            structures=("uterus", "rectum", "hr_ctv", "ir_ctv"),
            names=names,
        )


@pytest.mark.parametrize("structures", ORDERS)
def test_a_fully_covered_structure_is_unknown_to_training_and_scored_by_its_contours(
    structures: tuple[str, ...], tmp_path: Path
) -> None:
    write_patient(tmp_path / "export", covered=True)
    with pytest.raises(BadInput, match=r"bladder would lose 8.00 of 8.00 cm³ \(100 %\) to hr_ctv"):
        ingested(tmp_path, structures)
    cohort = ingested(tmp_path, structures, allow_overlap=True)
    (case,) = cohort.cases
    assert (case.missing, case.covered, case.unlabelled) == ((), ("bladder",), ("bladder",))
    assert any("this means unknown, not absent" in note for note in case.notes)
    levels = ((1, 1, 1), *((2, 2, 2),) * 4)
    plan = Plan(structures, (2.0, 2.0, 2.0), "zscore", None, (16, 16, 16), 1, "XS", levels)
    assert prepare(cohort, plan, tmp_path / "prepared").cases[0].missing == ("bladder",)
    write_volume(read_truth(case, structures).labels, tmp_path / "predictions" / case.id / "labels.nii.gz")
    scores = {one.structure: one for one in evaluate(cohort, tmp_path / "predictions", tmp_path / "e").scores}
    assert (scores["bladder"].missing_in, scores["bladder"].truth_cm3) == ("prediction", 8)


def test_masks_cost_little_and_survive_a_round_through_nnunets_layout(tmp_path: Path) -> None:
    write_patient(tmp_path / "export")
    structures = ("hr_ctv", "uterus", "bladder")
    (case,) = ingested(tmp_path, structures).cases
    assert case.labels and case.masks
    whole, more = sum(path.stat().st_size for path in (*case.images, case.labels)), case.masks.stat().st_size
    assert more <= 0.3 * whole
    again = ingest(tmp_path / "cohort", tmp_path / "again", "nnunet").cohort
    assert again.cases[0].volumes_cm3 == case.volumes_cm3
    alone = ingest(tmp_path / "cohort", tmp_path / "alone", "nnunet", structures=("uterus",)).cohort.cases[0]
    assert alone.volumes_cm3 == {"uterus": 72}
    assert alone.masks is None  # nothing takes voxels of it any more

    (case,) = ingested(tmp_path, ("hr_ctv", "bladder")).cases
    assert case.masks is None and not list((tmp_path / "cohort" / "masksTr").glob("*"))


def test_a_cohort_of_before_loads_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / "export")
    cohort = ingested(tmp_path, ("hr_ctv", "uterus"))
    (case,) = cohort.cases
    assert case.masks
    write_volume(Volume(read_volume(case.masks).array.astype(np.int16), case.geometry), case.masks)
    with pytest.raises(BadInput, match="expected the bits of masks"):
        read_truth(case, cohort.structures)
    case.masks.unlink()
    with pytest.raises(BadInput, match=r"lacks 1 file, first .*masksTr"):
        Cohort.load(cohort.folder)
    manifest = cohort.folder / "cohort.json"
    old = [line for line in manifest.read_text().splitlines() if '"covered"' not in line and '"masks"' not in line]
    text = "\n".join(old)
    text = text[: text.index(',\n   "masked"')] + text[text.index("]", text.index('"masked"')) + 1 :]
    manifest.write_text(text)
    (before,) = Cohort.load(cohort.folder).cases
    assert (before.masks, before.masked, before.covered) == (None, (), ())


@pytest.mark.slow
@pytest.mark.parametrize("structures", [("hr_ctv", "uterus"), ("uterus", "hr_ctv")], ids="-".join)
def test_convert_follows_the_same_rules(structures: tuple[str, ...], tmp_path: Path) -> None:
    write_patient(tmp_path / "few", beyond=31)
    write_patient(tmp_path / "many")
    out = tmp_path / "labels.nii.gz"

    def how(name: str, *, allow_overlap: bool = False) -> Conversion:
        return Conversion(ct=tmp_path / name / "CT", structures=structures, allow_overlap=allow_overlap, force=True)

    notes = convert([tmp_path / "many" / "RS.dcm"], out, how("many"))
    assert any("uterus loses 12.00 of 72.00 cm³" in note for note in notes)
    assert read_label_names(out) == structures
    assert np.count_nonzero(read_volume(out).array == 1 + structures.index("hr_ctv")) == 15_000
    out.unlink()
    with pytest.raises(OverlapTooLarge, match=r"uterus would lose 12.00 of 58.50 cm³ .*--allow-overlap"):
        convert([tmp_path / "few" / "RS.dcm"], out, how("few"))
    assert not out.exists()
    convert([tmp_path / "few" / "RS.dcm"], out, how("few", allow_overlap=True))

    # DICOM keeps overlapping structures whole: nothing is lost there and nothing is refused
    for to, name in (("rtstruct", "RS2.dcm"), ("seg", "SEG.dcm")):
        convert([tmp_path / "few" / "RS.dcm"], tmp_path / name, how("few"), to)  # type: ignore[arg-type]
        with pytest.raises(OverlapTooLarge, match=r"uterus would lose 12.00 of 58.50 cm³"):
            convert([tmp_path / name], out, how("few"))


def test_masks_and_files_for_slicer_keep_overlapping_structures_in_conversion(tmp_path: Path) -> None:
    """From RTSTRUCT to masks, 3D Slicer and RTSTRUCT: each has the drawn masks; only a label map loses voxels."""
    write_patient(tmp_path / "few", beyond=31)
    ct = tmp_path / "few" / "CT"
    how = Conversion(ct=ct, contour_style="exact")
    drawn = read_rtstruct(tmp_path / "few" / "RS.dcm", read_ct_series(ct), ("hr_ctv", "uterus"), how.names)[0]
    assert not convert([tmp_path / "few" / "RS.dcm"], tmp_path / "masks", how, "masks")
    convert([tmp_path / "masks"], tmp_path / "contours.seg.nrrd", Conversion())
    convert([tmp_path / "contours.seg.nrrd"], tmp_path / "RS.dcm", how)
    convert([tmp_path / "contours.seg.nrrd"], tmp_path / "again", Conversion(), "masks")
    results = (
        read_mask_folder(tmp_path / "masks", drawn.structures),
        read_mask_folder(tmp_path / "again", drawn.structures),
        read_rtstruct(tmp_path / "RS.dcm", read_ct_series(ct), drawn.structures, how.names)[0],
    )
    for result, structure in itertools.product(results, drawn.structures):
        np.testing.assert_array_equal(result.mask(structure), drawn.mask(structure))
    for source in ("masks", "contours.seg.nrrd"):
        out = tmp_path / "labels.nii.gz"
        with pytest.raises(
            OverlapTooLarge, match=r"uterus would lose 12.00 of 58.50 cm³ .*--to masks.*--allow-overlap"
        ):
            convert([tmp_path / source], out, Conversion())
        assert not out.exists()
        (note,) = convert([tmp_path / source], out, Conversion(allow_overlap=True))
        assert "uterus loses 12.00 of 58.50 cm³" in note
        out.unlink()


def test_nested_targets_without_named_structures_are_refused_as_a_label_map_only(tmp_path: Path) -> None:
    """All known names are converted: of nested targets a label map would lose most of the outer ones."""
    write_brachytherapy(tmp_path, patients=1, fractions=1, spacing=(6, 6, 6), matrix=(32, 48, 64), nested=True)
    folder = tmp_path / "PHANTOM-001" / "fraction-1"
    how = Conversion(ct=folder / "CT")
    with pytest.raises(OverlapTooLarge, match=r"ir_ctv would lose .* to hr_ctv.*--to masks"):
        convert([folder / "RS.dcm"], tmp_path / "labels.nii.gz", how)
    convert([folder / "RS.dcm"], tmp_path / "masks", how, "masks")
    known = {path.name.removesuffix(".nii.gz") for path in (tmp_path / "masks").iterdir()}
    assert known == set(NESTED_STRUCTURES)
    five = Conversion(ct=folder / "CT", structures=("hr_ctv", "bladder"))
    assert not any("loses" in note for note in convert([folder / "RS.dcm"], tmp_path / "labels.nii.gz", five))


@pytest.mark.parametrize("priority", [(), ("uterus",), ("hr_ctv", "uterus"), ("bladder", "uterus")])
def test_priority_decides_the_owner_and_leaves_labels_and_drawn_volumes(
    priority: tuple[str, ...], tmp_path: Path
) -> None:
    """Uterus and HR-CTV share 12 cm³, HR-CTV and bladder the bladder's 8 cm³."""
    write_patient(tmp_path / "in", covered=True)
    order = ("hr_ctv", "uterus", "bladder")
    cohort = ingest(tmp_path / "in", tmp_path / "out", structures=order, priority=priority, allow_overlap=True).cohort
    (case,) = cohort.cases
    assert case.labels and cohort.structures == order
    labels = read_volume(case.labels).array
    truth = read_truth(case, order)
    drawn = {name: truth.mask(name) for name in order}
    assert {name: int(mask.sum()) for name, mask in drawn.items()} == {
        "hr_ctv": 15000,
        "uterus": 36000,
        "bladder": 4000,
    }
    ranking = (*priority, *(name for name in ("hr_ctv", "bladder", "uterus") if name not in priority))
    expected = np.zeros(labels.shape, int)
    for name in reversed(ranking):
        expected[drawn[name]] = order.index(name) + 1
    np.testing.assert_array_equal(labels, expected)


def test_a_priority_of_other_structures_is_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / "in")
    out = tmp_path / "out"
    for wrong in (["uterus", "rectum"], ["uterus", "uterus"]):
        with pytest.raises(BadInput, match=r"The priority is uterus, .*expected some of the structures hr_ctv, uterus"):
            ingest(tmp_path / "in", out, structures=("hr_ctv", "uterus"), priority=wrong)
    arguments = ["ingest", str(tmp_path / "in"), "--out", str(out), "--structures", "hr_ctv,uterus"]
    assert CliRunner().invoke(app, [*arguments, "--priority", "uterus"]).exit_code == 1  # the HR-CTV loses too much
    result = CliRunner().invoke(app, [*arguments, "--priority", "hr_ctv"])
    assert result.exit_code == 0, result.output
