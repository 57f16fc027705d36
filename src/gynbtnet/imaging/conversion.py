"""Conversion of scans, contours and doses between file formats."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np

from gynbtnet.imaging.contours.mask_to_contours import ContourStyle, HoleStyle
from gynbtnet.imaging.dicom.contour_report import ContourReport
from gynbtnet.imaging.dicom.ct_series import MAX_BEYOND_RANGE, CTSeries, read_ct_series
from gynbtnet.imaging.dicom.ct_slice import MAX_HU
from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.dicom.objects import check_overwrite, code_value, dicom_errors_as_bad_input, read_object
from gynbtnet.imaging.dicom.rt.dose_sum import sum_doses
from gynbtnet.imaging.dicom.rt.rtdose_reader import Dose, read_rtdose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.label_names import (
    label_names_file,
    names_are_in_use,
    read_label_names,
    read_predicted_names,
    write_label_names,
)
from gynbtnet.imaging.files.mask_folder import MASK_SUFFIX, read_mask_folder, write_mask_folder
from gynbtnet.imaging.files.slicer_segmentation import (
    SLICER_SUFFIX,
    has_segments,
    read_slicer_segmentation,
    write_slicer_segmentation,
)
from gynbtnet.imaging.files.volume_files import SUFFIXES, is_image_file, read_volume, write_volume
from gynbtnet.imaging.geometry import Geometry
from gynbtnet.imaging.label_map import Overlap, is_label_map, paint_label_map
from gynbtnet.imaging.overlap_losses import check_losses, measure_overlap_losses
from gynbtnet.imaging.resample_to_grid import outside_notes, resample_segmentation, voxels_outside
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput

OutputFormat = Literal["image", "masks", "ct", "rtstruct", "seg", "rtdose"]
_FORMATS = {"RTSTRUCT": "rtstruct", "SEG": "seg", "RTDOSE": "rtdose"}
_WITHOUT_LOSS = (
    f"write a mask for each structure with --to masks or a file for 3D Slicer (*{SLICER_SUFFIX}), or accept the loss "
    "with --allow-overlap"
)
_DESCRIPTION = "Converted by GynBTNet, research use only, not reviewed"


@dataclass(frozen=True)
class Conversion:
    """Options of a conversion.

    Attributes:
        ct: folder of the CT series to which contours or doses belong; required for contours in DICOM.
        series_uid: SeriesInstanceUID of the CT to use if a folder holds several.
        repairs: faults of a CT series that are repaired instead of refused.
        structures: structures to convert, and the meaning of labels 1, 2, …; None for all with known names.
        names: names of structures.
        contour_style: contours in an RTSTRUCT, see :func:`~gynbtnet.imaging.dicom.rt.rtstruct_writer.write_rtstruct`.
        hole_style: holes in an RTSTRUCT, see the same function.
        resample_labels: resample a label map onto the grid of ``ct`` if its own differs.
        allow_overlap: write a label map even if a structure loses more than
            :data:`~gynbtnet.imaging.overlap_losses.LARGEST_LOSS` of its volume to others in it.
        force: replace an existing file.
    """

    ct: Path | None = None
    series_uid: str | None = None
    repairs: Repairs = field(default_factory=Repairs)
    structures: tuple[str, ...] | None = None
    names: StructureNames = field(default_factory=StructureNames.load)
    contour_style: ContourStyle = "smooth"
    hole_style: HoleStyle = "keyhole"
    resample_labels: bool = False
    allow_overlap: bool = False
    force: bool = False


def convert(source: Sequence[Path], out: Path, options: Conversion, to: OutputFormat | None = None) -> tuple[str, ...]:
    """Convert a scan, contours or doses to another file format.

    A scan is a folder with a CT series, or an image file. Contours are an RTSTRUCT, a DICOM SEG, a segmentation of 3D
    Slicer, or a folder with one mask per structure. An image file with labels has contours too; their names are in a
    JSON file next to it or in ``options.structures``. Only the label map can't hold structures that overlap.

    A dose is one RTDOSE or several. For an image file they are summed on the grid of ``options.ct`` if one is given,
    otherwise on that of the first dose.

    Args:
        source: one file or folder, or several RTDOSE files.
        out: an image file, a DICOM file, or a folder for a CT series or masks. Contours in ``*.seg.nrrd`` become a
            segmentation of 3D Slicer, in other image files a label map.
        options: options of the conversion.
        to: output format. By default an image if ``out`` has such a suffix. Otherwise a CT folder for a scan, an
            RTSTRUCT for contours, an RTDOSE for doses.

    Returns:
        A sentence for each choice and each loss.

    Raises:
        BadInput: If a source can't be read, or can't be converted to the format.
    """
    if not source:
        raise BadInput("There is nothing to convert; name a file or a folder.")
    out = Path(out)
    check_overwrite(out, force=options.force and not out.is_dir())
    source_format = _detect_format(source[0])
    if len(source) > 1 and source_format != "rtdose":
        raise BadInput(
            f"{len(source)} sources are given; only RTDOSE files can be converted together: convert them one by one."
        )
    if source_format == "rtdose":
        return _convert_doses([read_rtdose(path) for path in source], out, options, to)
    labelled = source_format == "image" and (
        options.structures or to in ("rtstruct", "seg", "masks") or has_segments(source[0]) or _label_names(source[0])
    )
    if source_format in ("rtstruct", "seg", "masks") or labelled:
        return _convert_contours(source[0], source_format, out, options, to)
    return _convert_scan(source[0], source_format, out, options, to)


def _detect_format(source: Path) -> OutputFormat:
    if source.is_dir():
        return "masks" if _is_mask_folder(source) else "ct"
    if is_image_file(source):
        return "image"
    with dicom_errors_as_bad_input(source):
        modality = code_value(read_object(source, f"DICOM or an image file ({', '.join(SUFFIXES)})"), "Modality")
    if modality not in _FORMATS:
        raise BadInput(
            f"{source} is of modality {modality or 'unknown'}; expected RTSTRUCT, SEG or RTDOSE, or the folder "
            "with all slices of a CT."
        )
    return _FORMATS[modality]  # type: ignore[return-value]


def _is_mask_folder(folder: Path) -> bool:
    """Return whether a folder has masks and nothing else; hidden files don't count."""
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return bool(paths) and all(path.name.endswith(MASK_SUFFIX) and path.is_file() for path in paths)


