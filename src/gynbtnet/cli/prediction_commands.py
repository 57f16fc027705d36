"""Commands that contour scans with a model, and hand the model on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gynbtnet.cli.app import command, console
from gynbtnet.cli.options import (
    BackendForm,
    Changes,
    Cluster,
    ContourStyle,
    Force,
    GantryTilt,
    HoleStyle,
    Jobs,
    MissingSlices,
    ModelPath,
    Out,
    OutputForms,
    RoiForm,
    UnequalSpacing,
)
from gynbtnet.runtime.errors import BadInput


class Format(StrEnum):
    """What a model is exported to."""

    zip = "zip"
    nnunet = "nnunet"
    onnx = "onnx"
    stunet = "stunet"


class Weights(StrEnum):
    """Which weights of a run."""

    last = "last"
    best = "best"


@command(
    "gynbtnet predict demo/steps/runs/task demo/phantom/brachytherapy/PHANTOM-001/fraction-1 "
    "--recipe demo --out demo/steps/contours"
)
def predict(
    model: ModelPath,
    scan: Annotated[
        list[Path],
        typer.Argument(metavar="SCAN...", help="Image files, and folders with DICOM or image files of any patients."),
    ],
    out: Out,
    channel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image file of a single scan's next channel, on its grid, such as the registered MRI; repeatable."
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Take the prediction's settings from this recipe.")] = None,
    series: Annotated[str | None, typer.Option(help="SeriesInstanceUID of the one series to take in a folder.")] = None,
    output: OutputForms = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="One fold, no mirroring, coarser steps: quicker, and a little worse.")
    ] = False,
    roi: Annotated[
        RoiForm | None, typer.Option(help="Look at the patient, at the pelvis alone, or everywhere.")
    ] = None,
    backend: Annotated[BackendForm | None, typer.Option(help="What computes the network.")] = None,
    contour_style: Annotated[
        ContourStyle | None, typer.Option(help="RTSTRUCT contours: sub-voxel, or exactly along voxel edges.")
    ] = None,
    hole_style: Annotated[
        HoleStyle | None, typer.Option(help="RTSTRUCT holes: as keyholes, or as inner contours.")
    ] = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    force: Force = False,
    set_: Changes = None,
) -> None:
    """Contour scans: for each one a folder with RS.dcm (for DICOM), labels.nii.gz, preview.png and prediction.json.

    Scans that can't be contoured are listed at the end, with exit code 1; the others are done. An earlier prediction of
    a scan is kept where it would be made again, and otherwise only replaced with --force.
    """
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.inference.batch_prediction import predict_scans
    from gynbtnet.inference.engine.settings import PredictionSettings
    from gynbtnet.inference.models.model_loading import load_model
    from gynbtnet.inference.prediction_request import PredictionRequest
    from gynbtnet.inference.scans.scan_search import find_scans
    from gynbtnet.recipes.loading import load_recipe
    from gynbtnet.runtime.parallel import use_cluster

    if set_ and not recipe:
        raise BadInput("--set changes a setting of a recipe, and none is named; name one with --recipe.")
    settings = load_recipe(recipe, set_ or ()).prediction if recipe else PredictionSettings()
    forms = tuple(dict.fromkeys(form.value for form in output)) if output else None
    written = {
        "outputs": forms,
        "contour_style": contour_style,
        "hole_style": hole_style,
        "roi": roi,
        "backend": backend,
    }
    settings = settings.model_copy(update={name: value for name, value in written.items() if value is not None})
    settings = settings.fast() if fast else settings
    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    place = Path.absolute if cluster else Path  # a cluster's workers stand in other folders
    loaded = load_model(place(model), settings)
    given = [place(one) for one in channel or ()]
    found = find_scans([place(one) for one in scan], loaded.channels, given=given, series_uid=series)
    requests = {
        name: PredictionRequest(files, place(out) / name, settings, repairs, force=force)
        for name, files in found.scans.items()
    }
    with use_cluster(cluster):
        predict_scans(loaded, place(model), requests, jobs=jobs, apart=cluster is not None, failed=found.failed)
    for request in requests.values():
        console.print(f"{request.files.path} → {request.out}")


@command("gynbtnet export demo/steps/runs/task demo/steps/nnunet --to nnunet")
def export(
    model: ModelPath,
    out: Annotated[Path, typer.Argument(help="The folder (nnunet) or file (zip, onnx, stunet) to write.")],
    to: Annotated[
        Format,
        typer.Option(
            help="One file for gynbtnet predict, a folder for nnUNetv2_predict, the network as ONNX, or weights in "
            "STU-Net's names."
        ),
    ],
    weights: Annotated[Weights, typer.Option(help="Of the end of the training, or of its best score.")] = Weights.last,
    force: Force = False,
) -> None:
    """Write a model as one file to hand on, or for other software."""
    from gynbtnet.inference.engine.settings import PredictionSettings
    from gynbtnet.inference.models.model import Model
    from gynbtnet.inference.models.model_archive import write_archive
    from gynbtnet.inference.models.model_loading import load_model
    from gynbtnet.inference.models.nnunet_export import export_nnunet
    from gynbtnet.inference.models.onnx_export import export_onnx
    from gynbtnet.inference.models.stu_net_export import export_stu_net

    if to == Format.zip:
        load_model(model, PredictionSettings(weights=weights.value, device="cpu"))
        console.print(f"zip: {write_archive(model, out, weights=weights.value, force=force)}")
        return
    write = {Format.nnunet: export_nnunet, Format.onnx: export_onnx, Format.stunet: export_stu_net}[to]
    console.print(f"{to.value}: {write(Model.load(model, weights=weights.value, device='cpu'), out, force=force)}")
