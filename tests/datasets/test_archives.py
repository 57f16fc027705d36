"""Each archive's layout in miniature, built of the phantom: what is taken, whose it is, and what is told of faults."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from gynbtnet.cli.cohort_commands import Layout
from gynbtnet.datasets.adapters import ct_colonography as colonography_adapter
from gynbtnet.datasets.adapters import flare22 as flare22_adapter
from gynbtnet.datasets.adapters import hnscc as hnscc_adapter
from gynbtnet.datasets.adapters import ribfrac as ribfrac_adapter
from gynbtnet.datasets.adapters import tcia_covid as covid_adapter
from gynbtnet.datasets.adapters.layouts import LAYOUTS, Choices, dry_run_layout, ingest_layout
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.ingest import Ingestion
from gynbtnet.datasets.ingestion.integrity import IntegrityReport
from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.files.volume_files import read_volume, to_sitk, write_volume
from gynbtnet.imaging.volume import Volume
from gynbtnet.phantom import PhantomCase
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import read_json

Phantoms = tuple[PhantomCase, ...]
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "archives.md"


def series(case: PhantomCase, folder: Path, patient: str, description: str, *, seed: int, position: str = "") -> None:
    """A CT series as the downloader of The Cancer Imaging Archive writes it."""
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
    described = {
        "channel_names": {"0": "CT", "1": "MR"},
        "labels": {"background": 0, "hr_ctv": 1, "bladder": 2, "rectum": 3, "sigmoid": 4, "uterus": 5},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(described))
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
    described = {
        "modality": {"0": "CT", "1": "MR"},
        "labels": {"0": "background", "1": "hr_ctv", "2": "bladder", "3": "rectum", "4": "sigmoid", "5": "uterus"},
        "training": listed,
        "test": ["./imagesTs/pelvis_003.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    for case, files in zip(phantoms, listed, strict=False):
        ct = to_sitk(Volume(case.scan.array.astype(np.float32), case.scan.geometry))
        sitk.WriteImage(sitk.JoinSeries([ct, to_sitk(mr_of(case))]), folder / files["image"])
        write_volume(case.structures.labels, folder / files["label"])
    (folder / "imagesTr" / "._pelvis_001.nii.gz").write_text("what a Mac leaves in an archive")


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
}
BLADDER = Choices(structures=("bladder",))
CHOICES = {"dicom-rt": BLADDER}


def test_every_layout_is_built_here_and_told_in_the_docs() -> None:
    assert set(BUILD) == set(LAYOUTS)
    page = DOCS.read_text()
    for name in LAYOUTS:
        assert f"`{name}`" in page
    assert [layout.value for layout in Layout] == list(LAYOUTS)
    for archive in (flare22_adapter, hnscc_adapter, ribfrac_adapter, colonography_adapter, covid_adapter):
        assert archive.ARCHIVE.source in page
        assert f"{archive.ARCHIVE.scans:,}" in page


@pytest.fixture
def ingest(tmp_path: Path, phantoms: Phantoms) -> Callable[..., Ingestion]:
    def run(layout: str, choices: Choices | None = None, **options: object) -> Ingestion:
        if not (tmp_path / layout).exists():
            BUILD[layout](tmp_path / layout, phantoms)
        choices = choices or CHOICES.get(layout)
        return ingest_layout(layout, tmp_path / layout, tmp_path / "cohort", choices, **options)  # type: ignore[arg-type]

    return run


def voxels(cohort: Cohort) -> dict[str, np.ndarray]:
    return {case.id: read_volume(case.image).array for case in cohort.cases}


def same(cohort: Cohort, expected: dict[str, PhantomCase]) -> None:
    """The cohort has these cases with these voxels and no others."""
    got = voxels(cohort)
    assert sorted(got) == sorted(expected)
    for name, case in expected.items():
        np.testing.assert_array_equal(got[name], case.scan.array)


@pytest.mark.parametrize("layout", sorted(BUILD))
def test_a_dry_run_writes_nothing_and_foretells_the_cohort(
    layout: str, tmp_path: Path, phantoms: Phantoms, ingest: Callable[..., Ingestion]
) -> None:
    BUILD[layout](tmp_path / layout, phantoms)
    before = sorted(tmp_path.rglob("*"))
    seen = dry_run_layout(layout, tmp_path / layout, tmp_path / "cohort", CHOICES.get(layout))
    assert sorted(tmp_path.rglob("*")) == before
    done = ingest(layout)
    assert [one.id for one in seen.scans] == [case.id for case in done.cohort.cases]
    assert seen.report == done.report
    assert read_json(IntegrityReport, tmp_path / "cohort" / "integrity.json", "") == done.report
    assert Cohort.load(tmp_path / "cohort") == done.cohort


def test_processes_side_by_side_make_the_same_cohort(ingest: Callable[..., Ingestion], tmp_path: Path) -> None:
    done = ingest("totalsegmentator", jobs=2).cohort
    alone = ingest_layout("totalsegmentator", tmp_path / "totalsegmentator", tmp_path / "alone", jobs=1).cohort
    assert [case.relative_to(done.folder) for case in done.cases] == [
        case.relative_to(alone.folder) for case in alone.cases
    ]
    before = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*.nii.gz")}
    ingest("totalsegmentator", jobs=2)  # a second call keeps what stands
    assert {path: path.stat().st_mtime_ns for path in done.folder.rglob("*.nii.gz")} == before


def test_flare22_without_and_with_its_organs(ingest: Callable[..., Ingestion], phantoms: Phantoms) -> None:
    done = ingest("flare22")
    same(done.cohort, {"Case-00001_f1": phantoms[0], "Case-00002_f1": phantoms[1]})
    assert done.report.expected == 2000
    assert "The paper took 2000 scans from this archive; here are 2." in done.cohort.notes
    drawn = ingest("flare22", Choices(structures=("kidney_left", "liver")))
    same(drawn.cohort, {"FLARE22-Tr-0001_f1": phantoms[2]})
    (case,) = drawn.cohort.cases
    assert case.labels
    np.testing.assert_array_equal(read_volume(case.labels).array, phantoms[2].structures.labels.array == 2)
    assert case.volumes_cm3["kidney_left"] == pytest.approx(phantoms[2].structures.volume_cm3("bladder"), abs=1e-3)
    with pytest.raises(BadInput, match="FLARE22 has no tail"):
        ingest("flare22", Choices(structures=("tail",)))


def test_hnscc_leaves_out_short_series(ingest: Callable[..., Ingestion], phantoms: Phantoms) -> None:
    done = ingest("hnscc")
    same(done.cohort, {"patient-001_f1": phantoms[0], "patient-002_f1": phantoms[1]})
    assert "1 CT series that are short or not axial were left out." in done.cohort.notes
    assert done.report.expected == 1287


def test_hnscc_layout_on_real_scans(data: Path, tmp_path: Path) -> None:
    """Two real patients of other archives, laid out as HNSCC is; the voxels by an independent reader."""
    for number, folder in enumerate(("acrin_flt_breast_001", "crlm_ct_1006"), start=1):
        study = tmp_path / "HNSCC" / f"HNSCC-01-{number:04d}" / "study"
        study.mkdir(parents=True)
        (study / "1.000000-CT").symlink_to(data / folder / "CT")
    cohort = ingest_layout("hnscc", tmp_path / "HNSCC", tmp_path / "cohort", jobs=2).cohort
    assert [case.geometry.shape for case in cohort.cases] == [(99, 512, 512), (51, 512, 512)]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(data / "crlm_ct_1006" / "CT")))
    published = sitk.GetArrayFromImage(reader.Execute())
    ours = read_volume(cohort.cases[1].image).array
    inside = published > -1024
    np.testing.assert_array_equal(ours[inside], published[inside])


def test_ribfrac_takes_500_and_makes_fractures_one_structure(
    ingest: Callable[..., Ingestion], phantoms: Phantoms
) -> None:
    done = ingest("ribfrac")
    same(done.cohort, {"RibFrac1_f1": phantoms[0], "RibFrac421_f1": phantoms[1]})
    assert "1 scans without contours, above number 500, were left out." in done.cohort.notes
    drawn = ingest("ribfrac", Choices(structures=("rib_fracture",))).cohort
    for case, phantom in zip(drawn.cases, phantoms, strict=False):
        assert case.labels
        np.testing.assert_array_equal(read_volume(case.labels).array, phantom.structures.labels.array > 0)


def test_colonography_takes_the_longest_series_of_each_position(ingest: Callable[..., Ingestion]) -> None:
    cohort = ingest("ct-colonography").cohort
    assert [case.position for case in cohort.cases] == ["FFP", "HFS"]
    assert [case.geometry.shape[0] for case in cohort.cases] == [16, 20]
    assert cohort.patients == ("patient-001",)
    assert any("1 prone, 1 supine; 1 further series" in note for note in cohort.notes)


def test_covid_scans_are_ordered_by_day(ingest: Callable[..., Ingestion], phantoms: Phantoms) -> None:
    cohort = ingest("tcia-covid").cohort
    same(
        cohort,
        {
            "volume-covid19-A-0001_f1": phantoms[0],
            "volume-covid19-A-0700_f1": phantoms[2],
            "volume-covid19-A-0700_f2": phantoms[1],
        },
    )
    assert list(cohort.fractions["volume-covid19-A-0700"]) == [1, 2]


@pytest.mark.parametrize("layout", ["nnunet", "decathlon"])
def test_channels_come_along(layout: str, ingest: Callable[..., Ingestion], phantoms: Phantoms) -> None:
    cohort = ingest(layout).cohort
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


def test_a_cohort_of_ours_keeps_its_patients(ingest: Callable[..., Ingestion], tmp_path: Path) -> None:
    cohort = ingest("dicom-rt").cohort
    again = ingest_layout("nnunet", cohort.folder, tmp_path / "again").cohort
    assert [(case.patient, case.fraction, case.id) for case in again.cases] == [
        (case.patient, case.fraction, case.id) for case in cohort.cases
    ]
    assert [case.sha256 for case in again.cases] == [case.sha256 for case in cohort.cases]
    assert again.synthetic


def test_several_cohorts_become_one(tmp_path: Path, phantoms: Phantoms) -> None:
    """Both have a patient-001, who are two people."""
    for number, name in enumerate(("one", "other")):
        series(phantoms[number], tmp_path / name / "CT", f"P{number}", "", seed=number)
        ingest_layout("scans", tmp_path / name, tmp_path / "cohorts" / name)
    sources = [tmp_path / "cohorts" / name for name in ("one", "other")]
    cohort = ingest_layout("nnunet", sources, tmp_path / "all").cohort
    assert cohort.patients == ("one-patient-001", "other-patient-001")
    same(cohort, {"one-patient-001_f1": phantoms[0], "other-patient-001_f1": phantoms[1]})
    nnunet(tmp_path / "drawn", phantoms)
    with pytest.raises(BadInput, match="other labels or channels"):
        ingest_layout("nnunet", [*sources, tmp_path / "drawn"], tmp_path / "more")


def test_a_cohort_of_ours_keeps_what_its_cases_lack(tmp_path: Path, phantoms: Phantoms) -> None:
    totalsegmentator(tmp_path / "ts", phantoms)
    (tmp_path / "ts" / "s0001" / "segmentations" / "colon.nii.gz").unlink()
    cohort = ingest_layout("totalsegmentator", tmp_path / "ts", tmp_path / "cohort").cohort
    again = ingest_layout("nnunet", cohort.folder, tmp_path / "again").cohort
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
    seen = dry_run_layout("nnunet", tmp_path / "raw", tmp_path / "cohort")
    done = ingest_layout("nnunet", tmp_path / "raw", tmp_path / "cohort", leave_out_failing=True)
    for report in (seen.report, done.report):
        assert [one.kind for one in report.problems] == ["mismatch"]
        assert "up to 12 mm off" in report.problems[0].reason
    moved = Choices(resample_labels=True)
    assert dry_run_layout("nnunet", tmp_path / "raw", tmp_path / "cohort", moved).report.problems == ()
    cohort = ingest_layout("nnunet", tmp_path / "raw", tmp_path / "cohort", moved).cohort
    assert cohort.cases[1].notes == ("Resampled its label map onto the grid of the scan.",)
    assert cohort.cases[1].labels
    labels = read_volume(cohort.cases[1].labels).array
    np.testing.assert_array_equal(labels[1:], phantoms[1].structures.labels.array[:-1])
    assert not labels[0].any()


def test_a_header_cut_short_is_seen_in_a_dry_run(tmp_path: Path, phantoms: Phantoms) -> None:
    scans(tmp_path / "scans", phantoms)
    (tmp_path / "scans" / "a.nii.gz").write_bytes(b"no image")
    seen = dry_run_layout("scans", tmp_path / "scans", tmp_path / "cohort")
    assert [(one.kind, Path(one.place).name) for one in seen.report.problems] == [("unreadable", "a.nii.gz")]
    assert [one.id for one in seen.scans] == ["b_f1"]


@pytest.mark.parametrize("layout", ["flare22", "ribfrac"])
def test_scans_without_their_labels_are_told(layout: str, ingest: Callable[..., Ingestion], tmp_path: Path) -> None:
    structure = {"flare22": "liver", "ribfrac": "rib_fracture"}[layout]
    name = {"flare22": "FLARE22_Tr_0001.nii.gz", "ribfrac": "RibFrac1-label.nii.gz"}[layout]
    ingest(layout)
    next((tmp_path / layout).rglob(name)).unlink()
    image = next((tmp_path / layout).rglob("*.nii.gz"))
    if layout == "flare22":  # another scan that has its labels
        extra = image.parents[1] / "FLARE22Train" / "images" / "FLARE22_Tr_0002_0000.nii.gz"
        write_volume(read_volume(image), extra)
        write_volume(
            Volume(np.ones((16, 24, 32), np.uint8), read_volume(image).geometry),
            extra.with_name("FLARE22_Tr_0002.nii.gz"),
        )
    done = ingest(layout, Choices(structures=(structure,)), leave_out_failing=True)
    assert [one.kind for one in done.report.problems] == ["missing"]
    assert len(done.cohort.cases) == 1


def test_faults_of_a_decathlon_task(tmp_path: Path, phantoms: Phantoms) -> None:
    task = tmp_path / "task"
    decathlon(task, phantoms)
    write_volume(phantoms[0].scan, task / "imagesTr" / "pelvis_001.nii.gz")  # of one channel
    (task / "labelsTr" / "pelvis_002.nii.gz").unlink()
    with pytest.raises(BadInput, match=r"2 scans can't be taken"):
        ingest_layout("decathlon", task, tmp_path / "cohort", leave_out_failing=True)
    with pytest.raises(BadInput, match=r"2 scans can't be taken, the first .*pelvis_002.* Others: .*pelvis_001"):
        dry_run_layout("decathlon", task, tmp_path / "cohort")
    for files in ("labelsTr/pelvis_002.nii.gz", "labelsTr/pelvis_001.nii.gz"):
        write_volume(phantoms[1].structures.labels, task / files)
    for number in (1, 2):
        image = task / "imagesTr" / f"pelvis_00{number}.nii.gz"
        image.write_bytes(image.read_bytes()[:400])
    with pytest.raises(BadInput, match=r"can't be read as an image: .*; is it damaged"):
        ingest_layout("decathlon", task, tmp_path / "more", leave_out_failing=True)
    described = json.loads((task / "dataset.json").read_text())
    (task / "dataset.json").write_text(json.dumps(described | {"training": ["a"]}))
    with pytest.raises(BadInput, match="lists no training cases"):
        ingest_layout("decathlon", task, tmp_path / "cohort")


def test_a_name_that_no_file_can_have_costs_its_own_case(tmp_path: Path, phantoms: Phantoms) -> None:
    task = tmp_path / "task"
    decathlon(task, phantoms)
    described = json.loads((task / "dataset.json").read_text())
    odd = {"image": f"./imagesTr/{'x' * 300}.nii.gz", "label": "./labelsTr/pelvis_001.nii.gz"}
    whole = len(described["training"])
    (task / "dataset.json").write_text(json.dumps(described | {"training": [odd, *described["training"]]}))
    ingestion = ingest_layout("decathlon", task, tmp_path / "cohort", leave_out_failing=True)
    assert len(ingestion.cohort.cases) == whole
    (problem,) = ingestion.report.problems
    assert "is not there" in problem.reason


def test_the_heart_of_version_2_is_made_of_version_1s(tmp_path: Path, phantoms: Phantoms) -> None:
    from gynbtnet.datasets.adapters.totalsegmentator import COMPOSED

    case, folder = phantoms[0], tmp_path / "v1" / "s0000"
    write_volume(case.scan, folder / "ct.nii.gz")
    for number, chamber in enumerate(COMPOSED["heart"]):
        mask = np.zeros(case.scan.array.shape, np.uint8)
        mask[number] = 1
        write_volume(Volume(mask, case.scan.geometry), folder / "segmentations" / f"{chamber}.nii.gz")
    (made,) = ingest_layout(
        "totalsegmentator", tmp_path / "v1", tmp_path / "c", Choices(structures=("heart",))
    ).cohort.cases
    assert made.labels
    labels = read_volume(made.labels).array
    assert (labels[:5] == 1).all()
    assert not labels[5:].any()
    assert made.unmapped == ()


def test_the_sacrum_of_version_1_is_made_of_version_2s(tmp_path: Path, phantoms: Phantoms) -> None:
    case, folder = phantoms[0], tmp_path / "v2" / "s0000"
    write_volume(case.scan, folder / "ct.nii.gz")
    for number, name in enumerate(("sacrum", "vertebrae_S1")):
        mask = np.zeros(case.scan.array.shape, np.uint8)
        mask[number] = 1
        write_volume(Volume(mask, case.scan.geometry), folder / "segmentations" / f"{name}.nii.gz")
    one = ingest_layout("totalsegmentator", tmp_path / "v2", tmp_path / "one", Choices(structures=("sacrum",))).cohort
    assert one.cases[0].volumes_cm3["sacrum"] == pytest.approx(2 * 24 * 32 * 1.728, rel=1e-4)
    assert any("TotalSegmentator, version 2" in note for note in one.notes)
    both = ingest_layout("totalsegmentator", tmp_path / "v2", tmp_path / "both").cohort
    assert both.cases[0].volumes_cm3["sacrum"] == pytest.approx(24 * 32 * 1.728, rel=1e-4)


def faulty(folder: Path, phantoms: Phantoms) -> None:
    """Seven cases in nnU-Net's form, of which two are whole."""
    folder.mkdir(parents=True)
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "bladder": 1}, "numTraining": 7}
    (folder / "dataset.json").write_text(json.dumps(described))
    for number in range(4):
        case = phantoms[number]
        write_volume(case.scan, folder / "imagesTr" / f"c{number}_0000.nii.gz")
        mask = (case.structures.labels.array == 2).astype(np.uint8)
        write_volume(Volume(mask, case.scan.geometry), folder / "labelsTr" / f"c{number}.nii.gz")
    write_volume(phantoms[0].scan, folder / "imagesTr" / "c4_0000.nii.gz")  # a copy of c0
    (folder / "labelsTr" / "c4.nii.gz").write_bytes((folder / "labelsTr" / "c0.nii.gz").read_bytes())
    whole = (folder / "imagesTr" / "c2_0000.nii.gz").read_bytes()
    (folder / "imagesTr" / "c2_0000.nii.gz").write_bytes(whole[: len(whole) // 2])  # cut short
    write_volume(
        Volume(np.full((16, 24, 32), 9, np.uint8), phantoms[3].scan.geometry), folder / "labelsTr" / "c3.nii.gz"
    )
    write_volume(phantoms[3].structures.labels, folder / "labelsTr" / "c5.nii.gz")  # no image
    write_volume(Volume(phantoms[3].scan.array + 1, phantoms[3].scan.geometry), folder / "imagesTr" / "c6_0000.nii.gz")


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_fails_is_told_and_stops_nothing_else(tmp_path: Path, phantoms: Phantoms, jobs: int) -> None:
    source, out = tmp_path / "raw", tmp_path / "cohort"
    faulty(source, phantoms)
    with pytest.raises(BadInput, match=r"^5 scans can't be taken, the first for this: The case c5 .*Others: .*c4_0000"):
        ingest_layout("nnunet", source, out, jobs=jobs)
    with pytest.raises(BadInput, match="interrupted"):
        Cohort.load(out)
    done = ingest_layout("nnunet", source, out, jobs=jobs, leave_out_failing=True)
    assert [case.id for case in Cohort.load(out).cases] == ["c0_f1", "c1_f1"]
    told = {(one.kind, Path(one.place).name) for one in done.report.problems}
    assert told == {
        ("missing", "c5_0000.nii.gz"),
        ("missing", "c6.nii.gz"),
        ("unreadable", "c2_0000.nii.gz"),
        ("mismatch", "c3_0000.nii.gz"),
        ("duplicate", "c4_0000.nii.gz"),
    }
    assert sorted(path.name for path in (out / "imagesTr").iterdir()) == ["c0_f1_0000.nii.gz", "c1_f1_0000.nii.gz"]
    assert any("1 duplicate, 1 mismatch, 2 missing, 1 unreadable" in note for note in done.cohort.notes)
    seen = dry_run_layout("nnunet", source, tmp_path / "other")
    unknown = {("mismatch", "c3_0000.nii.gz")}  # a label without a name, which only the voxels show
    assert {(one.kind, Path(one.place).name) for one in seen.report.problems} == told - unknown


def test_a_mended_fault_is_taken_by_the_next_call(tmp_path: Path, phantoms: Phantoms) -> None:
    source, out = tmp_path / "raw", tmp_path / "cohort"
    faulty(source, phantoms)
    ingest_layout("nnunet", source, out, leave_out_failing=True)
    write_volume(phantoms[2].scan, source / "imagesTr" / "c2_0000.nii.gz")
    again = ingest_layout("nnunet", source, out, leave_out_failing=True)
    assert [case.id for case in again.cohort.cases] == ["c0_f1", "c1_f1", "c2_f1"]


def test_a_damaged_file_spoils_the_series_of_its_folder_only(
    tmp_path: Path, phantoms: Phantoms, ingest: Callable[..., Ingestion]
) -> None:
    hnscc(tmp_path / "hnscc", phantoms)
    path = next((tmp_path / "hnscc" / "HNSCC" / "HNSCC-01-0002").rglob("*.dcm"))
    path.write_bytes(path.read_bytes()[:300])
    done = ingest("hnscc", leave_out_failing=True)
    same(done.cohort, {"patient-001_f1": phantoms[0]})
    assert [(one.kind, Path(one.place)) for one in done.report.problems] == [("unreadable", path.parent)]


def test_a_damaged_file_among_scans_stops_no_other(tmp_path: Path, phantoms: Phantoms) -> None:
    scans(tmp_path / "scans", phantoms)
    series(phantoms[2], tmp_path / "scans" / "dicom", "P1", "", seed=1)
    path = next((tmp_path / "scans" / "dicom").iterdir())
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BadInput, match="damaged or cut short"):
        ingest_layout("scans", tmp_path / "scans", tmp_path / "cohort")
    done = ingest_layout("scans", tmp_path / "scans", tmp_path / "cohort", leave_out_failing=True)
    same(done.cohort, {"a_f1": phantoms[0], "b_f1": phantoms[1]})
    assert [(one.kind, Path(one.place).name) for one in done.report.problems] == [("unreadable", "dicom")]


def test_two_scans_of_the_same_voxels_are_one(tmp_path: Path, phantoms: Phantoms) -> None:
    """Also where one is DICOM and the other NIfTI, so that no file is a copy of another."""
    series(phantoms[0], tmp_path / "scans" / "dicom", "P1", "", seed=1)
    write_volume(phantoms[0].scan, tmp_path / "scans" / "other.nii.gz")
    with pytest.raises(BadInput, match="same voxels"):
        ingest_layout("scans", tmp_path / "scans", tmp_path / "cohort")


def test_a_pseudonymised_report_names_no_place(tmp_path: Path, phantoms: Phantoms) -> None:
    from gynbtnet.datasets.patient_key import PatientKey

    faulty(tmp_path / "raw", phantoms)
    key = PatientKey.load(tmp_path / "key.csv", apart=True)
    ingest_layout("nnunet", tmp_path / "raw", tmp_path / "cohort", key=key, leave_out_failing=True)
    for path in (tmp_path / "cohort").glob("*.json"):
        assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    ("layout", "choices", "words"),
    [
        ("tcia-covid", BLADDER, "no use for --structures"),
        ("hnscc", Choices(resample_labels=True), "no use for --resample-labels"),
        ("dicom-rt", Choices(), "needs --structures"),
        ("nnunet", Choices(channels=("CT",)), "no use for --channels"),
    ],
)
def test_choices_that_a_layout_does_not_take(tmp_path: Path, layout: str, choices: Choices, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        ingest_layout(layout, tmp_path, tmp_path / "cohort", choices)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"dicom-rt"}))
def test_a_folder_of_another_layout_is_told(tmp_path: Path, layout: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("nothing here")
    with pytest.raises(BadInput, match="expected"):
        ingest_layout(layout, tmp_path / "source", tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"channel_names": {"0": "CT"}}',
        '{"channel_names": {"1": "CT"}, "labels": {"background": 0}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "whole": [1, 2]}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "ignore": 2}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".png"}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "dataset": {"c": {"images": ["x"]}}}',
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "dataset": {"c": {"images": [], "label": "y"}}}',  # noqa: E501
    ],
)
def test_a_dataset_json_that_cannot_be_used_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "dataset.json").write_text(content)
    with pytest.raises(BadInput, match=r"dataset\.json"):
        ingest_layout("nnunet", tmp_path / "raw", tmp_path / "cohort")


