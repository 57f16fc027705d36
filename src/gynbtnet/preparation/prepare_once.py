"""Prepared scans that several runs and processes share."""

import hashlib
import json
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.preparation.planning.make_plan import make_plan
from gynbtnet.preparation.planning.settings import PlanSettings
from gynbtnet.preparation.prepare_cohort import prepare
from gynbtnet.preparation.store import MANIFEST, PreparedCohort
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.lock_file import file_lock


def prepare_once(cohort: Cohort, settings: PlanSettings, folder: Path, jobs: int = 1) -> PreparedCohort:
    """Plan and prepare scans, or open them if another run has prepared the same scans with the same settings.

    Args:
        cohort: the scans, which alone decide the plan.
        settings: settings of the plan.
        folder: folder that contains one folder for each set of scans and settings. Several processes may use it at the
            same time.
        jobs: number of processes for planning and preparation.
    """
    key = {
        "cohort": cohort.name,
        "cases": sorted((case.id, sha256_of(*case.files)) for case in cohort.cases),
        "plan": settings.model_dump(mode="json"),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    with file_lock(folder / f".{name}.lock"):
        if (folder / name / MANIFEST).is_file():
            return PreparedCohort.open(folder / name)
        # contours that nobody has approved were refused, or allowed, when the scans were ingested
        return prepare(cohort, make_plan(cohort, settings, jobs=jobs), folder / name, jobs, allow_automatic=True)
