"""Conversion of contours."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from gynbtnet.imaging.contour_report import ContourReport
from gynbtnet.imaging.conversion.options import (
    DESCRIPTION,
    Conversion,
    OutputFormat,
    check_is_folder,
    check_is_image_file,
    impossible_conversion,
)
from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import check_overwrite
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.same_patient import is_of_other_patient, other_patient_note
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.files.label_names import (
    label_names_file,
    names_are_in_use,
    read_label_names,
    read_predicted_names,
    write_label_names,
)
from gynbtnet.imaging.files.mask_folder import read_all_masks, read_mask_folder, write_mask_folder
from gynbtnet.imaging.files.slicer_segmentation import (
    SLICER_SUFFIX,
    has_segments,
    read_slicer_segmentation,
    write_slicer_segmentation,
)
from gynbtnet.imaging.files.volume_files import is_image_file, read_volume, write_volume
from gynbtnet.imaging.label_map import Overlap, is_label_map, paint_label_map
from gynbtnet.imaging.overlap_losses import check_losses, measure_overlap_losses
from gynbtnet.imaging.resample_to_grid import outside_notes, resample_segmentation
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

_WITHOUT_LOSS = (
    f"write a mask for each structure with --to masks or a file for 3D Slicer (*{SLICER_SUFFIX}), or accept the loss "
    "with --allow-overlap"
)


def convert_contours(
    source: Path, source_format: OutputFormat, out: Path, options: Conversion, to: OutputFormat | None
) -> tuple[str, ...]:
    """Convert contours.

    Args:
        source: RTSTRUCT, DICOM SEG, segmentation of 3D Slicer, label map, or folder of masks.
        source_format: format of the source: ``rtstruct``, ``seg``, ``image`` or ``masks``.
        out: output.
        options: options of the conversion.
        to: output format; None: by the name of ``out``.

    Returns:
        A sentence for each choice and each loss.

    Raises:
        BadInput: If the contours can't be read, or can't be converted to the format.
    """
    to = to or ("image" if is_image_file(out) else "rtstruct")
    notes: tuple[str, ...] = ()
    is_dicom = source_format in ("rtstruct", "seg")
    referred_uid = read_reference(source).series_uid if source_format == "rtstruct" else None
    ct = options.read_ct(source, referred_uid) if is_dicom or to in ("rtstruct", "seg") or options.ct else None
    in_label_map = to == "image" and not out.name.endswith(SLICER_SUFFIX)
    if is_dicom:
        assert ct is not None
        segmentation, report = _read_contours(source, source_format, ct, options)
        notes = _contour_notes(report, segmentation, options, in_label_map=in_label_map)
        if is_of_other_patient(source, ct.patient_id):
            notes = (other_patient_note(source), *notes)
    else:
        segmentation, notes = _read_labels(source, options)
        if ct is not None:
            segmentation, grid_notes = _labels_on_ct(segmentation, ct, source, options)
            notes = (*notes, *grid_notes)
        if in_label_map:
            masks = {name: segmentation.mask(name) for name in segmentation.structures}
            segmentation, overlaps = paint_label_map(masks, segmentation.structures, segmentation.labels.geometry)
            notes = (*notes, *_losses_in_label_map(segmentation, overlaps, options))
    notes = (*(ct.notes if ct else ()), *notes)
    if to == "image" and in_label_map:
        if names_are_in_use(out, segmentation.structures):
            check_overwrite(label_names_file(out), force=options.force)
        check_is_image_file(out)
        write_volume(segmentation.labels, out)
        write_label_names(out, segmentation.structures)
    elif to == "image":
        write_slicer_segmentation(segmentation, out, options.names)
    elif to == "masks":
        check_is_folder(out, "masks are written to a folder, with one file per structure")
        with atomic_write(out) as partial_folder:
            write_mask_folder(segmentation, partial_folder)
    elif to == "rtstruct" and ct is not None:
        write_rtstruct(
            segmentation,
            ct,
            out,
            names=options.names,
            label="Converted",
            description=DESCRIPTION,
            software_version=version("gynbtnet"),
            contour_style=options.contour_style,
            hole_style=options.hole_style,
            automatic=False,
            force=options.force,
        )
    elif to == "seg" and ct is not None:
        write_seg(
            segmentation,
            ct,
            out,
            names=options.names,
            description=DESCRIPTION,
            software_version=version("gynbtnet"),
            automatic=False,
            force=options.force,
        )
    else:
        raise impossible_conversion(source, "contours", to)
    return notes


def _read_contours(
    source: Path, source_format: OutputFormat, ct: CTSeries, options: Conversion
) -> tuple[Segmentation, ContourReport]:
    """Read the requested structures, or by default all that have known names."""
    read_structures = read_rtstruct if source_format == "rtstruct" else read_seg
    known = options.structures or tuple(dict.fromkeys((*options.names.entries, *options.names.aliases.values())))
    segmentation, report = read_structures(source, ct, known, options.names)
    if options.structures is None and report.missing:
        segmentation, _ = read_structures(source, ct, tuple(report.rois), options.names)
        report = replace(report, missing=())  # they were not requested
    return segmentation, report


def _contour_notes(
    report: ContourReport, segmentation: Segmentation, options: Conversion, *, in_label_map: bool
) -> tuple[str, ...]:
    """Return notes on the contours; losses by overlap only for a label map, since DICOM keeps every contour complete.

    Raises:
        OverlapTooLarge: If a structure loses too much in the label map, unless the options allow it.
    """
    notes = list(report.notes)
    if report.missing:
        notes.append(f"The file has no contours of {', '.join(report.missing)}.")
    meanings = {name: options.names.resolve(name) for name in report.unmapped}
    unknown = ", ".join(f"“{name}”" for name, meaning in meanings.items() if meaning is None)
    if unknown:
        notes.append(f"Omitted {unknown}: unknown structure names; map them with an alias file.")
    others = ", ".join(f"“{name}” ({meaning})" for name, meaning in meanings.items() if meaning is not None)
    if others:
        notes.append(f"Omitted {others}: not among the requested structures.")
    return (*notes, *(_losses_in_label_map(segmentation, report.overlaps, options) if in_label_map else ()))


def _losses_in_label_map(
    segmentation: Segmentation, overlaps: Sequence[Overlap], options: Conversion
) -> tuple[str, ...]:
    """Return a note for each structure that loses voxels in the label map.

    Raises:
        OverlapTooLarge: If one loses too much, unless the options allow it.
    """
    losses = measure_overlap_losses(segmentation, overlaps)
    if not options.allow_overlap:
        check_losses(losses, remedy=_WITHOUT_LOSS)
    return tuple(loss.in_label_map for loss in losses)


def label_names(source: Path) -> tuple[str, ...] | None:
    """Return the names of the labels of an image file; those of a prediction only if its values are labels.

    Args:
        source: image file.

    Returns:
        The names of labels 1, 2, …; None if they are unknown.
    """
    names = read_label_names(source) or read_predicted_names(source)
    return names if names and (read_label_names(source) or is_label_map(read_volume(source))) else None


def _read_labels(source: Path, options: Conversion) -> tuple[Segmentation, tuple[str, ...]]:
    """Read a label map with its structure names, or masks, with notes on what is left out."""
    if source.is_dir():
        return (read_mask_folder(source, options.structures), ()) if options.structures else read_all_masks(source)
    if has_segments(source):
        segmentation = read_slicer_segmentation(source, options.names)
        return segmentation.relabelled(options.structures) if options.structures else segmentation, ()
    volume = read_volume(source)
    structures = options.structures or label_names(source)
    if structures is None:
        raise BadInput(
            f"The meaning of the labels in {source} is unknown; name the structures of label 1, 2, … with --structures."
        )
    array = as_whole_labels(volume, source).array
    if array.min() < 0 or array.max() > len(structures):
        raise BadInput(
            f"{source} holds values from {array.min():g} to {array.max():g}; expected the labels 0 to "
            f"{len(structures)} ({', '.join(structures)}): name one structure per label."
        )
    dtype = np.uint8 if len(structures) < 256 else np.uint16
    return Segmentation(Volume(array.astype(dtype), volume.geometry), tuple(structures)), ()


def _labels_on_ct(
    segmentation: Segmentation, ct: CTSeries, source: Path, options: Conversion
) -> tuple[Segmentation, tuple[str, ...]]:
    """Reorder the voxels as in the CT, or resample them onto its grid if that is allowed."""
    labels, grid = segmentation.labels, ct.volume.geometry
    if grid.is_reoriented(labels.geometry):
        return segmentation.mapped(partial(resample_segmentation, geometry=grid)), ()
    if not options.resample_labels:
        raise BadInput(
            f"{source} has another grid than the CT, {grid.difference(labels.geometry)}; give the CT on which it was "
            "drawn, or resample it with --resample-labels."
        )
    masks = ((name, Volume(segmentation.mask(name), labels.geometry)) for name in segmentation.structures)
    notes = (
        f"Resampled the labels onto the grid of the CT: {grid.difference(labels.geometry)}.",
        *outside_notes(masks, grid, source),
    )
    return segmentation.mapped(partial(resample_segmentation, geometry=grid)), notes
