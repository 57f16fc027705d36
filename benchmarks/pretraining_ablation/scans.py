"""Scans of the ablation: without labels, with many organs, and contoured patients for training and scoring."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.datasets import Cohort, hold_out_patients, ingest
from gynbtnet.phantom import STRUCTURES, write_brachytherapy, write_organs, write_unlabelled


@dataclass(frozen=True)
class Sizes:
    """Numbers of scans and patients, and the grid.

    Attributes:
        unlabelled: Scans without labels.
        organs: Scans with many organs.
        pool: Contoured patients for training; also seen by stage 1 without their contours.
        validation: Patients on which settings are chosen.
        test: Patients that are scored in the end.
        spacing: Voxel spacing of phantom and plans (z, y, x) in mm.
        matrix: Voxels (z, y, x) of a phantom.
        patch: Voxels (z, y, x) of a patch.
    """

    unlabelled: int = 24
    organs: int = 24
    pool: int = 24
    validation: int = 8
    test: int = 10
    spacing: tuple[float, float, float] = (5.0, 4.0, 4.0)
    matrix: tuple[int, int, int] = (40, 72, 96)
    patch: tuple[int, int, int] = (32, 48, 48)


@dataclass(frozen=True)
class Scans:
    """Data of one ablation; no patient is in two of pool, validation and test.

    Attributes:
        name: Name of the cohort.
        unlabelled: Scans for stage 1: scans without labels and the pool.
        organs: Scans for stage 2.
        pool: Contoured patients for training.
        validation: Patients on which settings are chosen.
        test: Patients that are scored in the end.
        sizes: Grid and patch; the numbers are those of the phantom.
    """

    name: str
    unlabelled: Cohort
    organs: Cohort
    pool: Cohort
    validation: Cohort
    test: Cohort
    sizes: Sizes


def phantom(folder: Path, sizes: Sizes) -> Scans:
    """Write and ingest synthetic scans of the clinical population, two fractions per patient."""
    grid: dict[str, Any] = {"spacing": sizes.spacing, "matrix": sizes.matrix, "realism": "clinical"}
    write_unlabelled(folder / "unlabelled", scans=sizes.unlabelled, **grid)
    write_organs(folder / "organs", scans=sizes.organs, **grid)
    patients = sizes.pool + sizes.validation + sizes.test
    write_brachytherapy(folder / "export", patients=patients, fractions=2, **grid)
    cohort = ingest(folder / "export", folder / "cohort", structures=STRUCTURES).cohort
    organs = ingest(folder / "organs", folder / "organ_cohort", "totalsegmentator").cohort
    return _split("phantom", cohort, [folder / "unlabelled"], organs, sizes, folder)


def sarcomas(folder: Path, sizes: Sizes, data: Path) -> Scans:
    """Ingest 26 soft-tissue sarcomas, four scans without labels and one scan with organs, all of them real."""
    cohort = ingest(data / "sts", folder / "cohort", structures=("GTV_Mass_CT",)).cohort
    others = [data / name for name in ("acrin_flt_breast_001", "crlm_ct_1006", "totalsegmentator_example")]
    example = data / "totalsegmentator_example" / "Totalsegmentator_dataset"
    organs = ingest(example, folder / "organ_cohort", "totalsegmentator").cohort
    return _split("sarcomas", cohort, others, organs, sizes, folder)


def _split(name: str, cohort: Cohort, unlabelled: Sequence[Path], organs: Cohort, sizes: Sizes, folder: Path) -> Scans:
    test = hold_out_patients(cohort.patients, sizes.test, seed=0)
    others = sorted(set(cohort.patients).difference(test))
    validation = hold_out_patients(others, sizes.validation, seed=0)
    pool = cohort.of_patients(set(others).difference(validation))
    return Scans(
        name,
        ingest(unlabelled, folder / "unlabelled_cohort", "scans", include_cohort=pool).cohort,
        organs,
        pool,
        cohort.of_patients(validation),
        cohort.of_patients(test),
        sizes,
    )
