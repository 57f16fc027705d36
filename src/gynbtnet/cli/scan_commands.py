"""Commands that inspect and convert scans, contours and doses."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import (
    Aliases,
    AllowOverlap,
    ContourStyle,
    ContourStyleOption,
    Force,
    GantryTilt,
    HoleStyle,
    HoleStyleOption,
    MissingSlices,
    Out,
    Series,
    UnequalSpacing,
    listed,
)
from gynbtnet.imaging.printed_names import as_one_line
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

MOST_ITEMS = 10
"""Largest number of items that inspect lists without --details."""


class Form(StrEnum):
    """Target format of a conversion."""

    image = "image"
    masks = "masks"
    ct = "ct"
    rtstruct = "rtstruct"
    seg = "seg"
    rtdose = "rtdose"


@command("gynbtnet inspect demo/phantom/brachytherapy/PHANTOM-001 --out demo/steps/inspection.png")
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder to search, with all subfolders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Figure to write, a PNG file.")] = Path("inspection.png"),
    aliases: Aliases = None,
    write_aliases: Annotated[
        Path | None,
        typer.Option(help="Write all ROI names with counts and proposals to this YAML file, to be confirmed."),
    ] = None,
    details: Annotated[bool, typer.Option("--details", help="List everything, not only what can't be used.")] = False,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
) -> None:
    """Summarise the contents of a folder and whether they can be used, with a figure of scans and contours.

    If something can't be used, its row in the table gives the reason, and the exit code is 1. A folder with up to ten
    items is listed in full.
    """
    from gynbtnet.datasets.inspection import inspect_folder
    from gynbtnet.datasets.inspection_picture import write_inspection_picture
    from gynbtnet.datasets.inspection_summary import (
        check_draft_is_new,
        list_roi_names,
        summarise_inspection,
        write_aliases_draft,
    )
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.imaging.structure_names import StructureNames

    if out.suffix != ".png":
        raise BadInput(f"--out {out} is not a PNG file name; end the name in .png.")
    if write_aliases:
        check_draft_is_new(write_aliases)
    names = StructureNames.load(aliases)
    inspection = inspect_folder(folder, names, Repairs(missing_slices, unequal_spacing, gantry_tilt))
    for line in summarise_inspection(inspection, names):
        console.print(line)
    listed = [item for item in inspection.items if item.problem or details or len(inspection.items) <= MOST_ITEMS]
    if listed:
        path = Column("path", overflow="fold")  # a path is never truncated
        table = Table("patient", path, "kind", "size (z, y, x) and contents", box=None, header_style="bold")
        for item in listed:
            size = f"{item.size};" if item.size and item.contents else item.size
            parts = ((item.problem, "red"), (size, ""), (item.contents, ""))
            contents = Text(" ").join(Text(*part) for part in parts if part[0])
            table.add_row(str(item.patient or ""), as_one_line(item.path), item.kind, contents)
        print_table(table)
    if len(listed) < len(inspection.items):
        console.print(f"{counted(len(inspection.items) - len(listed), 'item')} not listed; --details lists all")
    if inspection.views:
        write_inspection_picture(inspection, names, out)
        scans = sum(item.kind in ("CT", "image") for item in inspection.items)
        first = f", of the first {len(inspection.views)} of {scans} scans" if scans > len(inspection.views) else ""
        console.print(f"The figure is {out}{first}")
    if write_aliases:
        write_aliases_draft(list_roi_names(inspection, names), write_aliases, folder)
        console.print(f"Names and proposals to confirm are in {write_aliases}; then give it with --aliases")
    if any(item.problem for item in inspection.items):
        raise typer.Exit(1)


@command(
    "gynbtnet convert demo/phantom/brachytherapy/PHANTOM-001/fraction-1/RS.dcm "
    "--ct demo/phantom/brachytherapy/PHANTOM-001/fraction-1 --out demo/steps/labels.nii.gz"
)
def convert(
    source: Annotated[
        list[Path],
        typer.Argument(
            help="Folder with a CT or with masks, an image file, an RTSTRUCT, a DICOM SEG, or RTDOSE files to sum."
        ),
    ],
    out: Out,
    to: Annotated[
        Form | None, typer.Option(help="Target format, if the name of --out is ambiguous: .dcm is RTSTRUCT or RTDOSE.")
    ] = None,
    ct: Annotated[Path | None, typer.Option(help="Folder of the CT that the contours or doses belong to.")] = None,
    structures: Annotated[
        str | None,
        typer.Option(
            help="Structures to convert, comma-separated. Default: all with known names. For a label map: the names of "
            "labels 1, 2, …"
        ),
    ] = None,
    aliases: Aliases = None,
    series: Series = None,
    contour_style: ContourStyleOption = ContourStyle.smooth,
    hole_style: HoleStyleOption = HoleStyle.keyhole,
    resample_labels: Annotated[
        bool, typer.Option("--resample-labels", help="Resample a label map to the grid of the CT.")
    ] = False,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    allow_overlap: AllowOverlap = False,
    force: Force = False,
) -> None:
    """Convert between DICOM CT, RTSTRUCT, SEG, RTDOSE and NIfTI, NRRD, MHA.

    A CT becomes an image file, and an image file a CT. Contours become an RTSTRUCT, a DICOM SEG, a folder of masks
    (--to masks) or a file for 3D Slicer (*.seg.nrrd). Or they become a label map with a JSON file of names, which can't
    hold structures that overlap. Doses are summed, on the grid of the CT if one is given.
    """
    from gynbtnet.imaging.conversion.convert import convert
    from gynbtnet.imaging.conversion.options import Conversion
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.imaging.structure_names import StructureNames

    how = Conversion(
        ct=ct,
        series_uid=series,
        repairs=Repairs(missing_slices, unequal_spacing, gantry_tilt),
        structures=listed(structures),
        names=StructureNames.load(aliases),
        contour_style=contour_style.value,
        hole_style=hole_style.value,
        resample_labels=resample_labels,
        allow_overlap=allow_overlap,
        force=force,
    )
    for note in convert(source, out, how, to.value if to else None):
        console.print(note)
    console.print(f"Wrote {out}")
