"""Scans, contours and doses from any of their forms into any other that holds the same."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np

from gynbtnet.imaging.contours.mask_to_contours import ContourStyle, HoleStyle
from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_series
from gynbtnet.imaging.dicom.ct_writer import write_ct_series
from gynbtnet.imaging.dicom.objects import code_value, dicom_errors_as_bad_input, read_object, refuse_existing
from gynbtnet.imaging.dicom.rt.dose_sum import sum_doses
from gynbtnet.imaging.dicom.rt.rtdose_reader import Dose, read_rtdose
from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
from gynbtnet.imaging.dicom.rt.rtstruct_reader import ContourReport, read_rtstruct
from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
from gynbtnet.imaging.dicom.seg_reader import read_seg
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.label_names import read_label_names, write_label_names
from gynbtnet.imaging.files.volume_files import SUFFIXES, is_image_file, read_volume, write_volume
from gynbtnet.imaging.overlap_losses import check_losses, measure_overlap_losses
from gynbtnet.imaging.resample_to_grid import resample_segmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation, Volume
from gynbtnet.imaging.whole_labels import as_whole_labels
from gynbtnet.runtime.errors import BadInput

OutputFormat = Literal["image", "ct", "rtstruct", "seg", "rtdose"]
_FORMS = {"RTSTRUCT": "rtstruct", "SEG": "seg", "RTDOSE": "rtdose"}
_DESCRIPTION = "Converted by GynBTNet, research use only, not reviewed"


@dataclass(frozen=True)
class Conversion:
    """How to convert.

    Attributes:
        ct: folder of the CT series that contours or doses belong to; contours in DICOM can't do without.
        series_uid: which series, where a folder holds several.
        repairs: which flaws of a CT series to mend.
        structures: contours to take, and the meaning of labels 1, 2, …; None for all whose names are known.
        names: how structures are called.
        contour_style: contours in an RTSTRUCT, see :func:`~gynbtnet.imaging.dicom.rt.rtstruct_writer.write_rtstruct`.
        hole_style: holes in an RTSTRUCT, see the same function.
        resample_labels: bring a label map onto the grid of ``ct`` where it lies on another.
        allow_overlap: write a label map even if a structure loses more than
            :data:`~gynbtnet.imaging.overlap_losses.LARGEST_LOSS` of its volume to others in it.
        force: whether an existing file is replaced.
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


def convert(source: Sequence[Path], out: Path, how: Conversion, to: OutputFormat | None = None) -> tuple[str, ...]:
    """Convert ``source`` to ``out``; returns what had to be decided, a sentence each.

    A scan is a folder with a CT series or an image file. Contours are an RTSTRUCT, a DICOM SEG, or an image file with
    labels, whose names are in a JSON file beside it or in ``how.structures``. A dose is one RTDOSE or several, which
    are summed on the grid of ``how.ct``, or else of the first.

    Args:
        source: one file or folder; several RTDOSE files.
        out: an image file, a DICOM file, or a folder for a CT series.
        how: how to convert.
        to: which form; left out it follows from ``out``: an image by its suffix, otherwise a folder for a scan, an
            RTSTRUCT for contours, an RTDOSE for doses.

    Raises:
        BadInput: where a source can't be read, or can't become what is wanted.
    """
    if not source:
        raise BadInput("There is nothing to convert; name a file or a folder.")
    out = Path(out)
    refuse_existing(out, force=how.force and not out.is_dir())
    form = _form(source[0])
    if len(source) > 1 and form != "rtdose":
        raise BadInput(
            f"{len(source)} sources are given; only RTDOSE files are converted together: convert one by one."
        )
    if form == "rtdose":
        return _convert_doses([read_rtdose(path) for path in source], out, how, to)
    labelled = form == "image" and (how.structures or to in ("rtstruct", "seg") or read_label_names(source[0]))
    if form in ("rtstruct", "seg") or labelled:
        return _convert_contours(source[0], form, out, how, to)
    return _convert_scan(source[0], form, out, how, to)


