"""Ingestion of every layout, in miniature and built from the phantom: scans, patients and reported problems."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gynbtnet.cli import Layout
from gynbtnet.datasets import ADAPTERS, dry_run, ingest
from gynbtnet.datasets.adapters import ct_colonography as colonography_adapter
from gynbtnet.datasets.adapters import flare22 as flare22_adapter
from gynbtnet.datasets.adapters import hnscc as hnscc_adapter
from gynbtnet.datasets.adapters import ribfrac as ribfrac_adapter
from gynbtnet.datasets.adapters import tcia_covid as covid_adapter
from gynbtnet.datasets.adapters.pelvis import amos as amos_adapter
from gynbtnet.datasets.adapters.pelvis import btcv_cervix as btcv_adapter
from gynbtnet.datasets.adapters.pelvis import c3ro as c3ro_adapter
from gynbtnet.datasets.adapters.pelvis import pediatric_ct_seg as pediatric_adapter
from gynbtnet.datasets.adapters.pelvis import word as word_adapter
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.ingest_found import Ingestion
from gynbtnet.datasets.ingestion.integrity import IntegrityReport
from gynbtnet.imaging import Volume, read_volume, to_sitk, write_ct_series, write_volume
from gynbtnet.phantom import PhantomCase
from gynbtnet.runtime import BadInput, read_json

Phantoms = tuple[PhantomCase, ...]
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "archives.md"


def series(case: PhantomCase, folder: Path, patient: str, description: str, *, seed: int, position: str = "") -> None:
    """Write a CT series as the downloader of The Cancer Imaging Archive does."""
    ct = write_ct_series(
        case.scan, folder, patient_id=patient, study_description="", series_description=description, seed=seed
    )
    for path in ct.files if position else ():
        header = pydicom.dcmread(path)
        header.PatientPosition = position
        header.save_as(path)


def flare22(folder: Path, phantoms: Phantoms) -> None:
    for number, case in enumerate(phantoms[:2], start=1):
        write_volume(case.scan, folder / "FLARE22_UnlabeledCase" / f"Case_{number:05d}_0000.nii.gz")
    labels = np.where(phantoms[2].structures.labels.array == 2, 13, 0).astype(np.uint8)
    write_volume(phantoms[2].scan, folder / "FLARE22Train" / "images" / "FLARE22_Tr_0001_0000.nii.gz")
    write_volume(
        Volume(labels, phantoms[2].scan.geometry), folder / "FLARE22Train" / "labels" / "FLARE22_Tr_0001.nii.gz"
    )
    write_volume(phantoms[3].scan, folder / "Tuning" / "images" / "FLARETs_0001_0000.nii.gz")


def hnscc(folder: Path, phantoms: Phantoms) -> None:
    study = folder / "HNSCC" / "HNSCC-01-0001" / "12-05-1998-NA-RT SIMULATION-43582"
    series(phantoms[0], study / "2.000000-NA-10361", "HNSCC-01-0001", "planning", seed=1)
    series(phantoms[1], folder / "HNSCC" / "HNSCC-01-0002" / "study" / "CT", "HNSCC-01-0002", "neck", seed=2)
    scout = Volume(phantoms[2].scan.array[:3], phantoms[2].scan.geometry.with_shape((3, 24, 32)))
    short = PhantomCase(scout, phantoms[2].structures, phantoms[2].organs, None)
    series(short, study / "1.000000-SCOUT", "HNSCC-01-0001", "scout", seed=3)


def ribfrac(folder: Path, phantoms: Phantoms) -> None:
    for number, case in zip((1, 421, 501), phantoms, strict=False):
        part = folder / f"ribfrac-images-{number}" / "Part1"
        write_volume(case.scan, part / f"RibFrac{number}-image.nii.gz")
        if number < 501:
            write_volume(case.structures.labels, folder / f"ribfrac-labels-{number}" / f"RibFrac{number}-label.nii.gz")


def ct_colonography(folder: Path, phantoms: Phantoms) -> None:
    patient = "1.3.6.1.4.1.9328.50.4.0001"
    study = folder / "CT COLONOGRAPHY" / patient / "01-01-2000-1-Abdomen-0.4.1"
    series(phantoms[0], study / "4.000000-Coloprone 1.0-4.564", patient, "Coloprone", seed=1, position="FFP")
    series(phantoms[1], study / "3.000000-Colosupine 1.0-4.563", patient, "Colosupine", seed=2, position="FFS")
    longer = phantoms[2].scan.geometry.with_shape((20, 24, 32))
    voxels = np.repeat(phantoms[2].scan.array, 2, axis=0)[:20]
    other_kernel = PhantomCase(Volume(voxels, longer), phantoms[2].structures, phantoms[2].organs, None)
    series(other_kernel, study / "5.000000-SUPINE-4.565", patient, "SUPINE", seed=3)  # by its description


def tcia_covid(folder: Path, phantoms: Phantoms) -> None:
    for name, case in zip(("0001", "0700_day010", "0700_day002"), phantoms, strict=False):
        write_volume(case.scan, folder / "CT-Covid-19-August2020" / f"volume-covid19-A-{name}.nii.gz")


def totalsegmentator(folder: Path, phantoms: Phantoms) -> None:
    for number, case in enumerate(phantoms[:2]):
        write_volume(case.scan, folder / f"s{number:04d}" / "ct.nii.gz")
        for name in ("sacrum", "urinary_bladder", "colon"):
            mask = Volume(case.organs.mask(name), case.scan.geometry)
            write_volume(mask, folder / f"s{number:04d}" / "segmentations" / f"{name}.nii.gz")


def mr_of(case: PhantomCase) -> Volume:
    return Volume((case.scan.array.astype(np.float32) + 1000) / 3, case.scan.geometry)


def nnunet(folder: Path, phantoms: Phantoms) -> None:
    description = {
        "channel_names": {"0": "CT", "1": "MR"},
        "labels": {"background": 0, "hr_ctv": 1, "bladder": 2, "rectum": 3, "sigmoid": 4, "uterus": 5},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(description))
    for number, case in enumerate(phantoms[:2], start=1):
        write_volume(case.scan, folder / "imagesTr" / f"case_{number}_0000.nii.gz")
        write_volume(mr_of(case), folder / "imagesTr" / f"case_{number}_0001.nii.gz")
        write_volume(case.structures.labels, folder / "labelsTr" / f"case_{number}.nii.gz")


def decathlon(folder: Path, phantoms: Phantoms) -> None:
    (folder / "imagesTr").mkdir(parents=True)
    listed = [
        {"image": f"./imagesTr/pelvis_{number:03d}.nii.gz", "label": f"./labelsTr/pelvis_{number:03d}.nii.gz"}
        for number in (1, 2)
    ]
    description = {
        "modality": {"0": "CT", "1": "MR"},
        "labels": {"0": "background", "1": "hr_ctv", "2": "bladder", "3": "rectum", "4": "sigmoid", "5": "uterus"},
        "training": listed,
        "test": ["./imagesTs/pelvis_003.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    for case, files in zip(phantoms, listed, strict=False):
        ct = to_sitk(Volume(case.scan.array.astype(np.float32), case.scan.geometry))
        sitk.WriteImage(sitk.JoinSeries([ct, to_sitk(mr_of(case))]), folder / files["image"])
        write_volume(case.structures.labels, folder / files["label"])
    (folder / "imagesTr" / "._pelvis_001.nii.gz").write_text("a file that macOS adds to archives")


def with_labels(case: PhantomCase, structures: dict[str, int]) -> Volume:
    """Return the label map of a case with an archive's labels."""
    labels = np.zeros(case.scan.array.shape, np.uint8)
    for structure, label in structures.items():
        labels[case.structures.mask(structure)] = label
    return Volume(labels, case.scan.geometry)


