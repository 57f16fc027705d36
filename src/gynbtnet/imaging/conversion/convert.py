"""Conversion of scans, contours and doses between file formats."""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.imaging.conversion.contours import convert_contours, label_names
from gynbtnet.imaging.conversion.doses import convert_doses
from gynbtnet.imaging.conversion.options import Conversion, OutputFormat
from gynbtnet.imaging.conversion.scans import convert_scan
from gynbtnet.imaging.dicom.objects import check_overwrite, code_value, dicom_errors_as_bad_input, read_object
from gynbtnet.imaging.dicom.rt.rtdose_reader import read_rtdose
from gynbtnet.imaging.files.mask_folder import MASK_SUFFIX
from gynbtnet.imaging.files.slicer_segmentation import has_segments
from gynbtnet.imaging.files.volume_files import SUFFIXES, is_image_file
from gynbtnet.runtime.errors import BadInput

_FORMATS = {"RTSTRUCT": "rtstruct", "SEG": "seg", "RTDOSE": "rtdose"}


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
    if out.is_dir():
        raise BadInput(f"{out} already exists and is a folder, which --force doesn't replace; choose another path.")
    check_overwrite(out, force=options.force)
    source_format = _detect_format(source[0])
    if len(source) > 1 and source_format != "rtdose":
        raise BadInput(
            f"{len(source)} sources are given; only RTDOSE files can be converted together: convert them one by one."
        )
    if source_format == "rtdose":
        return convert_doses([read_rtdose(path) for path in source], out, options, to)
    labelled = source_format == "image" and (
        options.structures or to in ("rtstruct", "seg", "masks") or has_segments(source[0]) or label_names(source[0])
    )
    if source_format in ("rtstruct", "seg", "masks") or labelled:
        return convert_contours(source[0], source_format, out, options, to)
    return convert_scan(source[0], source_format, out, options, to)


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