def _form(source: Path) -> OutputFormat:
    if source.is_dir():
        return "ct"
    if is_image_file(source):
        return "image"
    with dicom_errors_as_bad_input(source):
        modality = code_value(read_object(source, f"DICOM or an image file ({', '.join(SUFFIXES)})"), "Modality")
    if modality not in _FORMS:
        raise BadInput(
            f"{source} is of modality {modality or 'unknown'}; expected RTSTRUCT, SEG or RTDOSE, and of a CT the "
            "folder with all its slices."
        )
    return _FORMS[modality]  # type: ignore[return-value]


def _convert_scan(
    source: Path, form: OutputFormat, out: Path, how: Conversion, to: OutputFormat | None
) -> tuple[str, ...]:
    to = to or ("image" if is_image_file(out) else "ct")
    notes: tuple[str, ...] = ()
    if form == "ct":
        ct = read_ct_series(source, how.series_uid, how.repairs)
        scan, notes = ct.volume, ct.notes
    else:
        scan = read_volume(source)
    if to == "rtdose" and form == "image":
        return (*notes, *_write_dose(scan, out, _ct(how, source)))
    if to == "image":
        write_volume(scan, _image_file(out))
    elif to == "ct":
        if out.suffix:
            raise BadInput(f"{out} is no folder by its name; a CT series is written into a folder, one file a slice.")
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
    source: Path, form: OutputFormat, out: Path, how: Conversion, to: OutputFormat | None
) -> tuple[str, ...]:
    to = to or ("image" if is_image_file(out) else "rtstruct")
    notes: tuple[str, ...] = ()
    drawn_on = read_reference(source).series_uid if form == "rtstruct" else None
    ct = _ct(how, source, drawn_on) if form != "image" or to != "image" or how.ct else None
    if form == "image":
        segmentation = _labels(source, how)
        if ct is not None:
            segmentation, notes = _on_ct(segmentation, ct, source, how)
    else:
        assert ct is not None
        segmentation, report = _drawn(source, form, ct, how)
        notes = _told(report, segmentation, how, in_label_map=to == "image")
    notes = (*(ct.notes if ct else ()), *notes)
    if to == "image":
        write_volume(segmentation.labels, _image_file(out))
        write_label_names(out, segmentation.structures)
    elif to == "rtstruct" and ct is not None:
        write_rtstruct(
            segmentation,
            ct,
            out,
            names=how.names,
            label="Converted",
            description=_DESCRIPTION,
            software_version=version("gynbtnet"),
            contour_style=how.contour_style,
            hole_style=how.hole_style,
            automatic=False,
            force=how.force,
        )
    elif to == "seg" and ct is not None:
        write_seg(
            segmentation,
            ct,
            out,
            names=how.names,
            description=_DESCRIPTION,
            software_version=version("gynbtnet"),
            automatic=False,
            force=how.force,
        )
    else:
        raise _impossible(source, "contours", to)
    return notes


def _convert_doses(doses: Sequence[Dose], out: Path, how: Conversion, to: OutputFormat | None) -> tuple[str, ...]:
    to = to or ("image" if is_image_file(out) else "rtdose")
    ct = _ct(how, out) if how.ct or to == "rtdose" else None
    if ct is not None and any(dose.frame_of_reference_uid != ct.frame_of_reference_uid for dose in doses):
        raise BadInput(f"A dose lies in another frame of reference than the CT in {how.ct}; give the CT of its plan.")
    total = sum_doses(doses, ct.volume.geometry if ct is not None and to == "image" else doses[0].grid.geometry)
    notes = ct.notes if ct else ()
    if to == "image":
        write_volume(total, _image_file(out))
    elif to == "rtdose" and ct is not None:
        notes = (*notes, *_write_dose(total, out, ct))
    else:
        raise _impossible(out, "a dose", to)
    return notes


def _write_dose(dose: Volume, out: Path, ct: CTSeries) -> tuple[str, ...]:
    if not np.isfinite(dose.array).all() or dose.array.min() < 0:
        raise BadInput(f"The dose for {out} goes down to {dose.array.min():g} Gy; expected none below 0: is it a dose?")
    ct.check_referable(slices=False)
    write_rtdose(dose, ct, out, description=_DESCRIPTION)
    return ()


