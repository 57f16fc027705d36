"""Only reviewed fractions of the same patient that are earlier than the scan are taken, by date."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from gynbtnet.adaptation import EarlierFraction, read_earlier_fractions
from gynbtnet.imaging import CTSeries, Geometry, Segmentation, Volume, read_ct_series, write_ct_series, write_volume
from gynbtnet.runtime import BadInput, sha256_of

GEOMETRY = Geometry((6, 12, 12), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
PATIENT = "DOE-19470911"


def write_scan(folder: Path, date: str, patient: str = PATIENT) -> CTSeries:
    """Write a CT series of a day."""
    hu = np.random.default_rng(0).normal(0, 20, GEOMETRY.shape)
    texts = {"study_description": "SYNTHETIC", "series_description": "SYNTHETIC"}
    write_ct_series(Volume(hu, GEOMETRY), folder, patient_id=patient, seed=int(date or 0), **texts)
    for path in folder.iterdir():
        slice_ = pydicom.dcmread(path)
        slice_.StudyDate = date
        slice_.save_as(path)
    return read_ct_series(folder)


def write_reviewed(folder: Path, date: str, patient: str = PATIENT, status: str = "accepted edited") -> Path:
    """Write a scan, its prediction and a review in which the bladder has a status and the rectum isn't reviewed."""
    series = write_scan(folder / "scan", date, patient)
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[2:4, 3:8, 3:8], labels[1:3, 9:11, 3:8] = 1, 2
    drawn = Segmentation(Volume(labels, GEOMETRY), ("bladder", "rectum"))
    prediction, review = folder / "prediction", folder / "prediction" / "review" / "001"
    digest = sha256_of(*series.files)
    for out in (prediction, review):
        write_volume(drawn.labels, out / "labels.nii.gz")
    model = {"name": "model", "weights": "last", "sha256": "ab" * 32, "files": {}, "rules": ""}
    manifest = {
        "model": model,
        "input": {"kind": "DICOM", "series_uid": series.series_uid, "sha256": digest},
        "scan": {"path": str(folder / "scan"), "channels": [], "repairs": {}},
        "structures": ["bladder", "rectum"],
        "synthetic": True,
        "settings": {},
        "flags": [],
        "predicted_dsc": {},
    }
    (prediction / "prediction.json").write_text(json.dumps(manifest))
    structure = {"algorithm": "SEMIAUTOMATIC", "viewed_share": 1, "active_seconds": 3, "correction": None}
    record = {
        "schema": 1,
        "time": "2026-01-01T00:00:00+00:00",
        "version": "0",
        "synthetic": True,
        "model_sha256": model["sha256"],
        "scan_sha256": digest,
        "series_uid": series.series_uid,
        "approved_by": None,
        "active_seconds": 3,
        "structures": {
            "bladder": structure | {"status": status},
            "rectum": structure | {"status": "not reviewed", "algorithm": "AUTOMATIC"},
        },
    }
    (review / "review.json").write_text(json.dumps(record))
    return review


def read(scan: CTSeries, *reviews: Path) -> tuple[EarlierFraction, ...]:
    return read_earlier_fractions(reviews, scan, ("bladder", "rectum"))


def test_accepted_contours_are_read_in_the_order_of_the_dates(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", "20260120")
    later = write_reviewed(tmp_path / "a", "20260113")
    earlier = write_reviewed(tmp_path / "b", "20260106")
    fractions = read(scan, later, earlier)
    digests = [json.loads((path / "review.json").read_text())["scan_sha256"] for path in (earlier, later)]
    assert [fraction.sha256 for fraction in fractions] == digests
    first = fractions[0]
    assert first.missing == ("rectum",) and not first.contours.mask("rectum").any()
    assert first.contours.mask("bladder").sum() == 50
    assert first.volumes[0].geometry.is_same(GEOMETRY)
    with pytest.raises(BadInput, match="given twice"):
        read(scan, later, later)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"patient": "OTHER-1"}, "has another PatientID than the scan to predict"),
        ({"patient": ""}, "has another PatientID than the scan to predict, or none"),
        ({"date": "20260121"}, "is not earlier than the scan"),
        ({"date": "20260120"}, "is not earlier than the scan"),
        ({"date": ""}, "has no date"),
        ({"status": "edited"}, "Nobody accepted a contour"),
        ({"status": "not reviewed"}, "Nobody accepted a contour"),
    ],
)
def test_other_fractions_are_refused(tmp_path: Path, changed: dict[str, str], words: str) -> None:
    scan = write_scan(tmp_path / "scan", "20260120")
    review = write_reviewed(tmp_path / "a", **{"date": "20260113", **changed})
    with pytest.raises(BadInput, match=words) as caught:
        read(scan, review)
    assert PATIENT not in str(caught.value) and "OTHER" not in str(caught.value)