def btcv_cervix(folder: Path, phantoms: Phantoms) -> None:
    training = folder / "RawData" / "Training"
    for name, case in zip(("0507688", "0759564"), phantoms, strict=False):
        write_volume(case.scan, training / "img" / f"{name}-Image.nii.gz")
        labels = with_labels(case, {"bladder": 1, "uterus": 2, "rectum": 3})
        write_volume(labels, training / "label" / f"{name}-Mask.nii.gz")
    write_volume(phantoms[2].scan, folder / "RawData" / "Testing" / "img" / "0773652-Image.nii.gz")


def amos(folder: Path, phantoms: Phantoms) -> None:
    for part, number, case in zip(("Tr", "Va", "Tr", "Ts"), (1, 8, 507, 9), phantoms, strict=False):
        write_volume(case.scan, folder / "amos22" / f"images{part}" / f"amos_{number:04d}.nii.gz")
        if part != "Ts":
            labels = with_labels(case, {"bladder": 14, "uterus": 15})
            write_volume(labels, folder / "amos22" / f"labels{part}" / f"amos_{number:04d}.nii.gz")


def word(folder: Path, phantoms: Phantoms) -> None:
    for part, number, case in zip(("Tr", "Val", "Ts"), (106, 7, 15), phantoms, strict=False):
        write_volume(case.scan, folder / "WORD-V0.1.0" / f"images{part}" / f"word_{number:04d}.nii.gz")
        labels = with_labels(case, {"rectum": 13, "bladder": 14, "sigmoid": 10})
        write_volume(labels, folder / "WORD-V0.1.0" / f"labels{part}" / f"word_{number:04d}.nii.gz")


def pediatric_ct_seg(folder: Path, phantoms: Phantoms) -> None:
    from gynbtnet.phantom import write_clinic_fraction

    for number, case in enumerate(phantoms[:2], start=1):
        patient = f"Pediatric-CT-SEG-{number:08X}"
        out = folder / "Pediatric-CT-SEG" / patient / "01-01-2000-NA-CT-1"
        out.mkdir(parents=True)
        write_clinic_fraction(case, out, patient_id=patient, fraction=1, seed=0)


def c3ro(folder: Path, phantoms: Phantoms) -> None:
    site = folder / "Organized_files_v4" / "GYN"
    write_volume(phantoms[0].scan, site / "CT" / "NIFTI" / "Image_CT_GYN.nii.gz")
    write_volume(phantoms[1].scan, folder / "Organized_files_v4" / "H&N" / "CT" / "NIFTI" / "Image_CT_H&N.nii.gz")
    contoured = phantoms[0].structures
    empty = np.zeros(phantoms[0].scan.array.shape, bool)
    for part, prefix, suffix, names in (
        ("Expert/Consensus", "", "_STAPLE", {"Bladder": "bladder", "Rectum": "rectum", "CTVn_4500": "hr_ctv"}),
        ("Expert/7/NIFTI", "7_", "", {"Bladder": "rectum"}),
        ("Non-Expert/Consensus", "", "_STAPLE", {"Bladder": ""}),
    ):
        for roi, structure in names.items():
            mask = contoured.mask(structure) if structure else empty
            path = site / "Segmentations" / part / f"{prefix}{roi}{suffix}.nii.gz"
            write_volume(Volume(mask, phantoms[0].scan.geometry), path)


def scans(folder: Path, phantoms: Phantoms) -> None:
    for name, case in zip(("a", "b"), phantoms, strict=False):
        write_volume(case.scan, folder / f"{name}.nii.gz")


def dicom_rt(folder: Path, phantoms: Phantoms) -> None:
    from gynbtnet.phantom import write_clinic_fraction

    for number, case in enumerate(phantoms[:2], start=1):
        out = folder / f"P{number}" / "fraction-1"
        out.mkdir(parents=True)
        write_clinic_fraction(case, out, patient_id=f"P{number}", fraction=1, seed=0)


