"""Predictions of a cohort in one folder by case id, made from any form and any names."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.contours.contour_files import find_contours
from gynbtnet.evaluation.contours.contour_matching import match_contours, no_match
from gynbtnet.evaluation.contours.contour_reading import read_contour_files
from gynbtnet.imaging.files.mask_folder import write_mask_folder
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import track


@contextmanager
def matched_predictions(
    cohort: Cohort, predictions: Path, names: StructureNames | None = None
) -> Iterator[tuple[Cohort, Path]]:
    """Yield a cohort and a folder ``<case id>/labels.nii.gz`` or ``<case id>/masks`` with a prediction of every case.

    Predictions may be folders of ``gynbtnet predict`` under any names, nnU-Net's label maps ``CASE.nii.gz``, folders of
    masks, or RTSTRUCTs; see :func:`~gynbtnet.evaluation.contours.contour_files.find_contours`. They are matched by
    :func:`~gynbtnet.evaluation.contours.contour_matching.match_contours`. Folders that are called by the case ids are
    used in place. All others are linked or written to a temporary folder, which is deleted at the end.

    A structure that the files of a case don't have at all is unknown in that case, so that it isn't scored. The cohort
    that is yielded lists it as missing, and has a note with the number of such cases.

    Args:
        cohort: the cases.
        predictions: folder with the predictions.
        names: meaning of names of ROIs, labels and masks; None: the built-in table.

    Yields:
        The cohort and the folder.

    Raises:
        BadInput: If a case has no prediction, or one can't be read.
    """
    names = names or StructureNames.load()
    found = find_contours(predictions)
    matched = match_contours(cohort.cases, found)
    for case in cohort.cases:
        if case.id not in matched:
            raise no_match(case, predictions, found)
    if all(matched[case.id].path == Path(predictions) / case.id for case in cohort.cases) and all(
        files.form == "prediction" for files in matched.values()
    ):
        yield cohort, Path(predictions)
        return
    with tempfile.TemporaryDirectory(prefix="gynbtnet-") as name:
        folder, cases, incomplete = Path(name), [], 0
        for case in track(cohort.cases, "Reading contours"):
            files = matched[case.id]
            if files.form == "prediction":
                _link(files.path.absolute(), folder / case.id)
                cases.append(case)
                continue
            contours = read_contour_files(files, case, cohort.structures, names)
            _write(contours.segmentation, folder / case.id)
            unknown = tuple(structure for structure in contours.missing if structure not in case.missing)
            incomplete += bool(unknown)
            cases.append(replace(case, missing=(*case.missing, *unknown)))
        note = (
            f"In {incomplete} of {counted(len(cases), 'case')} the files in {predictions} lack a structure; it is not "
            "scored there."
        )
        notes = (*cohort.notes, note) if incomplete else cohort.notes
        yield replace(cohort, cases=tuple(cases), notes=notes), folder


def _link(folder: Path, name: Path) -> None:
    """Make a folder available under another name; copy it if the file system has no links."""
    try:
        name.symlink_to(folder, target_is_directory=True)
    except OSError:
        shutil.copytree(folder, name)


def _write(segmentation: Segmentation, folder: Path) -> None:
    if isinstance(segmentation, OverlappingSegmentation):
        write_mask_folder(segmentation, folder / "masks")
    else:
        write_volume(segmentation.labels, folder / "labels.nii.gz")
