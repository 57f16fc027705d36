"""Images and contours: volumes and segmentations in memory, image files, DICOM series, contours and structure names.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.imaging.contours.contours_to_mask import Contour, contours_to_mask
    from gynbtnet.imaging.contours.mask_to_contours import mask_to_contours
    from gynbtnet.imaging.contours.shape_interpolation import interpolate_shapes
    from gynbtnet.imaging.conversion.convert import convert
    from gynbtnet.imaging.conversion.options import Conversion
    from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_files, read_ct_series
    from gynbtnet.imaging.dicom.ct_writer import write_ct_series
    from gynbtnet.imaging.dicom.incomplete_series import assess_completeness
    from gynbtnet.imaging.dicom.objects import lenient_pydicom
    from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
    from gynbtnet.imaging.dicom.rt.rtdose_writer import write_rtdose
    from gynbtnet.imaging.dicom.rt.rtstruct_reader import read_rtstruct
    from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
    from gynbtnet.imaging.dicom.rtstruct_reference import read_reference
    from gynbtnet.imaging.dicom.seg_reader import read_seg
    from gynbtnet.imaging.dicom.seg_writer import write_seg
    from gynbtnet.imaging.dicom.series import find_series, search_series
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.imaging.files.label_names import read_label_names, write_label_names
    from gynbtnet.imaging.files.library_images import from_nibabel, from_sitk, to_nibabel, to_sitk
    from gynbtnet.imaging.files.mask_folder import read_mask_folder, write_mask_folder
    from gynbtnet.imaging.files.slicer_segmentation import write_slicer_segmentation
    from gynbtnet.imaging.files.volume_files import read_volume, write_volume
    from gynbtnet.imaging.files.voxel_digest import voxel_digest
    from gynbtnet.imaging.geometry import Geometry
    from gynbtnet.imaging.label_map import Overlap, paint_label_map, paint_masks
    from gynbtnet.imaging.metal import METAL_HU, is_metal
    from gynbtnet.imaging.nesting import NO_NESTING, Nesting
    from gynbtnet.imaging.orientation import Reorientation, reorientation_between, reorientation_to_lps
    from gynbtnet.imaging.overlap_losses import OverlapTooLarge
    from gynbtnet.imaging.printed_names import unicode_composed
    from gynbtnet.imaging.regions import Regions, occurring_combinations
    from gynbtnet.imaging.resample_to_grid import resample_dose, resample_image, resample_segmentation
    from gynbtnet.imaging.sides import has_side, mirrored_labels
    from gynbtnet.imaging.structure_masks import OverlappingSegmentation, StructureMasks
    from gynbtnet.imaging.structure_names import StructureNames
    from gynbtnet.imaging.volume import Segmentation, Volume

__all__ = [
    "METAL_HU",
    "NO_NESTING",
    "CTSeries",
    "Contour",
    "Conversion",
    "Geometry",
    "Nesting",
    "Overlap",
    "OverlapTooLarge",
    "OverlappingSegmentation",
    "Regions",
    "Reorientation",
    "Repairs",
    "Segmentation",
    "StructureMasks",
    "StructureNames",
    "Volume",
    "assess_completeness",
    "contours_to_mask",
    "convert",
    "find_series",
    "from_nibabel",
    "from_sitk",
    "has_side",
    "interpolate_shapes",
    "is_metal",
    "lenient_pydicom",
    "mask_to_contours",
    "mirrored_labels",
    "occurring_combinations",
    "paint_label_map",
    "paint_masks",
    "read_ct_files",
    "read_ct_series",
    "read_label_names",
    "read_mask_folder",
    "read_reference",
    "read_rtdose",
    "read_rtstruct",
    "read_seg",
    "read_volume",
    "reorientation_between",
    "reorientation_to_lps",
    "resample_dose",
    "resample_image",
    "resample_segmentation",
    "search_series",
    "to_nibabel",
    "to_sitk",
    "unicode_composed",
    "voxel_digest",
    "write_ct_series",
    "write_label_names",
    "write_mask_folder",
    "write_rtdose",
    "write_rtstruct",
    "write_seg",
    "write_slicer_segmentation",
    "write_volume",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "contours.contours_to_mask": ["Contour", "contours_to_mask"],
        "contours.mask_to_contours": ["mask_to_contours"],
        "contours.shape_interpolation": ["interpolate_shapes"],
        "conversion.convert": ["convert"],
        "conversion.options": ["Conversion"],
        "dicom.ct_series": ["CTSeries", "read_ct_files", "read_ct_series"],
        "dicom.ct_writer": ["write_ct_series"],
        "dicom.incomplete_series": ["assess_completeness"],
        "dicom.objects": ["lenient_pydicom"],
        "dicom.rt.rtdose_reader": ["read_rtdose"],
        "dicom.rt.rtdose_writer": ["write_rtdose"],
        "dicom.rt.rtstruct_reader": ["read_rtstruct"],
        "dicom.rt.rtstruct_writer": ["write_rtstruct"],
        "dicom.rtstruct_reference": ["read_reference"],
        "dicom.seg_reader": ["read_seg"],
        "dicom.seg_writer": ["write_seg"],
        "dicom.series": ["find_series", "search_series"],
        "dicom.slice_repairs": ["Repairs"],
        "files.label_names": ["read_label_names", "write_label_names"],
        "files.mask_folder": ["read_mask_folder", "write_mask_folder"],
        "files.slicer_segmentation": ["write_slicer_segmentation"],
        "files.voxel_digest": ["voxel_digest"],
        "files.library_images": ["from_nibabel", "from_sitk", "to_nibabel", "to_sitk"],
        "files.volume_files": ["read_volume", "write_volume"],
        "geometry": ["Geometry"],
        "label_map": ["Overlap", "paint_label_map", "paint_masks"],
        "metal": ["METAL_HU", "is_metal"],
        "nesting": ["NO_NESTING", "Nesting"],
        "orientation": ["Reorientation", "reorientation_between", "reorientation_to_lps"],
        "overlap_losses": ["OverlapTooLarge"],
        "printed_names": ["unicode_composed"],
        "regions": ["Regions", "occurring_combinations"],
        "resample_to_grid": ["resample_dose", "resample_image", "resample_segmentation"],
        "sides": ["has_side", "mirrored_labels"],
        "structure_masks": ["OverlappingSegmentation", "StructureMasks"],
        "structure_names": ["StructureNames"],
        "volume": ["Segmentation", "Volume"],
    },
)
