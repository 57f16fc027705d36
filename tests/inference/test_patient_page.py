"""The page of a prediction lists volumes, flags, warnings and what to review."""

from pathlib import Path

import numpy as np

from gynbtnet.imaging import Geometry, Segmentation, StructureNames, Volume
from gynbtnet.inference.patient_page import summary_sentence, write_patient_page
from gynbtnet.inference.prediction import Prediction
from gynbtnet.inference.quality.failure_flags import Flag
from gynbtnet.inference.quality.predicted_dsc import PredictedDSC

NAMES = StructureNames.load()
GRID = Geometry((12, 20, 24), (4.0, 3.0, 3.0))


def prediction(*flags: Flag, low: float = 0.8) -> Prediction:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[3:8, 4:12, 4:12] = 1
    segmentation = Segmentation(Volume(labels, GRID), ("bladder", "hr_ctv"))
    volumes = {name: segmentation.volume_cm3(name) for name in segmentation.structures}
    dsc = {"bladder": PredictedDSC("bladder", 0.85, low, 0.95), "hr_ctv": None}
    return Prediction(segmentation, volumes, {}, flags, dsc, 0.7, ("A note.",), ("A warning.",))


def write(path: Path, shown: Prediction, *, synthetic: bool) -> str:
    scan = Volume(np.zeros(GRID.shape, np.int16), GRID)
    write_patient_page(
        scan,
        shown,
        path,
        names=NAMES,
        title="Contours of scan-1",
        facts=(("model", "demo, weights 01234567"),),
        synthetic=synthetic,
    )
    return path.read_text(encoding="utf-8")


def test_what_the_page_shows(tmp_path: Path) -> None:
    flag = Flag("bladder", "edge", "Bladder reaches the edge of the scan.")
    page = write(tmp_path / "patient.html", prediction(flag), synthetic=False)
    for words in ("Bladder", "HR-CTV", "11.5", "0.85 (0.80–0.95)", flag.sentence, "A warning.", "A note.", "not found"):
        assert words in page, words
    assert page.count("A warning.") == 1
    assert "hr_ctv<" not in page
    plain = write(tmp_path / "other.html", prediction(), synthetic=True)
    assert "Synthetic data. No patient was scanned" in plain


def test_the_result_in_a_sentence() -> None:
    flagged = prediction(Flag("bladder", "edge", "It ends at the edge."))
    assert summary_sentence(flagged, NAMES) == (
        "1 of 2 structures contoured; not found: HR-CTV; check first: Bladder and HR-CTV. Every contour needs review "
        "before use."
    )
    assert "check first: HR-CTV." in summary_sentence(prediction(), NAMES)
    assert "check first: Bladder and HR-CTV." in summary_sentence(prediction(low=0.5), NAMES)