def _convert_scan(
    source: Path, source_format: OutputFormat, out: Path, options: Conversion, to: OutputFormat | None
) -> tuple[str, ...]:
    to = to or ("image" if is_image_file(out) else "ct")
    notes: tuple[str, ...] = ()
    if source_format == "ct":
        ct = read_ct_series(source, options.series_uid, options.repairs)
        scan, notes = ct.volume, ct.notes
    else:
        scan = read_volume(source)
    if to == "rtdose" and source_format == "image":
        return (*notes, *_write_dose(scan, out, _read_ct(options, source)))
    if to == "image":
        write_volume(scan, _image_file(out))
    elif to == "ct":
        _check_is_folder(out, "a CT series is written to a folder, with one file per slice")
        _check_is_ct(scan, source)
        digest = hashlib.sha256(scan.array.tobytes() + repr(scan.geometry).encode()).hexdigest()
        write_ct_series(
            scan,
            out,
            patient_id="CONVERTED",
            study_description="Converted from an image file",
            series_description=f"Converted, voxels {digest[:16]}",
            seed=int(digest[:8], 16),
        )
    else:
        raise _impossible(source, "a scan", to)
    return notes


def _convert_contours(
    source: Path, source_format: OutputFormat, out: Path, options: Conversion, to: OutputFormat | None
) -> tuple[str, ...]:
    to = to or ("image" if is_image_file(out) else "rtstruct")
    notes: tuple[str, ...] = ()
    is_dicom = source_format in ("rtstruct", "seg")
    referred_uid = read_reference(source).series_uid if source_format == "rtstruct" else None
    ct = _read_ct(options, source, referred_uid) if is_dicom or to in ("rtstruct", "seg") or options.ct else None
    in_label_map = to == "image" and not out.name.endswith(SLICER_SUFFIX)
    if is_dicom:
        assert ct is not None
        segmentation, report = _read_contours(source, source_format, ct, options)
        notes = _contour_notes(report, segmentation, options, in_label_map=in_label_map)
    else:
        segmentation = _read_labels(source, options)
        if ct is not None:
            segmentation, notes = _labels_on_ct(segmentation, ct, source, options)
        if in_label_map:
            masks = {name: segmentation.mask(name) for name in segmentation.structures}
            segmentation, overlaps = paint_label_map(masks, segmentation.structures, segmentation.labels.geometry)
            notes = (*notes, *_losses_in_label_map(segmentation, overlaps, options))
    notes = (*(ct.notes if ct else ()), *notes)
    if to == "image" and in_label_map:
        if names_are_in_use(out, segmentation.structures):
            check_overwrite(label_names_file(out), force=options.force)
        write_volume(segmentation.labels, _image_file(out))
        write_label_names(out, segmentation.structures)
    elif to == "image":
        write_slicer_segmentation(segmentation, out, options.names)
    elif to == "masks":
        _check_is_folder(out, "masks are written to a folder, with one file per structure")
        with atomic_write(out) as partial_folder:
            write_mask_folder(segmentation, partial_folder)
    elif to == "rtstruct" and ct is not None:
        write_rtstruct(
            segmentation,
            ct,
            out,
            names=options.names,
            label="Converted",
            description=_DESCRIPTION,
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
            description=_DESCRIPTION,
            software_version=version("gynbtnet"),
            automatic=False,
            force=options.force,
        )
    else:
        raise _impossible(source, "contours", to)
    return notes