BUILD: dict[str, Callable[[Path, Phantoms], None]] = {
    "dicom-rt": dicom_rt,
    "scans": scans,
    "totalsegmentator": totalsegmentator,
    "flare22": flare22,
    "hnscc": hnscc,
    "ribfrac": ribfrac,
    "ct-colonography": ct_colonography,
    "tcia-covid": tcia_covid,
    "nnunet": nnunet,
    "decathlon": decathlon,
    "btcv-cervix": btcv_cervix,
    "amos": amos,
    "word": word,
    "pediatric-ct-seg": pediatric_ct_seg,
    "c3ro": c3ro,
}
BLADDER: dict[str, Any] = {"structures": ("bladder",)}
OPTIONS = {"dicom-rt": BLADDER, "c3ro": BLADDER, "pediatric-ct-seg": BLADDER}


def test_every_layout_is_tested_here_and_documented() -> None:
    assert set(BUILD) == set(ADAPTERS)
    page = DOCS.read_text()
    for name in ADAPTERS:
        assert f"`{name}`" in page
    assert [layout.value for layout in Layout] == list(ADAPTERS)
    for archive in (btcv_adapter, amos_adapter, word_adapter, pediatric_adapter, c3ro_adapter):
        assert archive.ARCHIVE.source in page
    for archive in (flare22_adapter, hnscc_adapter, ribfrac_adapter, colonography_adapter, covid_adapter):
        assert archive.ARCHIVE.source in page
        assert f"{archive.ARCHIVE.scans:,}" in page


@pytest.fixture
def build_and_ingest(tmp_path: Path, phantoms: Phantoms) -> Callable[..., Ingestion]:
    def run(layout: str, **options: Any) -> Ingestion:
        if not (tmp_path / layout).exists():
            BUILD[layout](tmp_path / layout, phantoms)
        return ingest(tmp_path / layout, tmp_path / "cohort", layout, **{**OPTIONS.get(layout, {}), **options})

    return run


def voxels(cohort: Cohort) -> dict[str, np.ndarray]:
    return {case.id: read_volume(case.image).array for case in cohort.cases}


def check_cases(cohort: Cohort, expected: dict[str, PhantomCase]) -> None:
    """Check that the cohort has exactly these cases with these voxels."""
    arrays = voxels(cohort)
    assert sorted(arrays) == sorted(expected)
    for name, case in expected.items():
        np.testing.assert_array_equal(arrays[name], case.scan.array)


@pytest.mark.parametrize("layout", sorted(BUILD))
def test_a_dry_run_writes_nothing_and_predicts_the_cohort(
    layout: str, tmp_path: Path, phantoms: Phantoms, build_and_ingest: Callable[..., Ingestion]
) -> None:
    BUILD[layout](tmp_path / layout, phantoms)
    before = sorted(tmp_path.rglob("*"))
    expected = dry_run(tmp_path / layout, tmp_path / "cohort", layout, **OPTIONS.get(layout, {}))
    assert sorted(tmp_path.rglob("*")) == before
    done = build_and_ingest(layout)
    assert [scan.id for scan in expected.scans] == [case.id for case in done.cohort.cases]
    assert expected.report == done.report
    assert read_json(IntegrityReport, tmp_path / "cohort" / "integrity.json", "") == done.report
    assert Cohort.load(tmp_path / "cohort") == done.cohort


def test_parallel_processes_make_the_same_cohort(build_and_ingest: Callable[..., Ingestion], tmp_path: Path) -> None:
    done = build_and_ingest("totalsegmentator", jobs=2).cohort
    alone = ingest(tmp_path / "totalsegmentator", tmp_path / "alone", "totalsegmentator", jobs=1).cohort
    assert [case.relative_to(done.folder) for case in done.cases] == [
        case.relative_to(alone.folder) for case in alone.cases
    ]
    before = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*.nii.gz")}
    build_and_ingest("totalsegmentator", jobs=2)  # a second call keeps the cases
    assert {path: path.stat().st_mtime_ns for path in done.folder.rglob("*.nii.gz")} == before


