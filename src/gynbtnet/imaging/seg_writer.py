"""A segmentation as DICOM SEG, on the CT that it belongs to, through highdicom."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from gynbtnet.errors import BadInput
from gynbtnet.imaging.ct_series import CTSeries
from gynbtnet.imaging.dicom_objects import (
    copy_patient_and_study,
    lenient,
    new_uid,
    refuse_existing,
    series_words,
    write_object,
)
from gynbtnet.imaging.dicom_series import complete_uids
from gynbtnet.imaging.structure_masks import OverlappingSegmentation
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.imaging.volume import Segmentation

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
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
    interpolated when the CT was read get no frame. On a CT that calls itself synthetic the description says so too.

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
    by_slice = segmentation.labels.array[[round(one.z) for one in ct.slices]]
    if isinstance(segmentation, OverlappingSegmentation):  # a plane for each structure, (slices, y, x, structures)
        planes = [round(one.z) for one in ct.slices]
        by_slice = np.stack([segmentation.mask(name)[planes] for name in segmentation.structures], axis=-1)
    if not by_slice.any():
        raise BadInput(f"No structure has a voxel, and a DICOM SEG without frames is none; {path} is not written.")
    import highdicom

    with lenient():
        sources = [_source(file) for file in ct.files]
        if ct.slices[0].frame is not None:
            by_slice = by_slice[np.argsort([one.frame or 0 for one in ct.slices])]
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name="GynBTNet",
            version=software_version,
            family=codes.DCM.ArtificialIntelligence,
        )
        seg = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=by_slice.astype(np.uint8),
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
            series_description=series_words(sources[0], description),
        )
        write_object(seg, path)


def _source(file: Path) -> Dataset:
    """The header of a file of the CT, with what the standard wants in it and an anonymiser may have taken."""
    header = pydicom.dcmread(file, stop_before_pixels=True)
    complete_uids(header)
    copy_patient_and_study(header, header)
    if "PerFrameFunctionalGroupsSequence" in header:
        _share_what_is_common(header)
    return header


def _share_what_is_common(header: Dataset) -> None:
    """Spacing and orientation, the same for all frames of a CT that was read, into the groups where highdicom looks."""
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
        if keyword not in shared:
            shared[keyword] = header.PerFrameFunctionalGroupsSequence[0][keyword]
    header.SharedFunctionalGroupsSequence = [shared]


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
