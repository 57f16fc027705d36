"""Examples in the docstrings of the functions that people call first give the results that they show."""

import doctest
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from safetensors.torch import save_file

import gynbtnet
from gynbtnet import evaluation, imaging, inference, phantom, runtime, training
from gynbtnet.datasets import Cohort, ingest
from gynbtnet.evaluation import dice, evaluate, holm, score_case, to_eqd2, wilcoxon_signed_rank
from gynbtnet.imaging import Geometry, Segmentation, StructureNames, Volume, read_ct_series, read_rtstruct
from gynbtnet.networks import GynBTNet
from gynbtnet.phantom import phantom_case, write_brachytherapy
from gynbtnet.preparation import Plan, save_plan
from gynbtnet.runtime import without_progress

OBJECTS: list[Any] = [
    Geometry,
    Volume.cropped,
    Segmentation.mask,
    Segmentation.volumes_cm3,
    StructureNames.resolve,
    Cohort.of_patients,
    imaging.read_volume,
    imaging.write_volume,
    read_ct_series,
    read_rtstruct,
    imaging.write_rtstruct,
    imaging.contours_to_mask,
    imaging.resample_dose,
    ingest,
    gynbtnet.split_patients,
    gynbtnet.load_recipe,
    gynbtnet.make_plan,
    inference.load_model,
    inference.predict,
    evaluate,
    dice,
    score_case,
    to_eqd2,
    wilcoxon_signed_rank,
    holm,
    training.scheduled_rate,
    phantom_case,
    write_brachytherapy,
    runtime.map_scans,
    runtime.atomic_write,
    runtime.BadInput,
]


def public_values() -> dict[str, Any]:
    """Return the names that the examples use without importing them: those of the fronts, NumPy and pydicom."""
    fronts = (gynbtnet, imaging, evaluation, inference, phantom, runtime)
    values = {name: getattr(front, name) for front in fronts for name in front.__all__}
    return values | {"np": np, "pydicom": pydicom}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the examples use: a phantom's export, one scan of it, its cohort, and an untrained model."""
    folder = tmp_path_factory.mktemp("data")
    export, run = folder / "export", folder / "run"
    write_brachytherapy(export, patients=4, fractions=1, spacing=(12.0, 10.0, 10.0), matrix=(16, 32, 40))
    structures = ("hr_ctv", "bladder", "rectum", "sigmoid", "uterus")
    fraction = export / "PHANTOM-001" / "fraction-1"
    ct = read_ct_series(fraction)
    strides = ((1, 1, 1), *((2, 2, 2),) * 4)
    save_plan(Plan(structures[1:3], (8.0, 8.0, 8.0), "zscore", None, (16, 32, 32), 2, "XS", strides), run)
    torch.manual_seed(0)
    save_file(GynBTNet("XS", outputs=3, strides=strides).state_dict(), run / "weights_last.safetensors")
    return public_values() | {
        "export": export,
        "ct": ct,
        "contours": read_rtstruct(fraction / "RS.dcm", ct, structures, StructureNames.load())[0],
        "cohort": ingest(export, folder / "cohort", structures=structures).cohort,
        "run": run,
    }


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: value.__qualname__)
def test_example(value: Any, data: dict[str, Any], tmp_path: Path) -> None:
    names = vars(sys.modules[value.__module__]) | data | {"folder": tmp_path}
    tests = doctest.DocTestFinder(recurse=False).find(value, value.__qualname__, globs=names)
    assert len(tests) == 1
    assert 0 < len(tests[0].examples) <= 8
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    with without_progress():
        assert runner.run(tests[0]).failed == 0


def test_examples_are_many_enough() -> None:
    """And none is skipped."""
    assert len({value.__qualname__ for value in OBJECTS}) >= 20
    assert not any("+SKIP" in (value.__doc__ or "") for value in OBJECTS)
