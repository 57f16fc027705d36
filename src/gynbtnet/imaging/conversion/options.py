"""Options of a conversion, and checks of its output."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gynbtnet.imaging.contours.mask_to_contours import ContourStyle, HoleStyle
from gynbtnet.imaging.dicom.ct_series import CTSeries, read_ct_series
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.volume_files import SUFFIXES, is_image_file
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput

OutputFormat = Literal["image", "masks", "ct", "rtstruct", "seg", "rtdose"]
DESCRIPTION = "Converted by GynBTNet, research use only, not reviewed"


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

    def read_ct(self, source: Path, referred_uid: str | None = None) -> CTSeries:
        """Read the CT to which contours or doses belong.

        Args:
            source: the contours or doses, for the message.
            referred_uid: SeriesInstanceUID that the contours refer to; None if unknown.

        Raises:
            BadInput: If no CT is given, or it can't be read.
        """
        if self.ct is None:
            raise BadInput(f"{source} requires the CT to which it belongs; give its folder with --ct.")
        return read_ct_series(self.ct, self.series_uid, self.repairs, referred_uid=referred_uid)


def check_is_folder(out: Path, expected: str) -> None:
    """Check that the output has no name of a file.

    Args:
        out: output.
        expected: content of the folder, for the message.

    Raises:
        BadInput: If the name has a suffix.
    """
    if out.suffix:
        raise BadInput(f"{out} has the name of a file; {expected}.")


def check_is_image_file(out: Path) -> None:
    """Check that the output has the name of an image file.

    Args:
        out: output.

    Raises:
        BadInput: If its suffix is that of no image format.
    """
    if not is_image_file(out) or not out.name.endswith(SUFFIXES):  # libraries don't write with a suffix in capitals
        raise BadInput(
            f"{out} doesn't have the name of an image file; expected one that ends in {', '.join(SUFFIXES)}."
        )


def impossible_conversion(source: Path, content: str, to: OutputFormat) -> BadInput:
    """Return the error for an output format that can't hold the content of the source.

    Args:
        source: source.
        content: kind of its content, as "a scan".
        to: output format.
    """
    return BadInput(f"{source} holds {content}, which can't be converted to “{to}”; choose another format with --to.")
