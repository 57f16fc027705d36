"""Phantom with nested targets and a uterus that contains the cervix: realistic overlaps, the same scan otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from gynbtnet.imaging import (
    Nesting,
    OverlappingSegmentation,
    StructureNames,
    read_ct_series,
    read_mask_folder,
    read_rtstruct,
)
from gynbtnet.phantom import (
    NESTED_STRUCTURES,
    STRUCTURES,
    PhantomCase,
    pelvic_geometry,
    phantom_case,
    write_brachytherapy,
)
from gynbtnet.runtime import BadInput

GRID = pelvic_geometry((3.0, 3.0, 3.0), (44, 60, 64))
LAYOUT = {"patients": 1, "fractions": 1, "spacing": (8.0, 6.0, 6.0), "matrix": (24, 48, 64)}
NESTING = Nesting.parse(["gtv_res < hr_ctv < ir_ctv"])


@pytest.fixture(scope="module", params=["simple", "clinical"])
def cases(request: pytest.FixtureRequest) -> list[PhantomCase]:
    return [phantom_case(3, patient, 0, GRID, realism=request.param, nested=True) for patient in (0, 7)]


def own(case: PhantomCase) -> OverlappingSegmentation:
    assert isinstance(case.structures, OverlappingSegmentation)
    return case.structures


def test_targets_are_nested_in_every_voxel(cases: list[PhantomCase]) -> None:
    for case in cases:
        assert case.structures.structures == NESTED_STRUCTURES
        assert NESTING.broken_voxels(own(case).own) == 0


def test_overlaps_have_the_size_of_those_in_patients(cases: list[PhantomCase]) -> None:
    for case in cases:
        structures = case.structures
        volumes = structures.volumes_cm3()
        shared = structures.mask("uterus") & structures.mask("hr_ctv")
        assert 0.08 < shared.sum() / structures.mask("uterus").sum() < 0.75
        assert 0.15 < shared.sum() / structures.mask("hr_ctv").sum() < 0.9
        assert 0.02 < volumes["gtv_res"] / volumes["hr_ctv"] < 0.4
        assert 1.6 < volumes["ir_ctv"] / volumes["hr_ctv"] < 4
        ir_ctv = structures.mask("ir_ctv")
        assert not any((ir_ctv & structures.mask(organ)).any() for organ in ("bladder", "rectum", "sigmoid"))


def test_the_margin_of_the_ir_ctv_is_at_least_5_mm_except_at_organs_and_applicator(cases: list[PhantomCase]) -> None:
    for case in cases:
        outside = ndimage.distance_transform_edt(~case.structures.mask("hr_ctv"), sampling=GRID.spacing)
        organs = np.isin(case.structures.labels.array, [2, 3, 4])
        near = (outside < 4) & ~organs
        assert case.structures.mask("ir_ctv")[near].mean() > 0.9  # the rest is applicator
        margin = outside[case.structures.mask("ir_ctv") & (outside > 0)]
        assert np.percentile(margin, 95) < 15 and margin.max() < 25  # more at seams of the smooth shape


def test_only_voxels_of_the_residual_tumour_change() -> None:
    plain, nested = phantom_case(3, 1, 0, GRID), phantom_case(3, 1, 0, GRID, nested=True)
    changed_hu = np.abs(plain.scan.array.astype(int) - nested.scan.array)
    border = ndimage.binary_dilation(nested.structures.mask("gtv_res"), iterations=2)
    assert changed_hu[border].max() > 5
    assert changed_hu[~border].max() <= 1  # noise depends on the attenuation
    whole_uterus = nested.structures.mask("uterus")
    for structure in STRUCTURES[:4]:
        assert np.array_equal(plain.structures.mask(structure), nested.structures.mask(structure))
    assert np.array_equal(plain.structures.mask("uterus"), whole_uterus & ~nested.structures.mask("hr_ctv"))


def test_the_rtstruct_has_overlapping_contours(tmp_path: Path) -> None:
    write_brachytherapy(tmp_path, **LAYOUT, nested=True)  # type: ignore[arg-type]
    folder = tmp_path / "PHANTOM-001" / "fraction-1"
    made = phantom_case(0, 0, 0, pelvic_geometry(LAYOUT["spacing"], LAYOUT["matrix"]), nested=True)  # type: ignore[arg-type]
    structures, report = read_rtstruct(
        folder / "RS.dcm", read_ct_series(folder / "CT"), NESTED_STRUCTURES, StructureNames.load()
    )
    assert not report.missing and not report.unmapped
    for structure in NESTED_STRUCTURES:
        assert np.array_equal(structures.mask(structure), made.structures.mask(structure)), structure


def test_nifti_has_a_mask_per_structure(tmp_path: Path) -> None:
    write_brachytherapy(tmp_path, **LAYOUT, file_format="nifti", nested=True)  # type: ignore[arg-type]
    folder = tmp_path / "PHANTOM-001" / "fraction-1"
    assert sorted(path.name for path in folder.iterdir()) == ["ct.nii.gz", "dose.nii.gz", "masks"]
    made = phantom_case(0, 0, 0, pelvic_geometry(LAYOUT["spacing"], LAYOUT["matrix"]), nested=True)  # type: ignore[arg-type]
    read = read_mask_folder(folder / "masks", NESTED_STRUCTURES)
    for structure in NESTED_STRUCTURES:
        assert np.array_equal(read.mask(structure), made.structures.mask(structure)), structure


def test_nested_is_a_setting_of_the_cohort(tmp_path: Path) -> None:
    write_brachytherapy(tmp_path, **LAYOUT, file_format="nifti")  # type: ignore[arg-type]
    assert "nested" not in json.loads((tmp_path / "phantom.json").read_text())
    with pytest.raises(BadInput, match="other settings"):
        write_brachytherapy(tmp_path, **LAYOUT, file_format="nifti", nested=True)  # type: ignore[arg-type]