@pytest.mark.parametrize(
    ("layout", "organs", "cases"),
    [
        ("btcv-cervix", {"bladder": "bladder", "uterus": "uterus", "rectum": "rectum"}, {"0507688": 0, "0759564": 1}),
        ("amos", {"bladder": "bladder", "prostate_uterus": "uterus"}, {"amos-0001": 0, "amos-0008": 1}),
        (
            "word",
            {"rectum": "rectum", "bladder": "bladder", "colon": "sigmoid"},
            {"word-0106": 0, "word-0007": 1, "word-0015": 2},
        ),
    ],
)
def test_archives_with_organs_of_the_pelvis(
    build_and_ingest: Callable[..., Ingestion],
    phantoms: Phantoms,
    tmp_path: Path,
    layout: str,
    organs: dict[str, str],
    cases: dict[str, int],
) -> None:
    """Each case has the voxels of its scan, and each organ those of the label that the archive gives it."""
    done = build_and_ingest(layout, structures=tuple(organs))
    check_cases(done.cohort, {f"{name}_f1": phantoms[number] for name, number in cases.items()})
    for case in done.cohort.cases:
        assert case.labels
        labels = read_volume(case.labels).array
        truth = phantoms[cases[case.id.removesuffix("_f1")]].structures
        for label, structure in enumerate(organs.values(), start=1):
            np.testing.assert_array_equal(labels == label, truth.mask(structure))
    if layout == "amos":
        assert "Left out: 1 scan, MRs, numbered from 500 on." in done.cohort.notes
    with pytest.raises(BadInput, match="has no hr_ctv"):
        build_and_ingest(layout, structures=("hr_ctv",))
    for path in list(tmp_path.glob(f"{layout}/**/label*")):
        if path.is_dir():
            shutil.rmtree(path)
    with pytest.raises(BadInput, match="label map"):
        ingest(tmp_path / layout, tmp_path / "other", layout, structures=("bladder",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="There is no scan of"):
        ingest(tmp_path / "empty", tmp_path / "other", layout)


def test_pediatric_ct_seg_takes_its_pelvic_organs(
    build_and_ingest: Callable[..., Ingestion], phantoms: Phantoms
) -> None:
    done = build_and_ingest("pediatric-ct-seg", structures=None).cohort
    assert done.structures == ("bladder", "rectum", "uterus")
    for case, phantom in zip(done.cases, phantoms, strict=False):
        assert case.labels
        truth, labels = phantom.structures, read_volume(case.labels).array
        for label, structure in enumerate(done.structures, start=1):
            assert (labels == label).sum() == pytest.approx(truth.mask(structure).sum(), rel=0.15, abs=8)


def test_c3ro_gives_the_consensus_and_each_reader_on_one_ct(
    build_and_ingest: Callable[..., Ingestion], phantoms: Phantoms, tmp_path: Path
) -> None:
    """Only the gynecologic site is taken; a reader's contours have the case id of the consensus."""
    done = build_and_ingest("c3ro", structures=("bladder", "rectum"))
    check_cases(done.cohort, {"C3RO-GYN_f1": phantoms[0]})
    (case,) = done.cohort.cases
    assert case.labels
    labels = read_volume(case.labels).array
    np.testing.assert_array_equal(labels == 1, phantoms[0].structures.mask("bladder"))
    np.testing.assert_array_equal(labels == 2, phantoms[0].structures.mask("rectum"))
    readers = tmp_path / "c3ro" / "Organized_files_v4" / "GYN" / "Segmentations"
    for source, structure in ((readers / "Expert" / "7", "rectum"), (readers / "Non-Expert" / "Consensus", "")):
        own = ingest(source, tmp_path / f"of {source.name}", "c3ro", structures=("bladder",)).cohort
        check_cases(own, {"C3RO-GYN_f1": phantoms[0]})
        assert own.cases[0].labels
        contoured = read_volume(own.cases[0].labels).array == 1
        np.testing.assert_array_equal(contoured, phantoms[0].structures.mask(structure) if structure else False)
    shutil.copy(readers / "Expert/7/NIFTI/7_Bladder.nii.gz", readers / "Expert/7/NIFTI/7_Urinary bladder.nii.gz")
    with pytest.raises(BadInput, match="the same structure"):
        ingest(readers / "Expert" / "7", tmp_path / "twice", "c3ro", structures=("bladder",))
    with pytest.raises(BadInput, match="needs --structures"):
        ingest(tmp_path / "c3ro", tmp_path / "none", "c3ro")
    with pytest.raises(BadInput, match="neither a folder"):
        ingest(tmp_path / "c3ro" / "Organized_files_v4" / "H&N", tmp_path / "none", "c3ro", structures=("bladder",))


def test_flare22_without_and_with_its_organs(build_and_ingest: Callable[..., Ingestion], phantoms: Phantoms) -> None:
    done = build_and_ingest("flare22")
    check_cases(done.cohort, {"Case-00001_f1": phantoms[0], "Case-00002_f1": phantoms[1]})
    assert done.report.expected == 2000
    assert "The paper took 2000 scans from this archive; this cohort has 2." in done.cohort.notes
    labelled = build_and_ingest("flare22", structures=("kidney_left", "liver"))
    check_cases(labelled.cohort, {"FLARE22-Tr-0001_f1": phantoms[2]})
    (case,) = labelled.cohort.cases
    assert case.labels
    np.testing.assert_array_equal(read_volume(case.labels).array, phantoms[2].structures.labels.array == 2)
    assert case.volumes_cm3["kidney_left"] == pytest.approx(phantoms[2].structures.volume_cm3("bladder"), abs=1e-3)
    with pytest.raises(BadInput, match="FLARE22 has no tail"):
        build_and_ingest("flare22", structures=("tail",))


def test_hnscc_leaves_out_short_series(build_and_ingest: Callable[..., Ingestion], phantoms: Phantoms) -> None:
    done = build_and_ingest("hnscc")
    check_cases(done.cohort, {"patient-001_f1": phantoms[0], "patient-002_f1": phantoms[1]})
    assert "1 CT series that are short or not axial were left out." in done.cohort.notes
    assert done.report.expected == 1287


def test_hnscc_layout_on_real_scans(data: Path, tmp_path: Path) -> None:
    """Two real patients of other archives in the layout of HNSCC; an independent reader gives the expected voxels."""
    for number, folder in enumerate(("acrin_flt_breast_001", "crlm_ct_1006"), start=1):
        study = tmp_path / "HNSCC" / f"HNSCC-01-{number:04d}" / "study"
        study.mkdir(parents=True)
        (study / "1.000000-CT").symlink_to(data / folder / "CT")
    cohort = ingest(tmp_path / "HNSCC", tmp_path / "cohort", "hnscc", jobs=2).cohort
    assert [case.geometry.shape for case in cohort.cases] == [(99, 512, 512), (51, 512, 512)]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(data / "crlm_ct_1006" / "CT")))
    published = sitk.GetArrayFromImage(reader.Execute())
    ours = read_volume(cohort.cases[1].image).array
    inside = published > -1024
    np.testing.assert_array_equal(ours[inside], published[inside])


