"""Commands that segment scans with a model, and export the model."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gynbtnet.cli.application import command, console
from gynbtnet.cli.options import (
    BackendForm,
    Cluster,
    ContourStyle,
    ExportForm,
    Force,
    GantryTilt,
    HoleStyle,
    Jobs,
    MissingSlices,
    ModelPath,
    Out,
    OutputForms,
    PredictionChanges,
    RoiForm,
    UnequalSpacing,
)
from gynbtnet.runtime.errors import BadInput, ScansFailed

if TYPE_CHECKING:
    from gynbtnet.inference.engine.segmenter import Segmenter
    from gynbtnet.inference.prediction_request import PredictionRequest


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
    recipe: Annotated[
        str | None,
        typer.Option(help="Use the prediction settings of this recipe. Default: those the model was evaluated with."),
    ] = None,
    series: Annotated[str | None, typer.Option(help="SeriesInstanceUID of the series to segment.")] = None,
    output: OutputForms = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="One fold, no mirroring, larger steps: faster and slightly less accurate.")
    ] = False,
    no_mirroring: Annotated[
        bool, typer.Option("--no-mirroring", help="Don't average over mirror images: up to eight times faster.")
    ] = False,
    roi: Annotated[RoiForm | None, typer.Option(help="Segment the body, only the pelvis, or the whole scan.")] = None,
    backend: Annotated[BackendForm | None, typer.Option(help="Software that runs the network.")] = None,
    contour_style: Annotated[
        ContourStyle | None, typer.Option(help="RTSTRUCT contours: sub-voxel, or exactly along voxel edges.")
    ] = None,
    hole_style: Annotated[
        HoleStyle | None, typer.Option(help="RTSTRUCT holes: as keyholes, or as inner contours.")
    ] = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(
            help="Reviewed earlier fraction of the same patient: review/001 of a prediction, or a cohort; repeatable."
        ),
    ] = None,
    earlier_seconds: Annotated[
        float, typer.Option(help="With --earlier: longest time of training.", min=0.1, max=60)
    ] = 60,
    earlier_steps: Annotated[
        int | None, typer.Option(help="With --earlier: number of training steps, if they fit into the time.", min=1)
    ] = None,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    force: Force = False,
    set_: PredictionChanges = None,
) -> None:
    """Segment scans: one folder per scan with RS.dcm (for DICOM), labels.nii.gz, patient.html and prediction.json.

    patient.html shows volumes, flags and three planes, and prints on one sheet. preview.png is a picture of them.

    The prediction of a DICOM scan is called by study ID and fraction, such as patient-001_f1, with the key in
    patients.csv. Those of image files have the names of the files, those of a cohort the ids of its cases.

    A table lists volumes, predicted DSC and flags, and the last line how many structures are flagged.

    Scans that can't be segmented are listed at the end, with exit code 1; the others are done. An existing prediction
    is kept if scan, weights, settings and version are unchanged. Anything else is overwritten only with --force.
    """
    from gynbtnet.cli.prediction_table import print_predictions
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.inference.batch_prediction import predict_scans
    from gynbtnet.inference.engine.settings import PredictionSettings
    from gynbtnet.inference.manifest import MANIFEST
    from gynbtnet.inference.models.evaluated_settings import evaluated_settings
    from gynbtnet.inference.models.model_loading import load_model
    from gynbtnet.inference.prediction_request import PredictionRequest
    from gynbtnet.inference.scans.scan_search import find_scans
    from gynbtnet.recipes.loading import load_recipe, settings_of
    from gynbtnet.runtime.parallel import use_cluster

    base = load_recipe(recipe).prediction if recipe else evaluated_settings(model) or PredictionSettings()
    changes = [change.removeprefix("prediction.") for change in set_ or ()]
    settings = settings_of(PredictionSettings, base.model_dump(mode="json"), changes, Path("the prediction settings"))
    forms = tuple(dict.fromkeys(form.value for form in output)) if output else None
    written = {
        "outputs": forms,
        "contour_style": contour_style,
        "hole_style": hole_style,
        "roi": roi,
        "backend": backend,
        "mirroring": False if no_mirroring else None,
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
    if earlier:
        loaded = _adapt(
            loaded, earlier, requests, jobs > 1 or cluster is not None, seconds=earlier_seconds, steps=earlier_steps
        )
    before = {name: _written(request.out / MANIFEST) for name, request in requests.items()}
    failed: set[str] = set()
    try:
        with use_cluster(cluster):
            predict_scans(
                loaded, as_path(model), requests, jobs=jobs, on_cluster=cluster is not None, failed=search.failed
            )
    except ScansFailed as error:
        failed = {name for name, _ in error.failed}
        raise
    except BadInput:
        failed = set(requests)
        raise
    finally:
        done = [
            request
            for name, request in requests.items()
            if (stamp := _written(request.out / MANIFEST)) and (name not in failed or stamp != before[name])
        ]
        for request in done:
            console.print(f"{request.files.path} → {request.out}")
        print_predictions([request.out for request in done])


def _written(path: Path) -> tuple[int, int] | None:
    """Return inode and time of a file, by which a new one is known; None if it doesn't exist."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else None


