"""The cases of a cohort with the contours of another reader as reference."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gynbtnet.datasets.case import Case
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.evaluation.contours.contour_files import ContourFiles, find_contours
from gynbtnet.evaluation.contours.contour_matching import explain_no_match, match_contours
from gynbtnet.evaluation.contours.contour_reading import read_contour_files
from gynbtnet.imaging.files.mask_bits import write_mask_bits
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted
from gynbtnet.runtime.progress import track


def with_second_reader(
    cohort: Cohort,
    contours: Path,
    folder: Path,
    names: StructureNames | None = None,
    *,
    allow_automatic: bool = False,
) -> Cohort:
    """Return the cases that another reader contoured, with this reader's contours as reference.

    The contours may have any of the forms of :func:`~gynbtnet.evaluation.contours.contour_files.find_contours`. They
    are read onto the grids of the scans. Cases that the reader did not contour are left out, with a note. Structures
    that the reader did not contour in a case are unknown there.

    Args:
        cohort: the cases.
        contours: folder with the reader's contours.
        folder: folder for the label maps, which the returned cases refer to; it must exist.
        names: meaning of names of ROIs, labels and masks; None: the built-in table.
        allow_automatic: accept predictions as reference.

    Returns:
        The cohort, in memory only.

    Raises:
        BadInput: If the folder has no contours of any case, some can't be read, or some are predictions that nobody has
            approved.
    """
    names = names or StructureNames.load()
    found = find_contours(contours)
    matched = match_contours(cohort.cases, found)
    if not matched:
        raise BadInput(explain_no_match(cohort.cases[0], contours, found, of_reader=True))
    automatic = [files for files in matched.values() if files.automatic]
    if automatic and not allow_automatic:
        raise BadInput(
            f"The contours of {len(automatic)} of {counted(len(matched), 'case')} in {contours}, first "
            f"{automatic[0].path}, were predicted by GynBTNet and nobody has approved them; expected contours of a "
            "person as reference. Remove them, or take them with --allow-automatic."
        )
    cases = [case for case in cohort.cases if case.id in matched]
    read = [
        _with_contours(case, matched[case.id], cohort.structures, Path(folder), names)
        for case in track(cases, "Reading reference")
    ]
    note = f"The reference is that in {contours}: {len(cases)} of {counted(len(cohort.cases), 'case')}."
    return replace(cohort, cases=tuple(read), notes=(*cohort.notes, note))


def _with_contours(
    case: Case, files: ContourFiles, structures: Sequence[str], folder: Path, names: StructureNames
) -> Case:
    """Return a case with other contours, written to a folder."""
    contours = read_contour_files(files, case, structures, names)
    segmentation = contours.segmentation
    labels = folder / "labelsTr" / f"{case.id}.nii.gz"
    write_volume(segmentation.labels, labels)
    masks: Path | None = None
    masked: tuple[str, ...] = ()
    if isinstance(segmentation, OverlappingSegmentation):
        masks, masked = folder / "masksTr" / f"{case.id}.nii.gz", segmentation.own.structures
        write_mask_bits(segmentation.own, masks)
    volumes = {name: volume for name, volume in segmentation.volumes_cm3().items() if name not in contours.missing}
    return replace(
        case,
        labels=labels,
        masks=masks,
        masked=masked,
        volumes_cm3=volumes,
        missing=contours.missing,
        overlaps=(),
        covered=(),
        unmapped=(),
        notes=contours.notes,
    )
