"""Cohort that `gynbtnet dose` evaluates next to predictions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from gynbtnet.cli.evaluation_commands import dose
from gynbtnet.datasets import Case, Cohort, Source
from gynbtnet.imaging import Geometry
from gynbtnet.runtime import BadInput


def test_a_structure_that_a_prediction_lacks_keeps_its_dose_by_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("p1", 1, "p1_f1", (Path("ct.nii.gz"),), Path("labels.nii.gz"), Source(), Geometry((2, 2, 2)))
    cohort = Cohort("mini", ("bladder",), (case,), tmp_path)
    (tmp_path / "cohort.json").touch()
    evaluated = []

    @contextmanager
    def lacking(patients: Cohort, _: Path) -> Iterator[tuple[Cohort, Path]]:
        yield replace(patients, cases=(replace(case, missing=("bladder",)),), notes=("lacks",)), tmp_path

    def stop(given: Cohort, *_: object, **__: object) -> None:
        evaluated.append(given)
        raise BadInput("enough")

    monkeypatch.setattr(Cohort, "load", lambda _: cohort)
    monkeypatch.setattr("gynbtnet.evaluation.contours.matched_predictions.matched_predictions", lacking)
    monkeypatch.setattr("gynbtnet.evaluation.dose.dose_evaluation.evaluate_dose", stop)
    with pytest.raises((BadInput, typer.Exit)):
        dose(tmp_path, tmp_path / "out", predictions=tmp_path)
    assert [(given.cases[0].missing, given.notes) for given in evaluated] == [((), ("lacks",))]
