"""A segmentation as DICOM SEG, on the CT that it belongs to, through highdicom."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import (
    copy_patient_and_study,
    decimal_strings,
    lenient_pydicom,
    new_uid,
    read_header,
    refuse_existing,
    series_description,
    write_object,
)
from gynbtnet.imaging.dicom.series import complete_uids
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.errors import BadInput

_TAKEN = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionIndexSequence",
    "DimensionOrganizationSequence",
)
_LOSSY = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence, PlanePositionSequence
    from highdicom.seg import SegmentDescription


def write_seg(
    segmentation: Segmentation,
    ct: CTSeries,
    path: Path,
    *,
    names: StructureNames,
    description: str,
    software_version: str,
    automatic: bool = True,
    force: bool = False,
) -> None:
    """Write every structure as a segment in the study and frame of reference of ``ct``, one bit a voxel.

    Frames without voxels are left out; a structure without voxels stays in the list of segments. Slices that were
    interpolated when the CT was read get no frame. If a gantry tilt was undone, frames have the positions of the
    voxels, not of the images. On a CT that calls itself synthetic the description says so too.

    Args:
        segmentation: on the grid of ``ct``.
        ct: the scan that was segmented.
        path: of the file to write.
        names: how structures are called, coded and coloured.
        description: of the series.
        software_version: of what made the segmentation.
        automatic: whether software drew it; of others DICOM SEG can only say that they were drawn by hand.
        force: whether a file that stands at ``path`` is replaced.

    Raises:
        BadInput: where ``path`` exists and not ``force``, nothing is segmented, or the CT lacks its UIDs.
        ValueError: where the segmentation doesn't lie on the grid of ``ct``.
    """
    path = Path(path)
    refuse_existing(path, force=force)
    ct.check_referable()
    if not ct.volume.geometry.is_same(segmentation.labels.geometry):
        raise ValueError("the segmentation does not lie on the grid of the CT")
    by_slice = _by_slice(segmentation, ct)
    if not by_slice.any():
        raise BadInput(f"No structure has a voxel, and a DICOM SEG without frames is none; {path} is not written.")
    import highdicom

    with lenient_pydicom():
        sources = [_source(file, ct) for file in ct.files]
        order = np.arange(len(ct.slices))
        if ct.slices[0].frame is not None:
            order = np.argsort([one.frame or 0 for one in ct.slices])
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name="GynBTNet",
            version=software_version,
            family=codes.DCM.ArtificialIntelligence,
        )
        seg = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=by_slice[order].astype(np.uint8),
            plane_positions=[_position(ct, ct.slices[number].z) for number in order] if ct.is_shifted else None,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _segment(number, structure, names, algorithm if automatic else None)
                for number, structure in enumerate(segmentation.structures, start=1)
            ],
            series_instance_uid=new_uid(),
            series_number=1,
            sop_instance_uid=new_uid(),
            instance_number=1,
            manufacturer="GynBTNet",
            manufacturer_model_name="GynBTNet",
            software_versions=software_version,
            device_serial_number="0",
            content_label="CONTOURS",
            content_description="Research use only, not reviewed",
            series_description=series_description(read_header(ct.files[0], "a CT slice"), description),
        )
        write_object(seg, path)


def _by_slice(segmentation: Segmentation, ct: CTSeries) -> npt.NDArray[Any]:
    """The structures on the slices that were scanned.

    Returns:
        Labels (slices, y, x); of a repaired series the later of two shapes that come to overlap counts. If structures
        overlap, a plane for each of them (slices, y, x, structures).
    """
    labels = segmentation.labels.array
    if isinstance(segmentation, OverlappingSegmentation):
        return np.stack([ct.on_slices(segmentation.mask(name)) for name in segmentation.structures], axis=-1)
    if not ct.is_mended:
        return labels
    by_slice = np.zeros((len(ct.slices), *labels.shape[1:]), labels.dtype)
    for number, structure in enumerate(segmentation.structures, start=1):
        by_slice[ct.on_slices(segmentation.mask(structure))] = number
    return by_slice


def _position(ct: CTSeries, z: float) -> "PlanePositionSequence":
    """The position of a slice in the volume; that of its image differs if a gantry tilt was undone."""
    from highdicom import PlanePositionSequence

    return PlanePositionSequence("PATIENT", ct.volume.geometry.to_world((z, 0, 0)).tolist())


def _source(file: Path, ct: CTSeries) -> Dataset:
    """What a SEG takes from a file of the CT: geometry and identity, with valid values of patient and study.

    Everything else stays behind, since anonymisers leave values in it that make no SEG.
    """
    header = read_header(file, "a CT slice")
    complete_uids(header)
    source = Dataset()
    source.file_meta = header.file_meta
    lossy = header.get("LossyImageCompression") == "01" and all(header.get(keyword) for keyword in _LOSSY)
    for keyword in (*_TAKEN, *(("LossyImageCompression", *_LOSSY) if lossy else ())):
        if keyword in header:
            source[keyword] = header[keyword]
    source.Modality = "CT"
    copy_patient_and_study(header, source)
    source.SpecificCharacterSet = "ISO_IR 192"  # highdicom refuses some that are allowed
    source.PixelSpacing = decimal_strings(ct.volume.geometry.spacing[1:])
    if "PerFrameFunctionalGroupsSequence" in header:
        _share_what_is_common(source, ct)
    else:
        source.SliceThickness = _thickness(header, ct)
    return source


def _thickness(header: Dataset, ct: CTSeries) -> str:
    """The SliceThickness in mm as a decimal string; the distance of the slices if the header has none."""
    try:
        thickness = float(header.get("SliceThickness") or 0)
    except (TypeError, ValueError):
        thickness = 0
    return decimal_strings([thickness if 0 < thickness < math.inf else ct.volume.geometry.spacing[0]])[0]


def _share_what_is_common(source: Dataset, ct: CTSeries) -> None:
    """Put spacing and orientation, equal in all frames of a CT that was read, where highdicom looks for them."""
    shared = Dataset()
    first = source.PerFrameFunctionalGroupsSequence[0]
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        groups = (source.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        shared[keyword] = groups[keyword] if groups.get(keyword) else first[keyword]
    measures = shared.PixelMeasuresSequence[0]
    measures.SliceThickness = _thickness(measures, ct)
    source.SharedFunctionalGroupsSequence = [shared]


def _segment(
    number: int, structure: str, names: StructureNames, algorithm: "AlgorithmIdentificationSequence | None"
) -> "SegmentDescription":
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    value, meaning = names.code(structure)
    is_organ = names.interpreted_type(structure) == "ORGAN"
    return SegmentDescription(
        segment_number=number,
        segment_label=names.tg263(structure)[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure
        if is_organ
        else codes.SCT.SpatialAndRelationalConcept,  # PS3.16 CID 7150
        segmented_property_type=Code(value, "SCT", meaning),
        algorithm_type="AUTOMATIC" if algorithm else "MANUAL",
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(*names.colour(structure)),
    )
