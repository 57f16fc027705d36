"""The page on dataset layouts: its adapter is run on a small synthetic archive."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gynbtnet.datasets import ADAPTERS, Adapter, dry_run, ingest
from gynbtnet.imaging import Volume, read_volume, write_volume
from gynbtnet.runtime import BadInput

from .conftest import GRID, scan, sphere

PAGE = (Path(__file__).parents[2] / "docs" / "contributing" / "dataset-layout.md").read_text(encoding="utf-8")
LABELS = np.where(sphere("bladder"), 1, np.where(sphere("rectum"), 2, 0)).astype(np.uint8)
ADAPTER_CODE, USE_CODE = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def adapter() -> Adapter:
    names: dict[str, Any] = {}
    exec(ADAPTER_CODE, names)
    example = names["ADAPTER"]
    assert isinstance(example, Adapter)
    return example


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two fractions of P01 and one of P02, which has no label map."""
    folder = tmp_path / "download"
    for seed, name in enumerate(("a/P01_fx3", "a/P01_fx1", "b/P02_fx1")):
        write_volume(scan(seed), folder / f"{name}_ct.nii.gz")
        if "P01" in name:
            write_volume(Volume(LABELS, GRID), folder / f"{name}_labels.nii.gz")
    return folder


def test_the_example_adapter(adapter: Adapter, archive: Path, tmp_path: Path) -> None:
    expected = dry_run(archive, tmp_path / "cohort", adapter)
    ingestion = ingest(archive, tmp_path / "cohort", adapter, leave_out_failing=True)
    cohort = ingestion.cohort
    assert [(case.id, case.fraction) for case in cohort.cases] == [("P01_f1", 1), ("P01_f3", 3)]
    assert [numbered.id for numbered in expected.scans] == ["P01_f1", "P01_f3"]
    assert expected.report == ingestion.report
    assert [problem.kind for problem in ingestion.report.problems] == ["missing"]
    for case, seed in zip(cohort.cases, (1, 0), strict=True):
        assert case.labels
        np.testing.assert_array_equal(read_volume(case.image).array, scan(seed).array)
        np.testing.assert_array_equal(read_volume(case.labels).array, LABELS)


def test_the_call_of_the_page(adapter: Adapter, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (archive / "b" / "P02_fx1_ct.nii.gz").unlink()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"ADAPTER": adapter}
    exec(USE_CODE, names)
    assert names["cohort"].structures == ("bladder", "rectum")
    assert len(names["cohort"].cases) == 2


def test_mistakes_are_reported(adapter: Adapter, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="The example archive has no sigmoid"):
        ingest(archive, tmp_path / "cohort", adapter, structures=["sigmoid"])
    with pytest.raises(BadInput, match="The layout example doesn't use --channels"):
        ingest(archive, tmp_path / "cohort", adapter, channels=["CT", "MR"])
    (tmp_path / "other").mkdir()
    with pytest.raises(BadInput, match=r"expected files such as P01_fx1_ct\.nii\.gz"):
        ingest(tmp_path / "other", tmp_path / "cohort", adapter)


def test_the_registry() -> None:
    assert all(name == adapter.name and adapter.title for name, adapter in ADAPTERS.items())
    with pytest.raises(BadInput, match=f"no layout other; expected one of {', '.join(ADAPTERS)}"):
        ingest(Path("nowhere"), Path("cohort"), "other")