def test_cases_that_dataset_json_lists(tmp_path: Path, phantoms: Phantoms) -> None:
    raw = tmp_path / "raw"
    write_volume(phantoms[0].scan, raw / "anywhere" / "x.nrrd")
    write_volume(phantoms[0].structures.labels, raw / "drawn" / "y.nrrd")
    described = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "hr_ctv": 1, "bladder": 2, "rectum": 3, "sigmoid": 4, "uterus": 5},
        "file_ending": ".nrrd",
        "dataset": {"one": {"images": ["anywhere/x.nrrd"], "label": "drawn/y.nrrd"}},
    }
    (raw / "dataset.json").write_text(json.dumps(described))
    cohort = ingest_layout("nnunet", raw, tmp_path / "cohort", Choices(structures=("rectum", "bladder"))).cohort
    same(cohort, {"one_f1": phantoms[0]})
    (case,) = cohort.cases
    assert case.labels
    labels, truth = read_volume(case.labels).array, phantoms[0].structures
    np.testing.assert_array_equal(labels == 1, truth.mask("rectum"))
    np.testing.assert_array_equal(labels == 2, truth.mask("bladder"))
    assert set(case.unmapped) == {"hr_ctv", "sigmoid", "uterus"}


def test_nnunet_itself_reads_our_cohort(ingest: Callable[..., Ingestion]) -> None:
    """Its own integrity check, where the extra is installed."""
    verify = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity", exc_type=ImportError)
    cohort = ingest("nnunet").cohort
    verify.verify_dataset_integrity(str(cohort.folder), num_processes=1)
