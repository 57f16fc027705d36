"""A segmentation as DICOM RTSTRUCT, on the CT that it belongs to."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, ImplicitVRLittleEndian

from gynbtnet.imaging.contours.contours_to_mask import Contour
from gynbtnet.imaging.contours.mask_to_contours import ContourStyle, HoleStyle, mask_to_contours
from gynbtnet.imaging.dicom.ct_series import CTSeries, CTSlice
from gynbtnet.imaging.dicom.objects import (
    RT_STRUCTURE_SET,
    copy_patient_and_study,
    lenient_pydicom,
    new_object,
    new_uid,
    read_header,
    refuse_existing,
    series_description,
    set_content_date,
    write_object,
)
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput

_STUDY_COMPONENT = UID("1.2.840.10008.3.1.2.3.1")  # what RT Referenced Study refers to, retired but demanded
_CONTOUR_DATA = Tag("ContourData")
_LABEL_LENGTH = 16  # of a StructureSetLabel, value representation SH
_TEXT_LENGTH = 1024  # of a description, value representation ST
_IN_ASCII = str.maketrans({"³": "3", "–": "-", "×": "x", "±": "+/-", "“": '"', "”": '"', "’": "'"})


def write_rtstruct(
    segmentation: Segmentation,
    ct: CTSeries,
    path: Path,
    *,
    names: StructureNames,
    label: str,
    description: str,
    software_version: str,
    contour_style: ContourStyle = "smooth",
    hole_style: HoleStyle = "keyhole",
    automatic: bool = True,
    remarks: Mapping[str, str] | None = None,
    summary: str = "",
    force: bool = False,
) -> None:
    """Write every structure as a ROI in the study, series and frame of reference of ``ct``.

    A structure without voxels becomes a ROI without contours. On a CT that calls itself synthetic the description says
    so too. Slices that were interpolated when the CT was read get no contour: there is no image to draw it on.

    Args:
        segmentation: on the grid of ``ct``.
        ct: the scan to draw on.
        path: of the file to write.
        names: how structures are called and coloured.
        label: what planning systems list, at most 16 characters; say which model.
        description: of the series.
        software_version: of what made the contours.
        contour_style: ``smooth`` (sub-voxel) or ``exact`` (along voxel edges).
        hole_style: ``keyhole``, the standard's form for closed planar contours, which every planning system reads, or
            ``inner``, separate contours, which are correct only in readers that combine contours by XOR.
        automatic: whether software drew the contours; of others the generation algorithm stays empty.
        remarks: by structure, what its ROI Description says, such as that it is to be reviewed; see :func:`short_text`.
        summary: what the Structure Set Description says.
        force: whether a file that stands at ``path`` is replaced.

    Raises:
        BadInput: where ``path`` exists and not ``force``, the label is too long, or the CT lacks its UIDs.
        ValueError: where the segmentation doesn't lie on the grid of ``ct``.
    """
    path = Path(path)
    refuse_existing(path, force=force)
    if not 1 <= len(label) <= _LABEL_LENGTH:
        raise BadInput(
            f"The label “{label}” has {len(label)} characters; DICOM allows 1 to {_LABEL_LENGTH}: shorten it."
        )
    ct.check_referable()
    if not ct.volume.geometry.is_same(segmentation.labels.geometry):
        raise ValueError("the segmentation does not lie on the grid of the CT")
    with lenient_pydicom():
        # In explicit VR a contour of more than 64 kB would have to change its value representation.
        rtstruct = new_object(RT_STRUCTURE_SET, new_uid(), ImplicitVRLittleEndian)
        source = read_header(ct.files[0], "a CT slice")
        copy_patient_and_study(source, rtstruct)
        set_content_date(rtstruct, "InstanceCreation", "StructureSet")
        rtstruct.Modality = "RTSTRUCT"
        rtstruct.OperatorsName = ""
        rtstruct.SoftwareVersions = software_version
        rtstruct.SeriesInstanceUID = new_uid()
        rtstruct.SeriesNumber = rtstruct.InstanceNumber = 1
        rtstruct.SeriesDescription = series_description(source, description)
        rtstruct.FrameOfReferenceUID = ct.frame_of_reference_uid
        rtstruct.PositionReferenceIndicator = ""
        rtstruct.StructureSetLabel = label
        if summary:
            rtstruct.StructureSetDescription = short_text(summary)
        rtstruct.ApprovalStatus = "UNAPPROVED"
        rtstruct.ReferencedFrameOfReferenceSequence = [_reference(ct)]
        rtstruct.StructureSetROISequence = []
        rtstruct.ROIContourSequence = []
        rtstruct.RTROIObservationsSequence = []
        for number, structure in enumerate(segmentation.structures, start=1):
            roi = Dataset()
            roi.ROINumber = number
            roi.ReferencedFrameOfReferenceUID = ct.frame_of_reference_uid
            roi.ROIName = names.tg263(structure)[:64]
            if remark := (remarks or {}).get(structure):
                roi.ROIDescription = short_text(remark)
            roi.ROIGenerationAlgorithm = "AUTOMATIC" if automatic else ""
            rtstruct.StructureSetROISequence.append(roi)

            drawing = Dataset()
            drawing.ROIDisplayColor = list(names.colour(structure))
            mask = ct.on_slices(segmentation.mask(structure))
            contours = mask_to_contours(mask, ct.scanned_grid, contour_style=contour_style, hole_style=hole_style)
            items = _on_slices(contours, ct)
            if items:
                drawing.ContourSequence = items
            drawing.ReferencedROINumber = number
            rtstruct.ROIContourSequence.append(drawing)

            observation = Dataset()
            observation.ObservationNumber = number
            observation.ReferencedROINumber = number
            observation.RTROIInterpretedType = names.interpreted_type(structure)
            observation.ROIInterpreter = ""
            rtstruct.RTROIObservationsSequence.append(observation)
        write_object(rtstruct, path)


def short_text(words: str) -> str:
    """As DICOM's Short Text takes it in any character set: ASCII without control characters, 1,024 of them at most.

    What is longer is cut at a word's end, and says so with three dots.
    """
    plain = words.translate(_IN_ASCII).encode("ascii", "replace").decode()
    plain = " ".join("".join(one if one.isprintable() else " " for one in plain).split())
    if len(plain) <= _TEXT_LENGTH:
        return plain
    whole, _, _ = plain[: _TEXT_LENGTH - 3].rpartition(" ")
    return f"{whole or plain[: _TEXT_LENGTH - 3]}..."


def _reference(ct: CTSeries) -> Dataset:
    """The frame of reference, study, series and slices that contours are drawn on."""
    series = Dataset()
    series.SeriesInstanceUID = ct.series_uid
    series.ContourImageSequence = [_slice(one) for one in ct.slices]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = ct.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = ct.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _slice(one: CTSlice) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID = one.sop_class_uid
    image.ReferencedSOPInstanceUID = one.sop_instance_uid
    if one.frame is not None:
        image.ReferencedFrameNumber = one.frame
    return image


def _on_slices(contours: Sequence[Contour], ct: CTSeries) -> list[Dataset]:
    """Every slice's contours, moved along the normal from a plane of equal spacing to the slice's own position."""
    by_slice: dict[int, list[Contour]] = {}
    for contour in contours:
        by_slice.setdefault(contour.z, []).append(contour)
    geometry = ct.volume.geometry
    step = geometry.to_world((1, 0, 0)) - geometry.to_world((0, 0, 0))
    return [
        _contour(contour.points + step * (one.z - number), one)
        for number, one in enumerate(ct.slices)
        for contour in by_slice.get(number, ())
    ]


def _contour(points: FloatArray, one: CTSlice) -> Dataset:
    """One contour. Its points go in as text: pydicom would make an object of every number, at ten times the cost."""
    item = Dataset()
    item.ContourImageSequence = [_slice(one)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    text = "\\".join([f"{value:.4f}" for value in points.ravel().tolist()]).encode()
    text += b" " * (len(text) % 2)
    item.set_original_encoding(True, True, default_encoding)  # the file's: only then is the text written as it is
    item[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(text), text, 0, True, True)
    return item
