"""Commands that segment scans with a model, and export the model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gynbtnet.cli.application import command, console
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
    """Model file format."""

    zip = "zip"
    nnunet = "nnunet"
    onnx = "onnx"
    stunet = "stunet"
    encoder = "encoder"


class Weights(StrEnum):
    """Weights of a run."""

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
        typer.Argument(
            metavar="SCAN...",
            help="Image files, folders with DICOM or image files of any number of patients, or a cohort.",
        ),
    ],
    out: Out,
    channel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image file of a further channel of a single scan, on its grid, e.g. a registered MRI; repeatable."
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Use the prediction settings of this recipe.")] = None,
    series: Annotated[str | None, typer.Option(help="SeriesInstanceUID of the series to segment.")] = None,
    output: OutputForms = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="One fold, no mirroring, larger steps: faster and slightly less accurate.")
    ] = False,
    roi: Annotated[RoiForm | None, typer.Option(help="Segment the body, only the pelvis, or the whole scan.")] = None,
    backend: Annotated[BackendForm | None, typer.Option(help="Software that runs the network.")] = None,
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
    """Segment scans: one folder per scan with RS.dcm (for DICOM), labels.nii.gz, preview.png and prediction.json.

    The prediction of a DICOM scan is called by study ID and fraction, such as patient-001_f1, with the key in
    patients.csv. Those of image files have the names of the files, those of a cohort the ids of its cases.

    Scans that can't be segmented are listed at the end, with exit code 1; the others are done. An existing prediction
    is kept if scan, weights, settings and version are unchanged. Anything else is overwritten only with --force.
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
        raise BadInput("--set changes a setting of a recipe, and no recipe is given; add --recipe.")
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
    as_path = Path.absolute if cluster else Path  # workers of a cluster run in other folders
    loaded = load_model(as_path(model), settings)
    channels = [as_path(path) for path in channel or ()]
    search = find_scans([as_path(path) for path in scan], loaded.channels, out, given=channels, series_uid=series)
    if search.key.study_ids:
        search.key.save()
    requests = {
        name: PredictionRequest(files, as_path(out) / name, settings, repairs, force=force)
        for name, files in search.scans.items()
    }
    with use_cluster(cluster):
        predict_scans(loaded, as_path(model), requests, jobs=jobs, on_cluster=cluster is not None, failed=search.failed)
    for request in requests.values():
        console.print(f"{request.files.path} → {request.out}")


@command("gynbtnet export demo/steps/runs/task demo/steps/nnunet --to nnunet")
def export(
    model: ModelPath,
    out: Annotated[Path, typer.Argument(help="Folder (nnunet, encoder) or file (zip, onnx, stunet) to write.")],
    to: Annotated[
        Format,
        typer.Option(
            help="A file for gynbtnet predict, a folder for nnUNetv2_predict, the network as ONNX, STU-Net weights, or "
            "the encoder with a loader in plain PyTorch."
        ),
    ],
    weights: Annotated[
        Weights, typer.Option(help="Weights at the end of training, or at the best validation score.")
    ] = Weights.last,
    force: Force = False,
) -> None:
    """Export a model as one file, or for other software; the encoder of a pretraining run, too."""
    from gynbtnet.inference.engine.settings import PredictionSettings
    from gynbtnet.inference.models.encoder_export import export_encoder
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
    if to == Format.encoder:
        console.print(f"encoder: {export_encoder(model, out, weights=weights.value, force=force)}")
        return
    write = {Format.nnunet: export_nnunet, Format.onnx: export_onnx, Format.stunet: export_stu_net}[to]
    console.print(f"{to.value}: {write(Model.load(model, weights=weights.value, device='cpu'), out, force=force)}")