def _convert_doses(doses: Sequence[Dose], out: Path, options: Conversion, to: OutputFormat | None) -> tuple[str, ...]:
    to = to or ("image" if is_image_file(out) else "rtdose")
    ct = _read_ct(options, out) if options.ct or to == "rtdose" else None
    if ct is not None and any(dose.frame_of_reference_uid != ct.frame_of_reference_uid for dose in doses):
        raise BadInput(f"A dose has another frame of reference than the CT in {options.ct}; give the CT of its plan.")
    grid = ct.volume.geometry if ct is not None and to == "image" else doses[0].grid.geometry
    total = sum_doses(doses, grid)
    notes = (*(ct.notes if ct else ()), *_outside_doses(doses, grid))
    if to == "image":
        write_volume(total, _image_file(out))
    elif to == "rtdose" and ct is not None:
        notes = (*notes, *_write_dose(total, out, ct))
    else:
        raise _impossible(out, "a dose", to)
    return notes


def _outside_doses(doses: Sequence[Dose], grid: Geometry) -> tuple[str, ...]:
    """Return a note if a part of a grid is outside of a dose.

    Raises:
        BadInput: If the whole grid is outside of a dose.
    """
    shares = [float(voxels_outside(grid, dose.grid.geometry).mean()) for dose in doses]
    for dose, share in zip(doses, shares, strict=True):
        if share == 1:
            raise BadInput(
                f"{dose.path} has no dose within the grid of the result, which would be 0 everywhere; give the CT of "
                "its plan with --ct."
            )
    if not any(shares):
        return ()
    largest = f"Up to {100 * max(shares):.2g} % of the voxels are outside of a dose grid"
    return (f"{largest}; the dose there is unknown and counts as 0 Gy.",)


def _write_dose(dose: Volume, out: Path, ct: CTSeries) -> tuple[str, ...]:
    if not np.isfinite(dose.array).all() or dose.array.min() < 0:
        raise BadInput(f"The lowest dose for {out} is {dose.array.min():g} Gy; expected at least 0: is it a dose?")
    ct.check_referable(slices=False)
    write_rtdose(dose, ct, out, description=_DESCRIPTION)
    return ()


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


def _label_names(source: Path) -> tuple[str, ...] | None:
    """Return the names of the labels of an image file; those of a prediction only if its values are labels."""
    names = read_label_names(source) or read_predicted_names(source)
    return names if names and (read_label_names(source) or is_label_map(read_volume(source))) else None


def _read_labels(source: Path, options: Conversion) -> Segmentation:
    """Read a label map with its structure names, or masks."""
    if source.is_dir():
        found = sorted(path.name.removesuffix(MASK_SUFFIX) for path in source.glob(f"[!.]*{MASK_SUFFIX}"))
        return read_mask_folder(source, options.structures or found)
    if has_segments(source):
        segmentation = read_slicer_segmentation(source, options.names)
        return segmentation.relabelled(options.structures) if options.structures else segmentation
    volume = read_volume(source)
    structures = options.structures or _label_names(source)
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
    return Segmentation(Volume(array.astype(dtype), volume.geometry), tuple(structures))


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


def _read_ct(options: Conversion, source: Path, referred_uid: str | None = None) -> CTSeries:
    if options.ct is None:
        raise BadInput(f"{source} requires the CT to which it belongs; give its folder with --ct.")
    return read_ct_series(options.ct, options.series_uid, options.repairs, referred_uid=referred_uid)


def _check_is_ct(scan: Volume, source: Path) -> None:
    """Check that a scan can be read again after it is written as a CT series."""
    if len(scan.array) < 2:
        raise BadInput(f"{source} has a single slice; expected at least two, as a CT series has.")
    if np.count_nonzero(scan.array > MAX_HU) > MAX_BEYOND_RANGE * scan.array.size:
        raise BadInput(f"{source} has values up to {scan.array.max():g}; expected a CT in HU, up to {MAX_HU}.")


def _check_is_folder(out: Path, expected: str) -> None:
    if out.suffix:
        raise BadInput(f"{out} has the name of a file; {expected}.")


def _image_file(out: Path) -> Path:
    if not is_image_file(out):
        raise BadInput(
            f"{out} doesn't have the name of an image file; expected one that ends in {', '.join(SUFFIXES)}."
        )
    return out


def _impossible(source: Path, content: str, to: OutputFormat) -> BadInput:
    return BadInput(f"{source} holds {content}, which can't be converted to “{to}”; choose another format with --to.")