def _drawn(source: Path, form: OutputFormat, ct: CTSeries, how: Conversion) -> tuple[Segmentation, ContourReport]:
    """The structures wanted, else all that the file has under known names."""
    read = read_rtstruct if form == "rtstruct" else read_seg
    known = how.structures or tuple(dict.fromkeys((*how.names.entries, *how.names.aliases.values())))
    segmentation, report = read(source, ct, known, how.names)
    if how.structures is None and report.missing:
        segmentation, _ = read(source, ct, tuple(report.rois), how.names)
        report = replace(report, missing=())  # nobody asked for them
    return segmentation, report


def _told(report: ContourReport, segmentation: Segmentation, how: Conversion, *, in_label_map: bool) -> tuple[str, ...]:
    """What reading found; of overlaps only what a label map loses by them, since DICOM keeps every contour whole.

    Raises:
        OverlapTooLarge: If a structure loses too much in the label map and the user doesn't accept that.
    """
    notes = list(report.notes)
    if report.missing:
        notes.append(f"The file has no contours of {', '.join(report.missing)}.")
    meanings = {name: how.names.resolve(name) for name in report.unmapped}
    unknown = ", ".join(f"“{name}”" for name, meaning in meanings.items() if meaning is None)
    if unknown:
        notes.append(f"Left out {unknown}, whose names mean none of the structures; map them with an alias file.")
    others = ", ".join(f"“{name}” ({meaning})" for name, meaning in meanings.items() if meaning is not None)
    if others:
        notes.append(f"Left out {others}, not among the structures asked for.")
    losses = measure_overlap_losses(segmentation, report.overlaps) if in_label_map else ()
    if not how.allow_overlap:
        check_losses(losses)
    return (*notes, *(loss.in_label_map for loss in losses))


def _labels(source: Path, how: Conversion) -> Segmentation:
    volume = read_volume(source)
    structures = how.structures or read_label_names(source)
    if structures is None:
        raise BadInput(
            f"Nothing says what the labels in {source} mean; name the structures of label 1, 2, … with --structures."
        )
    array = as_whole_labels(volume, source).array
    if array.min() < 0 or array.max() > len(structures):
        raise BadInput(
            f"{source} holds values from {array.min():g} to {array.max():g}; expected the labels 0 to "
            f"{len(structures)} of {', '.join(structures)}: name a structure for each label."
        )
    kind = np.uint8 if len(structures) < 256 else np.uint16
    return Segmentation(Volume(array.astype(kind), volume.geometry), tuple(structures))


def _on_ct(
    segmentation: Segmentation, ct: CTSeries, source: Path, how: Conversion
) -> tuple[Segmentation, tuple[str, ...]]:
    """The same voxels in the order of the CT's, or resampled onto its grid where that is allowed."""
    labels, grid = segmentation.labels, ct.volume.geometry
    if grid.is_reoriented(labels.geometry):
        return Segmentation(resample_segmentation(labels, grid), segmentation.structures), ()
    if not how.resample_labels:
        raise BadInput(
            f"{source} lies on another grid than the CT, {grid.difference(labels.geometry)}; give the CT that it was "
            "drawn on, or have it resampled with --resample-labels."
        )
    note = f"Resampled the labels onto the grid of the CT: {grid.difference(labels.geometry)}."
    return Segmentation(resample_segmentation(labels, grid), segmentation.structures), (note,)


def _ct(how: Conversion, what: Path, referred_uid: str | None = None) -> CTSeries:
    if how.ct is None:
        raise BadInput(f"{what} needs the CT that it belongs to; name its folder with --ct.")
    return read_ct_series(how.ct, how.series_uid, how.repairs, referred_uid=referred_uid)


def _image_file(out: Path) -> Path:
    if not is_image_file(out):
        raise BadInput(f"{out} is no image file by its name; expected one that ends in {', '.join(SUFFIXES)}.")
    return out


def _impossible(source: Path, what: str, to: OutputFormat) -> BadInput:
    return BadInput(f"{source} holds {what}, which does not become the form “{to}”; choose another one with --to.")