def test_ribfrac_takes_500_and_makes_fractures_one_structure(
    build_and_ingest: Callable[..., Ingestion], phantoms: Phantoms
) -> None:
    done = build_and_ingest("ribfrac")
    check_cases(done.cohort, {"RibFrac1_f1": phantoms[0], "RibFrac421_f1": phantoms[1]})
    assert "Left out: 1 scan without contours, above number 500." in done.cohort.notes
    labelled = build_and_ingest("ribfrac", structures=("rib_fracture",)).cohort
    for case, phantom in zip(labelled.cases, phantoms, strict=False):
        assert case.labels
        np.testing.assert_array_equal(read_volume(case.labels).array, phantom.structures.labels.array > 0)


def test_colonography_takes_the_longest_series_of_each_position(build_and_ingest: Callable[..., Ingestion]) -> None:
    cohort = build_and_ingest("ct-colonography").cohort
    assert [case.position for case in cohort.cases] == ["FFP", "HFS"]
    assert [case.geometry.shape[0] for case in cohort.cases] == [16, 20]
    assert cohort.patients == ("patient-001",)
    assert any("1 prone, 1 supine. Left out: 1 further series" in note for note in cohort.notes)


def test_covid_scans_are_ordered_by_day(build_and_ingest: Callable[..., Ingestion], phantoms: Phantoms) -> None:
    cohort = build_and_ingest("tcia-covid").cohort
    check_cases(
        cohort,
        {
            "volume-covid19-A-0001_f1": phantoms[0],
            "volume-covid19-A-0700_f1": phantoms[2],
            "volume-covid19-A-0700_f2": phantoms[1],
        },
    )
    assert list(cohort.fractions["volume-covid19-A-0700"]) == [1, 2]


@pytest.mark.parametrize("layout", ["nnunet", "decathlon"])
def test_further_channels_are_ingested(
    layout: str, build_and_ingest: Callable[..., Ingestion], phantoms: Phantoms
) -> None:
    cohort = build_and_ingest(layout).cohort
    assert cohort.channels == ("CT", "MR")
    assert cohort.structures == ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
    assert json.loads((cohort.folder / "dataset.json").read_text())["channel_names"] == {"0": "CT", "1": "MR"}
    for case, phantom in zip(cohort.cases, phantoms, strict=False):
        ct, mr = (read_volume(path) for path in case.images)
        np.testing.assert_array_equal(ct.array, phantom.scan.array)
        np.testing.assert_array_equal(mr.array, mr_of(phantom).array)
        assert case.labels
        np.testing.assert_array_equal(read_volume(case.labels).array, phantom.structures.labels.array)
        assert case.images[1].name == f"{case.id}_0001.nii.gz"


