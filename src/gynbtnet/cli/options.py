"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.errors import BadInput

Out = Annotated[Path, typer.Option("--out", "-o", help="Where the result goes.")]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The run folder of stage 2 or 3, that of a cross-validation, or a zip of one.",
    ),
]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")]
CohortFolder = Annotated[Path, typer.Argument(metavar="COHORT", help="A folder made by gynbtnet ingest.")]
ExportFolder = Annotated[Path, typer.Option(help="A clinic's DICOM RT export: CT series and RTSTRUCT files.")]
Unlabelled = Annotated[list[Path] | None, typer.Option(help="Folder of further CTs for stage 1; repeatable.")]
Supervised = Annotated[Path | None, typer.Option(help="Scans in the TotalSegmentator layout, for stage 2.")]
PreparedFolder = Annotated[Path, typer.Argument(metavar="PREPARED", help="A folder made by gynbtnet prepare.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. task.training.epochs=10; repeatable."),
]
ChangesByModel = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[MODEL:]KEY=VALUE",
        help="Change one setting of all models, or of one, e.g. nnunet:nnunet.epochs=100; repeatable.",
    ),
]
Jobs = Annotated[int, typer.Option(help="Processes that work side by side.", min=1)]
Memory = Annotated[
    float | None,
    typer.Option(help="GB that all processes may take together; left out, four fifths of what is free.", min=0.1),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="SCHEDULER", help="Work on a Dask cluster: its scheduler's address or file; not --jobs."),
]
SplitFile = Annotated[Path | None, typer.Option(help="A split; its test patients are left out.")]
Aliases = Annotated[Path | None, typer.Option(help="YAML file with a clinic's own ROI names.")]
Series = Annotated[
    str | None, typer.Option(help="SeriesInstanceUID, where a folder holds several; left out, the largest axial one.")
]
MissingSlices = Annotated[
    bool, typer.Option("--allow-missing-slices", help="Interpolate up to three missing slices in a row.")
]
UnequalSpacing = Annotated[
    bool, typer.Option("--allow-unequal-spacing", help="Interpolate unequally spaced slices to equal spacing.")
]
GantryTilt = Annotated[
    bool, typer.Option("--allow-gantry-tilt", help="Shift slices within their planes to undo a gantry tilt.")
]
AllowOverlap = Annotated[
    bool,
    typer.Option(
        "--allow-overlap", help="Accept a structure that loses over 20 % of its volume to others it overlaps."
    ),
]


PatientsOption = Annotated[
    str,
    typer.Option(
        metavar="dicom|folder|PATTERN|CSV",
        help="What tells patients apart: PatientID, the first folder, a pattern as {patient}/{fraction}, or a table.",
    ),
]


class ContourStyle(StrEnum):
    """RTSTRUCT contour styles."""

    smooth = "smooth"
    exact = "exact"


class RoiForm(StrEnum):
    """Where contours are looked for."""

    body = "body"
    pelvis = "pelvis"
    whole = "whole"


class BackendForm(StrEnum):
    """What computes the network."""

    eager = "eager"
    compiled = "compiled"
    openvino = "openvino"


class OutputForm(StrEnum):
    """A file of contours."""

    rtstruct = "rtstruct"
    seg = "seg"
    nifti = "nifti"


class HoleStyle(StrEnum):
    """RTSTRUCT hole styles."""

    keyhole = "keyhole"
    inner = "inner"


ContourStyleOption = Annotated[
    ContourStyle, typer.Option(help="RTSTRUCT contours: sub-voxel, or exactly along voxel edges.")
]
HoleStyleOption = Annotated[HoleStyle, typer.Option(help="RTSTRUCT holes: as keyholes, or as inner contours.")]
OutputForms = Annotated[
    list[OutputForm] | None,
    typer.Option("--output", help="A file of contours; repeatable. Left out: nifti, and for DICOM rtstruct too."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what stands there.")]


def listed(text: str | None, option: str = "--structures") -> tuple[str, ...] | None:
    """What an option names, by commas."""
    names = tuple(unicode_composed(name.strip()) for name in text.split(",")) if text else None
    if names and len(set(names)) < len(names):
        raise BadInput(f"{option} names one twice: {text}; name each once.")
    return names