def _adapt(
    model: "Segmenter",
    earlier: Sequence[Path],
    requests: "Mapping[str, PredictionRequest]",
    in_several_processes: bool,
    *,
    seconds: float,
    steps: int | None,
) -> "Segmenter":
    """Return the model adapted to the patient of the only scan."""
    from gynbtnet.adaptation.adapt import adapt_model
    from gynbtnet.adaptation.earlier_scans import read_earlier_fractions
    from gynbtnet.adaptation.settings import AdaptationSettings
    from gynbtnet.cli.prediction_table import print_adaptation
    from gynbtnet.imaging.dicom.ct_series import read_ct_files
    from gynbtnet.inference.models.model import Model

    if in_several_processes:
        raise BadInput("--earlier adapts to one scan in one process; leave --jobs and --cluster out.")
    if len(requests) != 1:
        raise BadInput(f"--earlier adapts to one scan, not to {len(requests)}; give one DICOM series.")
    (request,) = requests.values()
    if request.files.series is None or not isinstance(model, Model) or len(model.channels) > 1:
        raise BadInput("--earlier needs a DICOM series and a single GynBTNet model of one CT; leave it out.")
    series = read_ct_files(request.files.series.files, request.repairs)
    fractions = read_earlier_fractions(earlier, series, model.structures)
    settings = AdaptationSettings(seconds=seconds, steps=steps)
    adapted = adapt_model(model, fractions, settings, request.settings)
    print_adaptation(adapted.record, model.structures, settings.least_gain, steps)
    return adapted


@command("gynbtnet export demo/steps/runs/task demo/steps/nnunet --to nnunet")
def export(
    model: ModelPath,
    out: Annotated[Path, typer.Argument(help="Folder (nnunet, encoder, bundle) or file (zip, onnx, stunet) to write.")],
    to: Annotated[
        ExportForm,
        typer.Option(
            help="A file for gynbtnet predict, a folder for nnUNetv2_predict, ONNX, STU-Net weights, the encoder in "
            "plain PyTorch, or a MONAI Bundle."
        ),
    ],
    weights: Annotated[
        Weights | None,
        typer.Option(
            help="Weights at the end of training, or at the best validation score. Default: those that the model was "
            "evaluated with, otherwise the last.",
        ),
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="Cohort of the training, whose counts the model card states.")
    ] = None,
    split: Annotated[Path | None, typer.Option(help="With --cohort: split with its test patients.")] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(help="Folder of gynbtnet evaluate for the model card. Default: that of a cross-validation."),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="YAML file with the texts of the model card that only people can write.")
    ] = None,
    force: Force = False,
) -> None:
    """Export a model as one file, or for other software; the encoder of a pretraining run, too.

    model_card.md is in the folder or zip, and next to a single file. It has the sections of the AID-RT card. The last
    line lists what is open in it: keys of --card, and options that fill in counts.
    """
    from gynbtnet.exports.card.model_card import CardInputs
    from gynbtnet.exports.model_export import ExportFormat, export_model

    inputs = CardInputs(cohort, split, evaluation, card)
    form = ExportFormat(to.value)
    exported = export_model(model, out, form, weights=weights.value if weights else None, force=force, inputs=inputs)
    console.print(f"{to.value}: {exported.path}")
    if exported.open:
        console.print(f"Open in the model card ({len(exported.open)}): {', '.join(exported.open)}")