def test_mogambo_is_sorted_into_a_raw_dataset_of_mr(tmp_path: Path, phantoms: Phantoms) -> None:
    """As its page describes; the femoral heads share one label, and the archive has no target."""
    folder = tmp_path / "mogambo"
    labels = {"bladder": 1, "rectum": 2, "sigmoid": 3}
    for number, phantom in enumerate(phantoms[:2]):
        write_volume(mr_of(phantom), folder / "imagesTr" / f"case_{number}_0000.nii.gz")
        write_volume(with_labels(phantom, labels), folder / "labelsTr" / f"case_{number}.nii.gz")
    description = {
        "channel_names": {"0": "T2"},
        "labels": {"background": 0, "bladder": 1, "rectum": 2, "sigmoid": 3, "femoral_heads": 4},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    cohort = ingest(folder, tmp_path / "cohort", "nnunet", structures=tuple(labels)).cohort
    assert cohort.channels == ("T2",) and cohort.structures == tuple(labels)
    for case, phantom in zip(cohort.cases, phantoms, strict=False):
        assert case.labels
        np.testing.assert_array_equal(read_volume(case.labels).array, with_labels(phantom, labels).array)
        np.testing.assert_array_equal(read_volume(case.image).array, mr_of(phantom).array)


def test_our_own_cohort_keeps_its_patients(build_and_ingest: Callable[..., Ingestion], tmp_path: Path) -> None:
    cohort = build_and_ingest("dicom-rt").cohort
    again = ingest(cohort.folder, tmp_path / "again", "nnunet").cohort
    assert [(case.patient, case.fraction, case.id) for case in again.cases] == [
        (case.patient, case.fraction, case.id) for case in cohort.cases
    ]
    assert [case.sha256 for case in again.cases] == [case.sha256 for case in cohort.cases]
    assert again.synthetic


def test_several_cohorts_become_one(tmp_path: Path, phantoms: Phantoms) -> None:
    """Both have a patient-001, but these are different people."""
    for number, name in enumerate(("one", "other")):
        series(phantoms[number], tmp_path / name / "CT", f"P{number}", "", seed=number)
        ingest(tmp_path / name, tmp_path / "cohorts" / name, "scans")
    sources = [tmp_path / "cohorts" / name for name in ("one", "other")]
    cohort = ingest(sources, tmp_path / "all", "nnunet").cohort
    assert cohort.patients == ("one-patient-001", "other-patient-001")
    check_cases(cohort, {"one-patient-001_f1": phantoms[0], "other-patient-001_f1": phantoms[1]})
    nnunet(tmp_path / "labelled", phantoms)
    with pytest.raises(BadInput, match="other labels or channels"):
        ingest([*sources, tmp_path / "labelled"], tmp_path / "more", "nnunet")


def test_our_own_cohort_keeps_its_missing_structures(tmp_path: Path, phantoms: Phantoms) -> None:
    totalsegmentator(tmp_path / "ts", phantoms)
    (tmp_path / "ts" / "s0001" / "segmentations" / "colon.nii.gz").unlink()
    cohort = ingest(tmp_path / "ts", tmp_path / "cohort", "totalsegmentator").cohort
    again = ingest(cohort.folder, tmp_path / "again", "nnunet").cohort
    assert [case.missing for case in again.cases] == [case.missing for case in cohort.cases] == [(), ("colon",)]
    assert [case.volumes_cm3 for case in again.cases] == [case.volumes_cm3 for case in cohort.cases]


def move(path: Path, millimetres: float) -> None:
    """Give an image file another origin along z."""
    image = sitk.ReadImage(str(path))
    x, y, z = image.GetOrigin()
    image.SetOrigin((x, y, z + millimetres))
    sitk.WriteImage(image, str(path))


def test_labels_on_another_grid_are_a_mismatch_or_resampled(tmp_path: Path, phantoms: Phantoms) -> None:
    nnunet(tmp_path / "raw", phantoms)
    move(tmp_path / "raw" / "labelsTr" / "case_2.nii.gz", 12.0)  # a slice
    expected = dry_run(tmp_path / "raw", tmp_path / "cohort", "nnunet")
    done = ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet", leave_out_failing=True)
    for report in (expected.report, done.report):
        assert [problem.kind for problem in report.problems] == ["mismatch"]
        assert "up to 12 mm off" in report.problems[0].reason
    moved: dict[str, Any] = {"resample_labels": True}
    assert dry_run(tmp_path / "raw", tmp_path / "cohort", "nnunet", **moved).report.problems == ()
    cohort = ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet", **moved).cohort
    assert cohort.cases[1].notes == ("Resampled its label map onto the grid of the scan.",)
    assert cohort.cases[1].labels
    labels = read_volume(cohort.cases[1].labels).array
    np.testing.assert_array_equal(labels[1:], phantoms[1].structures.labels.array[:-1])
    assert not labels[0].any()


def test_labels_beyond_their_scan_cost_their_case_alone(tmp_path: Path, phantoms: Phantoms) -> None:
    nnunet(tmp_path / "raw", phantoms)
    move(tmp_path / "raw" / "labelsTr" / "case_2.nii.gz", 900.0)
    done = ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet", leave_out_failing=True, resample_labels=True)
    assert [case.id for case in done.cohort.cases] == ["case_1"]
    (problem,) = done.report.problems
    assert problem.kind == "mismatch"
    assert "case_2.nii.gz has no structure within the scan" in problem.reason


def test_a_header_cut_short_is_seen_in_a_dry_run(tmp_path: Path, phantoms: Phantoms) -> None:
    scans(tmp_path / "scans", phantoms)
    (tmp_path / "scans" / "a.nii.gz").write_bytes(b"no image")
    expected = dry_run(tmp_path / "scans", tmp_path / "cohort", "scans")
    assert [(problem.kind, Path(problem.path).name) for problem in expected.report.problems] == [
        ("unreadable", "a.nii.gz")
    ]
    assert [scan.id for scan in expected.scans] == ["b_f1"]


@pytest.mark.parametrize("layout", ["flare22", "ribfrac"])
def test_scans_without_their_labels_are_reported(
    layout: str, build_and_ingest: Callable[..., Ingestion], tmp_path: Path
) -> None:
    structure = {"flare22": "liver", "ribfrac": "rib_fracture"}[layout]
    name = {"flare22": "FLARE22_Tr_0001.nii.gz", "ribfrac": "RibFrac1-label.nii.gz"}[layout]
    build_and_ingest(layout)
    next((tmp_path / layout).rglob(name)).unlink()
    image = next((tmp_path / layout).rglob("*.nii.gz"))
    if layout == "flare22":  # another scan that has its labels
        extra = image.parents[1] / "FLARE22Train" / "images" / "FLARE22_Tr_0002_0000.nii.gz"
        write_volume(read_volume(image), extra)
        write_volume(
            Volume(np.ones((16, 24, 32), np.uint8), read_volume(image).geometry),
            extra.with_name("FLARE22_Tr_0002.nii.gz"),
        )
    done = build_and_ingest(layout, structures=(structure,), leave_out_failing=True)
    assert [problem.kind for problem in done.report.problems] == ["missing"]
    assert len(done.cohort.cases) == 1


def test_faults_of_a_decathlon_task(tmp_path: Path, phantoms: Phantoms) -> None:
    task = tmp_path / "task"
    decathlon(task, phantoms)
    write_volume(phantoms[0].scan, task / "imagesTr" / "pelvis_001.nii.gz")  # with one channel
    (task / "labelsTr" / "pelvis_002.nii.gz").unlink()
    with pytest.raises(BadInput, match=r"2 scans can't be taken"):
        ingest(task, tmp_path / "cohort", "decathlon", leave_out_failing=True)
    with pytest.raises(BadInput, match=r"2 scans can't be taken. The first .*pelvis_002.* Others: .*pelvis_001"):
        dry_run(task, tmp_path / "cohort", "decathlon")
    for files in ("labelsTr/pelvis_002.nii.gz", "labelsTr/pelvis_001.nii.gz"):
        write_volume(phantoms[1].structures.labels, task / files)
    for number in (1, 2):
        image = task / "imagesTr" / f"pelvis_00{number}.nii.gz"
        image.write_bytes(image.read_bytes()[:400])
    with pytest.raises(BadInput, match=r"can't be read as an image: .*; is it damaged"):
        ingest(task, tmp_path / "more", "decathlon", leave_out_failing=True)
    description = json.loads((task / "dataset.json").read_text())
    (task / "dataset.json").write_text(json.dumps(description | {"training": ["a"]}))
    with pytest.raises(BadInput, match="lists no training cases"):
        ingest(task, tmp_path / "cohort", "decathlon")


def test_an_impossible_file_name_only_affects_its_own_case(tmp_path: Path, phantoms: Phantoms) -> None:
    task = tmp_path / "task"
    decathlon(task, phantoms)
    description = json.loads((task / "dataset.json").read_text())
    impossible = {"image": f"./imagesTr/{'x' * 300}.nii.gz", "label": "./labelsTr/pelvis_001.nii.gz"}
    complete = len(description["training"])
    (task / "dataset.json").write_text(json.dumps(description | {"training": [impossible, *description["training"]]}))
    ingestion = ingest(task, tmp_path / "cohort", "decathlon", leave_out_failing=True)
    assert len(ingestion.cohort.cases) == complete
    (problem,) = ingestion.report.problems
    assert "doesn't exist" in problem.reason


def test_the_heart_of_version_2_is_composed_in_version_1(tmp_path: Path, phantoms: Phantoms) -> None:
    from gynbtnet.datasets.adapters.totalsegmentator import COMPOSED

    case, folder = phantoms[0], tmp_path / "v1" / "s0000"
    write_volume(case.scan, folder / "ct.nii.gz")
    for number, chamber in enumerate(COMPOSED["heart"]):
        mask = np.zeros(case.scan.array.shape, np.uint8)
        mask[number] = 1
        write_volume(Volume(mask, case.scan.geometry), folder / "segmentations" / f"{chamber}.nii.gz")
    (made,) = ingest(tmp_path / "v1", tmp_path / "c", "totalsegmentator", structures=("heart",)).cohort.cases
    assert made.labels
    labels = read_volume(made.labels).array
    assert (labels[:5] == 1).all()
    assert not labels[5:].any()
    assert made.unmapped == ()


def test_the_sacrum_of_version_1_is_composed_in_version_2(tmp_path: Path, phantoms: Phantoms) -> None:
    case, folder = phantoms[0], tmp_path / "v2" / "s0000"
    write_volume(case.scan, folder / "ct.nii.gz")
    for number, name in enumerate(("sacrum", "vertebrae_S1")):
        mask = np.zeros(case.scan.array.shape, np.uint8)
        mask[number] = 1
        write_volume(Volume(mask, case.scan.geometry), folder / "segmentations" / f"{name}.nii.gz")
    composed = ingest(tmp_path / "v2", tmp_path / "composed", "totalsegmentator", structures=("sacrum",)).cohort
    assert composed.cases[0].volumes_cm3["sacrum"] == pytest.approx(2 * 24 * 32 * 1.728, rel=1e-4)
    assert any("TotalSegmentator, version 2" in note for note in composed.notes)
    both = ingest(tmp_path / "v2", tmp_path / "both", "totalsegmentator").cohort
    assert both.cases[0].volumes_cm3["sacrum"] == pytest.approx(24 * 32 * 1.728, rel=1e-4)


def faulty(folder: Path, phantoms: Phantoms) -> None:
    """Write seven cases in nnU-Net's layout; two of them are complete."""
    folder.mkdir(parents=True)
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "bladder": 1}, "numTraining": 7}
    (folder / "dataset.json").write_text(json.dumps(description))
    for number in range(4):
        case = phantoms[number]
        write_volume(case.scan, folder / "imagesTr" / f"c{number}_0000.nii.gz")
        mask = (case.structures.labels.array == 2).astype(np.uint8)
        write_volume(Volume(mask, case.scan.geometry), folder / "labelsTr" / f"c{number}.nii.gz")
    write_volume(phantoms[0].scan, folder / "imagesTr" / "c4_0000.nii.gz")  # a copy of c0
    (folder / "labelsTr" / "c4.nii.gz").write_bytes((folder / "labelsTr" / "c0.nii.gz").read_bytes())
    content = (folder / "imagesTr" / "c2_0000.nii.gz").read_bytes()
    (folder / "imagesTr" / "c2_0000.nii.gz").write_bytes(content[: len(content) // 2])  # cut short
    write_volume(
        Volume(np.full((16, 24, 32), 9, np.uint8), phantoms[3].scan.geometry), folder / "labelsTr" / "c3.nii.gz"
    )
    write_volume(phantoms[3].structures.labels, folder / "labelsTr" / "c5.nii.gz")  # no image
    write_volume(Volume(phantoms[3].scan.array + 1, phantoms[3].scan.geometry), folder / "imagesTr" / "c6_0000.nii.gz")


@pytest.mark.parametrize("jobs", [1, 2])
def test_failing_scans_are_reported_and_do_not_stop_the_others(tmp_path: Path, phantoms: Phantoms, jobs: int) -> None:
    source, out = tmp_path / "raw", tmp_path / "cohort"
    faulty(source, phantoms)
    with pytest.raises(BadInput, match=r"^5 scans can't be taken. The first problem: The case c5 .*Others: .*c4_0000"):
        ingest(source, out, "nnunet", jobs=jobs)
    with pytest.raises(BadInput, match="interrupted"):
        Cohort.load(out)
    done = ingest(source, out, "nnunet", jobs=jobs, leave_out_failing=True)
    assert [case.id for case in Cohort.load(out).cases] == ["c0", "c1"]
    problems = {(problem.kind, Path(problem.path).name) for problem in done.report.problems}
    assert problems == {
        ("missing", "c5_0000.nii.gz"),
        ("missing", "c6.nii.gz"),
        ("unreadable", "c2_0000.nii.gz"),
        ("mismatch", "c3_0000.nii.gz"),
        ("duplicate", "c4_0000.nii.gz"),
    }
    assert sorted(path.name for path in (out / "imagesTr").iterdir()) == ["c0_0000.nii.gz", "c1_0000.nii.gz"]
    assert any("1 duplicate, 1 mismatch, 2 missing, 1 unreadable" in note for note in done.cohort.notes)
    expected = dry_run(source, tmp_path / "other", "nnunet")
    unknown = {("mismatch", "c3_0000.nii.gz")}  # a label without a name, which only the voxels show
    assert {(problem.kind, Path(problem.path).name) for problem in expected.report.problems} == problems - unknown


def test_a_repaired_case_is_taken_by_the_next_call(tmp_path: Path, phantoms: Phantoms) -> None:
    source, out = tmp_path / "raw", tmp_path / "cohort"
    faulty(source, phantoms)
    ingest(source, out, "nnunet", leave_out_failing=True)
    write_volume(phantoms[2].scan, source / "imagesTr" / "c2_0000.nii.gz")
    again = ingest(source, out, "nnunet", leave_out_failing=True)
    assert [case.id for case in again.cohort.cases] == ["c0", "c1", "c2"]


def test_a_damaged_file_affects_only_the_series_of_its_folder(
    tmp_path: Path, phantoms: Phantoms, build_and_ingest: Callable[..., Ingestion]
) -> None:
    hnscc(tmp_path / "hnscc", phantoms)
    path = next((tmp_path / "hnscc" / "HNSCC" / "HNSCC-01-0002").rglob("*.dcm"))
    path.write_bytes(path.read_bytes()[:300])
    done = build_and_ingest("hnscc", leave_out_failing=True)
    check_cases(done.cohort, {"patient-001_f1": phantoms[0]})
    assert [(problem.kind, Path(problem.path)) for problem in done.report.problems] == [("unreadable", path.parent)]


def test_a_damaged_file_among_scans_does_not_affect_others(tmp_path: Path, phantoms: Phantoms) -> None:
    scans(tmp_path / "scans", phantoms)
    series(phantoms[2], tmp_path / "scans" / "dicom", "P1", "", seed=1)
    path = next((tmp_path / "scans" / "dicom").iterdir())
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BadInput, match="damaged or cut short"):
        ingest(tmp_path / "scans", tmp_path / "cohort", "scans")
    done = ingest(tmp_path / "scans", tmp_path / "cohort", "scans", leave_out_failing=True)
    check_cases(done.cohort, {"a_f1": phantoms[0], "b_f1": phantoms[1]})
    assert [(problem.kind, Path(problem.path).name) for problem in done.report.problems] == [("unreadable", "dicom")]


def test_two_scans_with_the_same_voxels_are_refused(tmp_path: Path, phantoms: Phantoms) -> None:
    """One is DICOM and the other NIfTI, so no file is a copy of another."""
    series(phantoms[0], tmp_path / "scans" / "dicom", "P1", "", seed=1)
    write_volume(phantoms[0].scan, tmp_path / "scans" / "other.nii.gz")
    with pytest.raises(BadInput, match="same voxels"):
        ingest(tmp_path / "scans", tmp_path / "cohort", "scans")


def test_a_pseudonymised_report_names_no_path(tmp_path: Path, phantoms: Phantoms) -> None:
    from gynbtnet.datasets.patient_key import PatientKey

    faulty(tmp_path / "raw", phantoms)
    key = PatientKey.load(tmp_path / "key.csv", separate=True)
    ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet", key=key, leave_out_failing=True)
    for path in (tmp_path / "cohort").glob("*.json"):
        assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        ("tcia-covid", BLADDER, "doesn't use --structures"),
        ("hnscc", {"resample_labels": True}, "doesn't use --resample-labels"),
        ("dicom-rt", {}, "needs --structures"),
        ("nnunet", {"channels": ("CT",)}, "doesn't use --channels"),
    ],
)
def test_options_that_a_layout_does_not_use(tmp_path: Path, layout: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ingest(tmp_path, tmp_path / "cohort", layout, **options)


@pytest.mark.parametrize("layout", sorted(set(ADAPTERS) - {"dicom-rt"}))
def test_a_folder_of_another_layout_is_refused(tmp_path: Path, layout: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("nothing here")
    with pytest.raises(BadInput, match="expected"):
        ingest(tmp_path / "source", tmp_path / "cohort", layout, **(BLADDER if layout == "c3ro" else {}))
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"channel_names": {"0": "CT"}}',
        '{"channel_names": {"1": "CT"}, "labels": {"background": 0}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "whole": [1, "x"]}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "ignore": 2}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".png"}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "dataset": {"c": {"images": ["x"]}}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "dataset": {"c": {"images": [], "label": "y"}}}',  # noqa: E501
    ],
)
def test_an_unusable_dataset_json_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "dataset.json").write_text(content)
    with pytest.raises(BadInput, match=r"dataset\.json"):
        ingest(tmp_path / "raw", tmp_path / "cohort", "nnunet")


