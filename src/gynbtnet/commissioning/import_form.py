"""Form for what a planning system reads of the import phantom, and its comparison with the known values.

Volumes agree within 2 % or 0.1 cm³, the larger, with one of the conventions for the ends of a structure. The volumes of
one planning system's own tables are within 1 % of ours by its convention (docs/reference/evaluation.md). Four older
systems were up to 5 % off for large balls and up to 14 % for small ones (Fellner et al. 1998, PMID 9689954). 2 % shows
a filled hole of the C (8 %), and distinguishes half a slice at each end (10 %).

Positions agree within 1 mm: less than half a slice of the phantom (1.5 mm), and the precision that systems print.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Literal

from pydantic import Field

from gynbtnet.commissioning.import_phantom import SHAPES, volumes
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.settings import Settings
from gynbtnet.runtime.settings_files import read_settings

FORM = "form.yaml"
SHARE, LEAST_CM3, MOST_MM = 0.02, 0.1, 1.0
"""Tolerances of volumes and of positions."""
ImportVerdict = Literal["meets", "fails", "not read"]

_EXPLANATION = """\
Import CT/ and RS.dcm of this folder into the planning system as you import contours of a patient. Type what it shows.
The page has this form for paper. Then run the same command again. Leave null if the system doesn't show a value.
Coordinates are in mm, head first supine. With dicom, x is to the patient's left, y to the back, z to the head.
With iec, x is to the patient's left, y to the head, z to the front.
Type true for on_bright_shapes if all contours are on the bright shapes of the CT, otherwise false.
Type the name of a ROI as the system shows it, the volume in cm³, and the centre of mass in mm.
"""
_FORM = """\
planning_system: ""
read_by: ""
read_on: ""
coordinates: dicom
number_of_rois: null
on_bright_shapes: null
rois:
"""


class ReadRoi(Settings):
    """Values that a planning system shows for one ROI."""

    name: str = Field("", description="Name.")
    volume_cm3: float | None = Field(None, ge=0, description="Volume in cm³.")
    x_mm: float | None = Field(None, description="Centre, x in mm.")
    y_mm: float | None = Field(None, description="Centre, y in mm.")
    z_mm: float | None = Field(None, description="Centre, z in mm.")


class ImportForm(Settings):
    """The form, empty or filled."""

    planning_system: str = Field("", description="Name and version of the planning system.")
    read_by: str = Field("", description="Person who read the values.")
    read_on: str = Field("", description="Date, as text.")
    coordinates: Literal["dicom", "iec"] = Field("dicom", description="Coordinates of the centres.")
    number_of_rois: int | None = Field(None, ge=0, description="Number of ROIs.")
    on_bright_shapes: bool | None = Field(None, description="Whether the contours are on the bright shapes of the CT.")
    rois: Mapping[str, ReadRoi] = Field({}, description="Values by the name that was written.")
    remarks: str = Field("", description="Anything else, such as a message at the import.")

    @classmethod
    def load(cls, path: Path) -> "ImportForm":
        """Read a form.

        Raises:
            BadInput: If it isn't YAML, or a key or value is not possible.
        """
        remedy = (
            "correct it, with dates and versions in quotation marks, or delete it and run the command again for an "
            "empty one"
        )
        form = read_settings(cls, path, "form", remedy)
        unknown = sorted(set(form.rois).difference(SHAPES))
        if unknown:
            raise BadInput(f"The form {path} has {unknown[0]}, expected {', '.join(SHAPES)}; restore the name.")
        return form


@dataclass(frozen=True)
class ImportRow:
    """One comparison of the import check.

    Attributes:
        roi: name of the ROI that was written; empty for the whole structure set.
        quantity: compared quantity.
        expected: known value.
        read: value that the planning system shows; empty if it was not read.
        verdict: the verdict.
        note: result in words; otherwise empty.
    """

    roi: str
    quantity: str
    expected: str
    read: str
    verdict: ImportVerdict
    note: str = ""


def write_form(path: Path) -> None:
    """Write an empty form unless there is one."""
    if path.is_file():
        return
    rows = [f'  {name}: {{name: "", volume_cm3: null, x_mm: null, y_mm: null, z_mm: null}}\n' for name in SHAPES]
    with atomic_write(path) as partial:
        text = f'{indent(_EXPLANATION, "# ")}{_FORM}{"".join(rows)}remarks: ""\n'
        partial.write_text(text, encoding="utf-8")


def compare_form(form: ImportForm) -> tuple[ImportRow, ...]:
    """Compare what was read with the known values."""
    rows = [_count_row(form.number_of_rois), _image_row(form.on_bright_shapes)]
    for name in SHAPES:
        read = form.rois.get(name, ReadRoi())
        rows += [_name_row(name, read), _volume_row(name, read), _position_row(name, read, form.coordinates)]
    return tuple(rows)


def _count_row(count: int | None) -> ImportRow:
    expected, quantity = str(len(SHAPES)), "number of ROIs"
    if count is None:
        return ImportRow("", quantity, expected, "", "not read")
    return ImportRow("", quantity, expected, str(count), _verdict(count == len(SHAPES)))


def _image_row(on_bright_shapes: bool | None) -> ImportRow:
    quantity = "contours on the bright shapes"
    if on_bright_shapes is None:
        return ImportRow("", quantity, "yes", "", "not read")
    return ImportRow("", quantity, "yes", "yes" if on_bright_shapes else "no", _verdict(on_bright_shapes))


def _name_row(name: str, read: ReadRoi) -> ImportRow:
    return ImportRow(name, "name", name, read.name, _verdict(read.name == name) if read.name else "not read")


def _volume_row(name: str, read: ReadRoi) -> ImportRow:
    known = volumes(name)
    expected = f"{known.to_last_slice:.2f} or {known.half_slice_beyond:.2f} cm³"
    volume = read.volume_cm3
    if volume is None:
        return ImportRow(name, "volume", expected, "", "not read")
    conventions = {
        "on its first and last slice": known.to_last_slice,
        "half a slice beyond them": known.half_slice_beyond,
    }
    words = min(conventions, key=lambda convention: abs(conventions[convention] - volume))
    nearest = conventions[words]
    difference = volume - nearest
    meets = abs(difference) <= max(SHARE * nearest, LEAST_CM3)
    note = f"ends {words}" if meets else f"{difference:+.2f} cm³ ({difference / nearest:+.1%}) from the nearer one"
    return ImportRow(name, "volume", expected, f"{volume:.2f} cm³", _verdict(meets), note)


def _position_row(name: str, read: ReadRoi, coordinates: str) -> ImportRow:
    expected = SHAPES[name].centre
    printed = ", ".join(f"{value:.1f}" for value in expected)
    typed = (read.x_mm, read.y_mm, read.z_mm)
    if read.x_mm is None or read.y_mm is None or read.z_mm is None:
        some = ", ".join("–" if value is None else f"{value:.1f}" for value in typed)
        return ImportRow(name, "centre (x, y, z)", f"{printed} mm", some if some.strip("–, ") else "", "not read")
    position = (read.x_mm, read.y_mm, read.z_mm)
    if coordinates == "iec":
        position = (read.x_mm, -read.z_mm, read.y_mm)
    off = [value - known for value, known in zip(position, expected, strict=True)]
    meets = max(map(abs, off)) <= MOST_MM
    note = "" if meets else f"off by {', '.join(f'{value:+.1f}' for value in off)} mm"
    text = ", ".join(f"{value:.1f}" for value in position)
    return ImportRow(name, "centre (x, y, z)", f"{printed} mm", f"{text} mm", _verdict(meets), note)


def _verdict(meets: bool) -> ImportVerdict:
    return "meets" if meets else "fails"
