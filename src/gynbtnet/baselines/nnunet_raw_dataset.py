"""Raw dataset of nnU-Net from a cohort: one label per voxel, or regions if structures overlap."""

from pathlib import Path
from typing import Any

from gynbtnet.baselines.nnunet_library import link_or_copy
from gynbtnet.datasets.case_contours import read_contours
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.regions import Regions
from gynbtnet.preparation.planning.nnunet_names import nnunet_labels
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.json_files import read_json, write_json


def write_raw_dataset(cohort: Cohort, folder: Path, regions: Regions | None) -> None:
    """Write the raw dataset of a cohort; scans are linked, and so are label maps of structures without overlaps.

    Args:
        cohort: training cases with labels.
        folder: folder to write, such as ``nnUNet_raw/Dataset001_GynBTNet``.
        regions: labels of each structure if structures overlap. Label maps are then those of their combinations.

    Raises:
        BadInput: If a file of the cohort is absent or damaged.
    """
    description = read_json(dict[str, Any], cohort.folder / "dataset.json", "run `gynbtnet ingest` again")
    with atomic_write(folder) as partial:
        for name in ("imagesTr", "labelsTr"):
            (partial / name).mkdir(parents=True)
        for case in cohort.cases:
            assert case.labels is not None
            for path in case.images if regions else (*case.images, case.labels):
                link_or_copy(path, partial / path.parent.name / path.name)
            if regions is not None:
                combinations = regions.label_map(read_contours(case, cohort.structures))
                write_volume(combinations, partial / "labelsTr" / case.labels.name)
        labels = {} if regions is None else nnunet_labels(cohort.structures, regions)
        write_json(description | labels | {"numTraining": len(cohort.cases)}, partial / "dataset.json")