def test_cases_that_dataset_json_lists(tmp_path: Path, phantoms: Phantoms) -> None:
    raw = tmp_path / "raw"
    write_volume(phantoms[0].scan, raw / "anywhere" / "x.nrrd")
    write_volume(phantoms[0].structures.labels, raw / "labelled" / "y.nrrd")
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "hr_ctv": 1, "bladder": 2, "rectum": 3, "sigmoid": 4, "uterus": 5},
        "file_ending": ".nrrd",
        "dataset": {"one": {"images": ["anywhere/x.nrrd"], "label": "labelled/y.nrrd"}},
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    cohort = ingest(raw, tmp_path / "cohort", "nnunet", structures=("rectum", "bladder")).cohort
    check_cases(cohort, {"one": phantoms[0]})
    (case,) = cohort.cases
    assert case.labels
    labels, truth = read_volume(case.labels).array, phantoms[0].structures
    np.testing.assert_array_equal(labels == 1, truth.mask("rectum"))
    np.testing.assert_array_equal(labels == 2, truth.mask("bladder"))
    assert set(case.unmapped) == {"hr_ctv", "sigmoid", "uterus"}


def test_nnunet_itself_reads_our_cohort(build_and_ingest: Callable[..., Ingestion]) -> None:
    """Run nnU-Net's own integrity check if the extra is installed."""
    verify = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity", exc_type=ImportError)
    cohort = build_and_ingest("nnunet").cohort
    verify.verify_dataset_integrity(str(cohort.folder), num_processes=1)
