"""Writing of a segmentation as DICOM RTSTRUCT."""

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
    check_overwrite,
    current_date_and_time,
    lenient_pydicom,
    new_object,
    new_uid,
    patient_and_study,
    read_header,
    series_description,
    write_object,
)
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.array_types import FloatArray
from gynbtnet.runtime.errors import BadInput

_STUDY_COMPONENT = UID("1.2.840.10008.3.1.2.3.1")  # class of an RT Referenced Study, retired but required
_CONTOUR_DATA = Tag("ContourData")
_LABEL_LENGTH = 16  # maximum of a StructureSetLabel, value representation SH
_TEXT_LENGTH = 1024  # maximum of a description, value representation ST
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

    A structure without voxels becomes a ROI without contours. If the description of the CT is marked SYNTHETIC, that of
    the RTSTRUCT is too. Slices that were interpolated when the CT was read get no contour, since they have no image.

    Args:
        segmentation: segmentation on the grid of ``ct``.
        ct: the scan that was segmented.
        path: file to write.
        names: names and colours of structures.
        label: the StructureSetLabel that planning systems list, at most 16 characters; it should name the model.
        description: the SeriesDescription.
        software_version: version of the software that made the contours.
        contour_style: ``smooth`` (sub-voxel) or ``exact`` (along voxel edges).
        hole_style: ``keyhole`` is the standard's form for closed planar contours, and every planning system reads it.
            ``inner`` makes separate contours, which are correct only in readers that combine contours by XOR.
        automatic: True if software made the contours; otherwise the ROIGenerationAlgorithm stays empty.
        remarks: ROIDescription by structure, such as a request to review it; see :func:`short_text`.
        summary: the StructureSetDescription.
        force: replace an existing file.

    Raises:
        BadInput: If ``path`` exists and not ``force``, the label is too long, or the CT lacks UIDs.
        ValueError: If the segmentation isn't on the grid of ``ct``.

    Example:
        >>> write_rtstruct(
        ...     contours, ct, folder / "RS.dcm", names=StructureNames.load(), label="My model",
        ...     description="Research use only", software_version="1.0",
        ... )
        >>> [roi.ROIName for roi in pydicom.dcmread(folder / "RS.dcm").StructureSetROISequence]
        ['CTV_High', 'Bladder', 'Rectum', 'Colon_Sigmoid', 'Uterus']
    """
    path = Path(path)
    check_overwrite(path, force=force)
    if not 1 <= len(label) <= _LABEL_LENGTH:
        raise BadInput(
            f"The label “{label}” has {len(label)} characters; DICOM allows 1 to {_LABEL_LENGTH}: shorten it."
        )
    ct.check_referable()
    if not ct.volume.geometry.is_same(segmentation.labels.geometry):
        raise ValueError("the segmentation is not on the grid of the CT")
    with lenient_pydicom():
        # Explicit VR would need another value representation for a contour of more than 64 kB.
        rtstruct = new_object(RT_STRUCTURE_SET, new_uid(), ImplicitVRLittleEndian)
        source = read_header(ct.files[0], "a CT slice")
        rtstruct.update(patient_and_study(source))
        rtstruct.update(current_date_and_time("InstanceCreation", "StructureSet"))
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

            roi_contour = Dataset()
            roi_contour.ROIDisplayColor = list(names.colour(structure))
            mask = ct.mask_on_slices(segmentation.mask(structure))
            contours = mask_to_contours(mask, ct.scanned_grid, contour_style=contour_style, hole_style=hole_style)
            items = contour_items(contours, ct)
            if items:
                roi_contour.ContourSequence = items
            roi_contour.ReferencedROINumber = number
            rtstruct.ROIContourSequence.append(roi_contour)

            observation = Dataset()
            observation.ObservationNumber = number
            observation.ReferencedROINumber = number
            observation.RTROIInterpretedType = names.interpreted_type(structure)
            observation.ROIInterpreter = ""
            rtstruct.RTROIObservationsSequence.append(observation)
        write_object(rtstruct, path)


def short_text(text: str) -> str:
    """Return a text that is valid as DICOM's Short Text (ST) in any character set.

    Args:
        text: any text.

    Returns:
        ASCII without control characters, at most 1,024 characters. A longer text is cut between words and ends with
        three dots.
    """
    plain = text.translate(_IN_ASCII).encode("ascii", "replace").decode()
    plain = " ".join("".join(character if character.isprintable() else " " for character in plain).split())
    if len(plain) <= _TEXT_LENGTH:
        return plain
    whole, _, _ = plain[: _TEXT_LENGTH - 3].rpartition(" ")
    return f"{whole or plain[: _TEXT_LENGTH - 3]}..."


def _reference(ct: CTSeries) -> Dataset:
    """Return the reference to the frame of reference, study, series and slices of the contours."""
    series = Dataset()
    series.SeriesInstanceUID = ct.series_uid
    series.ContourImageSequence = [_image_reference(image) for image in ct.slices]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = ct.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = ct.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _image_reference(image: CTSlice) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.sop_class_uid
    reference.ReferencedSOPInstanceUID = image.sop_instance_uid
    if image.frame is not None:
        reference.ReferencedFrameNumber = image.frame
    return reference


def contour_items(contours: Sequence[Contour], ct: CTSeries) -> list[Dataset]:
    """Return the DICOM items of contours, moved along the normal from the regular grid to the slices' positions.

    Args:
        contours: contours on :attr:`CTSeries.scanned_grid`; their ``z`` is the index of the scanned slice.
        ct: the scan.

    Returns:
        Items of a ContourSequence, in the order of the slices.
    """
    by_slice: dict[int, list[Contour]] = {}
    for contour in contours:
        by_slice.setdefault(contour.z, []).append(contour)
    geometry = ct.volume.geometry
    step = geometry.to_world((1, 0, 0)) - geometry.to_world((0, 0, 0))
    return [
        _contour_item(contour.points + step * (image.z - number), image)
        for number, image in enumerate(ct.slices)
        for contour in by_slice.get(number, ())
    ]


def _contour_item(points: FloatArray, image: CTSlice) -> Dataset:
    """Return one contour with its points as text, since pydicom's object per number takes ten times as long."""
    item = Dataset()
    item.ContourImageSequence = [_image_reference(image)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    text = "\\".join([f"{value:.4f}" for value in points.ravel().tolist()]).encode()
    text += b" " * (len(text) % 2)
    item.set_original_encoding(True, True, default_encoding)  # as the file, so that the text is written unchanged
    item[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(text), text, 0, True, True)
    return item
