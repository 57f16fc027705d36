"""Writing of a segmentation as DICOM SEG, through highdicom."""

import math
from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from gynbtnet.imaging.dicom.ct_series import CTSeries
from gynbtnet.imaging.dicom.objects import (
    check_overwrite,
    decimal_strings,
    lenient_pydicom,
    new_uid,
    patient_and_study,
    read_header,
    series_description,
    write_object,
)
from gynbtnet.imaging.dicom.series import emptied_uids
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation
from gynbtnet.runtime.errors import BadInput

_COPIED = (
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
    edited: Collection[str] = (),
    content: str = "Research use only, not reviewed",
    force: bool = False,
) -> None:
    """Write every structure as a segment in the study and frame of reference of ``ct``, with one bit per voxel.

    Frames without voxels are omitted; a structure without voxels remains in the list of segments. Slices that were
    interpolated when the CT was read get no frame. If a gantry tilt was corrected, frames have the positions of the
    voxels, not of the images. If the description of the CT is marked SYNTHETIC, that of the SEG is too.

    Args:
        segmentation: segmentation on the grid of ``ct``.
        ct: the scan that was segmented.
        path: file to write.
        names: names, codes and colours of structures.
        description: the SeriesDescription.
        software_version: version of the software that made the segmentation.
        automatic: True if software made the segmentation; otherwise DICOM SEG has only the type "manual".
        edited: structures that a person edited after software had made them; their type is "semiautomatic".
        content: the ContentDescription.
        force: replace an existing file.

    Raises:
        BadInput: If ``path`` exists and not ``force``, nothing is segmented, or the CT lacks UIDs.
        ValueError: If the segmentation isn't on the grid of ``ct``.
    """
    path = Path(path)
    check_overwrite(path, force=force)
    ct.check_referable()
    if not ct.volume.geometry.is_same(segmentation.labels.geometry):
        raise ValueError("the segmentation is not on the grid of the CT")
    by_slice = _by_slice(segmentation, ct)
    if not by_slice.any():
        raise BadInput(f"No structure has a voxel, and a DICOM SEG needs at least one frame; {path} is not written.")
    import highdicom

    with lenient_pydicom():
        sources = [_source_image(file, ct) for file in ct.files]
        order = np.arange(len(ct.slices))
        if ct.slices[0].frame is not None:
            order = np.argsort([image.frame or 0 for image in ct.slices])
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
                _segment(number, structure, names, algorithm if automatic else None, is_edited=structure in edited)
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
            content_description=content,
            series_description=series_description(read_header(ct.files[0], "a CT slice"), description),
        )
        write_object(seg, path)


def _by_slice(segmentation: Segmentation, ct: CTSeries) -> npt.NDArray[Any]:
    """Resample the structures to the scanned slices.

    Returns:
        Labels (slices, y, x); if resampled shapes in a repaired series overlap, the later one counts. If the structures
        themselves overlap, one mask per structure (slices, y, x, structures).
    """
    labels = segmentation.labels.array
    if isinstance(segmentation, OverlappingSegmentation):
        return np.stack([ct.mask_on_slices(segmentation.mask(name)) for name in segmentation.structures], axis=-1)
    if not ct.is_repaired:
        return labels
    by_slice = np.zeros((len(ct.slices), *labels.shape[1:]), labels.dtype)
    for number, structure in enumerate(segmentation.structures, start=1):
        by_slice[ct.mask_on_slices(segmentation.mask(structure))] = number
    return by_slice


def _position(ct: CTSeries, z: float) -> "PlanePositionSequence":
    """Return the position of a slice in the volume; that of its image differs if a gantry tilt was corrected."""
    from highdicom import PlanePositionSequence

    return PlanePositionSequence("PATIENT", ct.volume.geometry.to_world((z, 0, 0)).tolist())


def _source_image(file: Path, ct: CTSeries) -> Dataset:
    """Return the geometry and identity of a CT file, with valid values of patient and study, for highdicom.

    Other elements are omitted, since anonymisers leave values in them that are invalid in a SEG.
    """
    header = read_header(file, "a CT slice")
    header.update(emptied_uids(header))
    source = Dataset()
    source.file_meta = header.file_meta
    lossy = header.get("LossyImageCompression") == "01" and all(header.get(keyword) for keyword in _LOSSY)
    for keyword in (*_COPIED, *(("LossyImageCompression", *_LOSSY) if lossy else ())):
        if keyword in header:
            source[keyword] = header[keyword]
    source.Modality = "CT"
    source.update(patient_and_study(header))
    source.SpecificCharacterSet = "ISO_IR 192"  # highdicom refuses some valid character sets
    source.PixelSpacing = decimal_strings(ct.volume.geometry.spacing[1:])
    if "PerFrameFunctionalGroupsSequence" in header:
        source.SharedFunctionalGroupsSequence = [_shared_groups(source, ct)]
    else:
        source.SliceThickness = _thickness(header, ct)
    return source


def _thickness(header: Dataset, ct: CTSeries) -> str:
    """Return the SliceThickness in mm as a decimal string; the distance between slices if the header has none."""
    try:
        thickness = float(header.get("SliceThickness") or 0)
    except (TypeError, ValueError):
        thickness = 0
    return decimal_strings([thickness if 0 < thickness < math.inf else ct.volume.geometry.spacing[0]])[0]


def _shared_groups(source: Dataset, ct: CTSeries) -> Dataset:
    """Return spacing and orientation, equal in all frames of a CT that was read, as shared groups for highdicom."""
    shared = Dataset()
    first = source.PerFrameFunctionalGroupsSequence[0]
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        groups = (source.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        shared[keyword] = deepcopy(groups[keyword] if groups.get(keyword) else first[keyword])
    measures = shared.PixelMeasuresSequence[0]
    measures.SliceThickness = _thickness(measures, ct)
    return shared


def _segment(
    number: int,
    structure: str,
    names: StructureNames,
    algorithm: "AlgorithmIdentificationSequence | None",
    *,
    is_edited: bool,
) -> "SegmentDescription":
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    value, meaning = names.snomed_code(structure)
    by_software = "SEMIAUTOMATIC" if is_edited else "AUTOMATIC"
    is_organ = names.interpreted_type(structure) == "ORGAN"
    return SegmentDescription(
        segment_number=number,
        segment_label=names.tg263(structure)[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure
        if is_organ
        else codes.SCT.SpatialAndRelationalConcept,  # PS3.16 CID 7150
        segmented_property_type=Code(value, "SCT", meaning),
        algorithm_type=by_software if algorithm else "MANUAL",
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(*names.colour(structure)),
    )