EMPTY = {"StudyDate": "", "StudyTime": "", "SeriesDate": "", "SeriesTime": ""}


def set_dates(folder: Path, **dates: str) -> None:
    """Write dates and times into the slices of a scan; those that aren't given are empty."""
    for path in folder.iterdir():
        slice_ = pydicom.dcmread(path)
        for keyword, value in (EMPTY | dates).items():
            setattr(slice_, keyword, value)
        slice_.save_as(path)


@pytest.mark.parametrize(
    ("earlier", "scan", "is_earlier"),
    [
        ({"StudyDate": "20260113"}, {"StudyDate": "20260120"}, True),
        ({"SeriesDate": "20260125"}, {"StudyDate": "20260120", "SeriesDate": "20260120"}, False),
        ({"SeriesDate": "20260113"}, {"StudyDate": "20260120", "SeriesDate": "20260120"}, True),
        ({"SeriesDate": "20260113"}, {"StudyDate": "20260120"}, False),
        ({"StudyDate": "20260120"}, {"StudyDate": "20260120", "StudyTime": "1200"}, False),
        ({"StudyDate": "20260120", "StudyTime": "0900"}, {"StudyDate": "20260120", "StudyTime": "1200"}, True),
        ({"StudyDate": "20260120", "StudyTime": "120000"}, {"StudyDate": "20260120", "StudyTime": "120000.00"}, False),
        ({"SeriesDate": "20260120", "StudyTime": "0900"}, {"StudyDate": "20260110", "StudyTime": "1200"}, False),
    ],
)
def test_an_absent_date_or_time_is_not_the_earliest(
    tmp_path: Path, earlier: dict[str, str], scan: dict[str, str], is_earlier: bool
) -> None:
    write_scan(tmp_path / "scan", "20260120")
    set_dates(tmp_path / "scan", **scan)
    series = read_ct_series(tmp_path / "scan")
    review = write_reviewed(tmp_path / "a", "20260113")
    set_dates(tmp_path / "a" / "scan", **earlier)
    digest = sha256_of(*read_ct_series(tmp_path / "a" / "scan").files)
    before = json.loads((review / "review.json").read_text())["scan_sha256"]
    for path in (review / "review.json", review.parent.parent / "prediction.json"):
        path.write_text(path.read_text().replace(before, digest))
    if is_earlier:
        assert len(read(series, review)) == 1
    else:
        with pytest.raises(BadInput, match="is not earlier than the scan"):
            read(series, review)


def test_the_scan_itself_and_a_scan_given_twice_are_found_by_their_series(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", "20260120")
    review = write_reviewed(tmp_path / "a", "20260113")
    uid = json.loads((review / "review.json").read_text())["series_uid"]
    with pytest.raises(BadInput, match="is the scan to predict itself"):
        read(replace(scan, series_uid=uid), review)
    shutil.copytree(review, review.with_name("002"))
    with pytest.raises(BadInput, match="given twice"):
        read(scan, review, review.with_name("002"))


def test_a_review_of_other_structures_or_without_its_scan_is_refused(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", "20260120")
    review = write_reviewed(tmp_path / "a", "20260113")
    with pytest.raises(BadInput, match="are of bladder, and the model segments only sigmoid; leave"):
        read_earlier_fractions([review], scan, ("sigmoid",))
    shutil.rmtree(tmp_path / "a" / "scan")
    with pytest.raises(BadInput, match="is no longer at the path where it was predicted; restore it"):
        read(scan, review)


@pytest.mark.parametrize(
    ("label", "origin", "words"),
    [(9, 0.0, "label 9 has no name among 2 structures; write the review"), (1, 9.0, "aren't on the grid of the scan")],
)
def test_contours_that_do_not_belong_to_the_scan_are_refused(
    tmp_path: Path, label: int, origin: float, words: str
) -> None:
    scan = write_scan(tmp_path / "scan", "20260120")
    review = write_reviewed(tmp_path / "a", "20260113")
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[2:4, 3:8, 3:8] = label
    grid = Geometry(GEOMETRY.shape, GEOMETRY.spacing, (origin, 0.0, 0.0))
    write_volume(Volume(labels, grid), review / "labels.nii.gz")
    with pytest.raises(BadInput, match=words):
        read(scan, review)


def test_a_scan_without_identity_and_a_folder_without_review_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no PatientID"):
        read(write_scan(tmp_path / "anonymous", "20260120", patient=""), tmp_path)
    with pytest.raises(BadInput, match="has no reviewed contours"):
        read(write_scan(tmp_path / "scan", "20260120"), tmp_path)
