"""Options shared by several commands."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gynbtnet.imaging.printed_names import unicode_composed
from gynbtnet.runtime.errors import BadInput

Out = Annotated[Path, typer.Option("--out", "-o", help="Output file or folder.")]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Run folder, folder of a cross-validation, a zip of one, or a folder that nnU-Net 2 trained.",
    ),
]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a YAML file.")]
CohortFolder = Annotated[Path, typer.Argument(metavar="COHORT", help="Folder made by gynbtnet ingest.")]
AnyCohort = Annotated[
    Path,
    typer.Option(
        help="Scans with contours: a clinic's DICOM RT export, a folder made by gynbtnet ingest, or an nnU-Net raw "
        "dataset."
    ),
]
Unlabelled = Annotated[list[Path] | None, typer.Option(help="Folder of unlabelled CTs for stage 1; repeatable.")]
Supervised = Annotated[Path | None, typer.Option(help="Scans in the TotalSegmentator layout, for stage 2.")]
PreparedFolder = Annotated[Path, typer.Argument(metavar="PREPARED", help="Folder made by gynbtnet prepare.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. task.training.epochs=10; repeatable."),
]
PredictionChanges = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one prediction setting, e.g. overlap=0.25; repeatable."),
]
ChangesByModel = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[MODEL:]KEY=VALUE",
        help="Change one setting of all models, or of one model, e.g. nnunet:nnunet.epochs=100; repeatable.",
    ),
]
Jobs = Annotated[int, typer.Option(help="Number of parallel processes.", min=1, max=1024)]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory-gb",
        help="Memory for all processes together, in GB. Default: four fifths of the free memory.",
        min=0.1,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="SCHEDULER", help="Use a Dask cluster instead of --jobs: address or file of its scheduler."),
]
SplitFile = Annotated[Path | None, typer.Option(help="Split file; its test patients are excluded.")]
Aliases = Annotated[Path | None, typer.Option(help="YAML file with the clinic's own ROI names.")]
Doses = Annotated[
    Path | None,
    typer.Option(
        help="Folder with RTDOSE files, or CASE.nii.gz in Gy, for isodoses in the viewers. Default: the folders "
        "that were ingested."
    ),
]
Series = Annotated[
    str | None, typer.Option(help="SeriesInstanceUID, if a folder has several series. Default: the largest axial one.")
]
MissingSlices = Annotated[
    bool, typer.Option("--allow-missing-slices", help="Interpolate up to three missing slices in a row.")
]
UnequalSpacing = Annotated[
    bool, typer.Option("--allow-unequal-spacing", help="Interpolate unequally spaced slices to equal spacing.")
]
GantryTilt = Annotated[
    bool, typer.Option("--allow-gantry-tilt", help="Shift slices within their planes to correct a gantry tilt.")
]
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Accept a structure that loses over 20 % of its volume to overlapping ones."),
]
GivenSplit = Annotated[
    Path | None,
    typer.Option(help="split.json or nnU-Net's splits_final.json of these scans. Default: a new split by the recipe."),
]
RtStruct = Annotated[
    str | None,
    typer.Option(
        metavar="latest|approved|label=PATTERN|PATTERN",
        help="Choice among several structure sets of one CT, comma-separated: latest, approved, a pattern of the label "
        "or of file name or label.",
    ),
]
AllowAutomatic = Annotated[
    bool,
    typer.Option(
        "--allow-automatic", help="Take contours as reference that GynBTNet predicted and that nobody has approved."
    ),
]


PatientIdOption = Annotated[
    str,
    typer.Option(
        metavar="dicom|folder|PATTERN|CSV",
        help="Source of patient identifiers: PatientID, first folder, a pattern as {patient}/{fraction}, or a table.",
    ),
]


class ContourStyle(StrEnum):
    """RTSTRUCT contour styles."""

    smooth = "smooth"
    exact = "exact"


class RoiForm(StrEnum):
    """Region to segment."""

    body = "body"
    pelvis = "pelvis"
    whole = "whole"


class BackendForm(StrEnum):
    """Software that runs the network."""

    eager = "eager"
    compiled = "compiled"
    openvino = "openvino"


class OutputForm(StrEnum):
    """Contour file format."""

    rtstruct = "rtstruct"
    seg = "seg"
    nifti = "nifti"
    slicer = "slicer"


class ExportForm(StrEnum):
    """Model file format."""

    zip = "zip"
    nnunet = "nnunet"
    onnx = "onnx"
    stunet = "stunet"
    encoder = "encoder"
    bundle = "bundle"


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
    typer.Option("--output", help="Contour file format; repeatable. Default: nifti, and for DICOM also rtstruct."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]


def listed(text: str | None, option: str = "--structures") -> tuple[str, ...] | None:
    """Split the comma-separated names of an option.

    Raises:
        BadInput: If a name occurs twice.
    """
    names = tuple(unicode_composed(name.strip()) for name in text.split(",")) if text else None
    if names and len(set(names)) < len(names):
        raise BadInput(f"{option} {text} contains a name twice; give each name once.")
    return names
