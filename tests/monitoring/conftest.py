"""Reviews of synthetic predictions as files, with values drawn around a level."""

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gynbtnet.monitoring import ewma

QUICK_YEARS = ewma.YEARS // 10
START = datetime.datetime(2026, 1, 5, 9, tzinfo=datetime.UTC)


@pytest.fixture(scope="session", autouse=True)
def fewer_years() -> Iterator[None]:
    """Simulate a tenth of the years for the limits, each kind of chart once; a slow test simulates all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ewma, "YEARS", QUICK_YEARS)
        ewma.limit_multiple.cache_clear()
        yield
    ewma.limit_multiple.cache_clear()


@pytest.fixture
def write_reviews(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes reviews of one structure, and returns their folder.

    The reviews are ``days`` apart, three per week; ``fractions`` in a row are of one patient.
    """

    def write(
        length_mm: list[float],
        *,
        first: int = 0,
        model: str = "ab",
        hu: float | None = -20.0,
        status: str = "accepted edited",
        folder: str = "results",
        days: float = 7 / 3,
        fractions: int = 1,
    ) -> Path:
        noise = np.random.default_rng([7, first])
        for number, length in enumerate(length_mm, start=first):
            scan = f"{number:064x}"
            prediction = tmp_path / folder / f"patient-{number // fractions:03d}_f{number % fractions + 1}"
            record = {
                "structures": ["bladder"], "synthetic": True, "settings": {}, "flags": [], "predicted_dsc": {},
                "model": {"name": "task", "weights": "last", "sha256": model * 32, "files": {}, "rules": ""},
                "input": {"kind": "DICOM", "series_uid": "1.2", "sha256": scan},
            }  # fmt: skip
            if hu is not None:
                record["body_hu"] = {"mean": hu + float(noise.normal(0, 3)), "sd": 150 + float(noise.normal(0, 3))}
            review = {
                "schema": 1, "time": (START + datetime.timedelta(days=days * number)).isoformat(), "version": "0",
                "synthetic": True, "model_sha256": model * 32, "scan_sha256": scan, "series_uid": "1.2",
                "approved_by": "SECRET NAME", "active_seconds": 60,
                "structures": {"bladder": {
                    "status": status, "algorithm": "SEMIAUTOMATIC", "viewed_share": 1, "active_seconds": 60,
                    "correction": {
                        "volume_before_cm3": float(noise.normal(100, 20)), "volume_after_cm3": 100,
                        "voxels_added": int(length > 0), "voxels_removed": 0, "slices_touched": 1,
                        "added_path_length_mm": length, "added_path_length_share": length / 1000,
                        "added_path_length_1_voxel_mm": 0, "added_path_length_1_voxel_share": 0,
                        "dsc": 0.9, "surface_dsc": 0.9, "surface_dsc_tolerance_mm": 2,
                    },
                }},
            }  # fmt: skip
            (prediction / "review" / "001").mkdir(parents=True, exist_ok=True)
            (prediction / "prediction.json").write_text(json.dumps(record))
            (prediction / "review" / "001" / "review.json").write_text(json.dumps(review))
        return tmp_path / folder

    return write


def lengths(count: int, level: float = 100, seed: int = 0) -> list[float]:
    """Return skewed lengths around a level, in mm."""
    return (level * np.random.default_rng(seed).gamma(4, 0.25, count)).tolist()
