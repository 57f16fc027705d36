"""A physicist's question about a patient: which dose would these contours have reported, over all fractions?"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gynbtnet.datasets import Cohort
from gynbtnet.imaging import Volume, read_volume, write_volume

SMALL = ("--fractions", 2, "--unlabelled", 1, "--organs", 1, "--spacing", 6, 4, 4, "--matrix", 32, 72, 84)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clinic")


def test_from_a_clinics_export_to_totals(gynbtnet, folder: Path) -> None:
    assert gynbtnet("phantom", folder / "phantom", "--patients", 2, *SMALL).code == 0
    structures = "hr_ctv,bladder,rectum,sigmoid"
    ingested = gynbtnet(
        "ingest", folder / "phantom" / "brachytherapy", "--out", folder / "cohort", "--structures", structures
    )
    assert ingested.code == 0, ingested.err
    cohort = Cohort.load(folder / "cohort")
    for case in cohort.cases:
        labels = read_volume(case.labels)
        moved = Volume(np.roll(labels.array, 1, axis=1), labels.geometry)
        write_volume(moved, folder / "predictions" / case.id / "labels.nii.gz")

    options = ("--predictions", folder / "predictions", "--external-beam", "45/25", "--out", folder / "dose")
    result = gynbtnet("dose", folder / "cohort", "--patient", cohort.patients[0], *options)
    assert result.code == 0, result.err
    assert "Synthetic data" in result.out
    one_fraction, _, totals_printed = result.out.partition(f"{cohort.patients[0]}: total EQD2 in Gy")
    assert "|" not in result.out
    assert max(map(len, one_fraction.splitlines())) <= 80
    assert len(re.findall(r"(?m)^HR-CTV D9[08] .*(?:met|missed)", totals_printed)) == 2
    assert "reference" in totals_printed
    assert "prediction" in totals_printed
    totals = pd.read_csv(folder / "dose" / "eqd2.csv", keep_default_na=False)
    assert set(totals["patient"]) == {cohort.patients[0]}
    assert set(totals["fractions"]) == {2}
    assert len(totals) == 4 * 3
    judged = totals[totals["aim"] != ""]
    assert set(judged["structure"] + judged["metric"]) == {
        "hr_ctvD90", "hr_ctvD98", "bladderD2cc", "rectumD2cc", "sigmoidD2cc"
    }  # fmt: skip
    assert not (judged["manual_verdict"] == "not judged").any()
    assert (totals["difference_eqd2_gy"].astype(float) != 0).all()
    assert (folder / "dose" / "dvh.png").stat().st_size > 10_000

    scored = gynbtnet(
        "evaluate", folder / "predictions", folder / "cohort", "--missing-structure-policy", "drop", "--tolerance", 3,
        "--out", folder / "evaluation",
    )  # fmt: skip
    assert scored.code == 0, scored.err
    assert "surface DSC, 3 mm" in (folder / "evaluation" / "summary.md").read_text(encoding="utf-8")
    assert "look better than the contours are" in scored.out.replace("\n", " ")
    misspelt = folder / "tolerances.yaml"
    misspelt.write_text("structures:\n  blader: {tolerance_mm: 1, source: us}\n")
    refused = gynbtnet(
        "evaluate", folder / "predictions", folder / "cohort", "--tolerances", misspelt, "--out", folder / "none"
    )
    assert (refused.code, "names blader, which is neither a structure of the cohort" in refused.err) == (2, True)


def test_a_question_that_cannot_be_answered(gynbtnet, folder: Path) -> None:
    for options, words in (
        (("--external-beam", "45"), "expected Gy/fractions such as 45/25"),
        (("--aims", folder / "none.yaml"), "There is no file"),
        (("--patient", "nobody"), "is not in the cohort"),
        (("--doses", folder / "predictions" / "none"), "There is no folder"),
        (("--predictions", folder), "has no prediction of"),
    ):
        result = gynbtnet("dose", folder / "cohort", *options, "--out", folder / "refused")
        assert (result.code, words in result.err) == (2, True), result.err
        assert "Traceback" not in result.err
        assert not (folder / "refused").exists()
