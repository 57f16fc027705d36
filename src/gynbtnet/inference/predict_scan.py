"""A scan on disk to contours on disk, in three steps that several scans can go through side by side."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gynbtnet.imaging.dicom.rt.rtstruct_writer import write_rtstruct
from gynbtnet.imaging.dicom.seg_writer import write_seg
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.files.volume_files import write_volume
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.engine.contours import Prediction
from gynbtnet.inference.engine.mirroring import with_tta_axes
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import Output, PredictionSettings
from gynbtnet.inference.manifest import (
    MANIFEST,
    InputRecord,
    ModelRecord,
    PredictionSummary,
    Provenance,
    Seconds,
    existing_input_sha256,
    failed_files,
    is_up_to_date,
    make_manifest,
)
from gynbtnet.inference.preview import write_preview
from gynbtnet.inference.review import Review, review_of, rules_sha256
from gynbtnet.inference.scans.scan_input import ScanFiles, ScanInput, locate_scan, read_scan
from gynbtnet.runtime.atomic_files import atomic_write, ensure_replaceable
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import write_json
from gynbtnet.runtime.progress import console

LABELS, RTSTRUCT, SEG, PREVIEW = "labels.nii.gz", "RS.dcm", "SEG.dcm", "preview.png"
_NOTHING = "Nothing was found of any structure: the contours are empty."


@dataclass(frozen=True)
class PredictionRequest:
    """One scan to contour.

    Attributes:
        files: the scan.
        out: folder of its prediction, apart from the scan.
        settings: of the sliding window and the files.
        repairs: which flaws of the series to mend instead of refusing it; each is told and noted in the manifest.
        names: how structures are called and coloured in DICOM.
        synthetic: say in every file that no real patient was scanned; said anyway where the scan itself says so.
        force: whether another prediction of the same scan, which stands in ``out``, is replaced.
        check: whether to see that the scan is a CT of the pelvis, in HU. Those of a cohort, whose like the model has
            learned from, need no such look.
    """

    files: ScanFiles
    out: Path
    settings: PredictionSettings
    repairs: Repairs | None = None
    names: StructureNames | None = None
    synthetic: bool = False
    force: bool = False
    check: bool = True

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The files of contours: those asked for, or what suits the scan."""
        of_kind: tuple[Output, ...] = ("nifti",) if self.files.series is None else ("rtstruct", "nifti")
        return self.settings.outputs or of_kind


@dataclass(frozen=True)
class LoadedRequest:
    """A request whose scan is in memory.

    Attributes:
        made_from: what decides on the files.
        seconds: that reading took.
        kept: whether ``out`` holds these files already, and there is nothing to do.
    """

    request: PredictionRequest
    scan: ScanInput
    made_from: Provenance
    seconds: float
    kept: bool


@dataclass(frozen=True)
class PendingPrediction:
    """A request whose scan has its contours.

    Attributes:
        review: contours as they are written, and what to look at in them.
        told: what there is to know of it.
        seconds: that contouring took.
    """

    read: LoadedRequest
    review: Review
    told: PredictionSummary
    seconds: float


def predict_scan(
    model: Segmenter,
    scan: Path,
    out: Path,
    *,
    channels: Sequence[Path] = (),
    settings: PredictionSettings | None = None,
    series_uid: str | None = None,
    repairs: Repairs | None = None,
    names: StructureNames | None = None,
    synthetic: bool = False,
    force: bool = False,
    check: bool = True,
) -> Path:
    """Contour one scan and write the folder ``out`` whole.

    It holds ``prediction.json``, the files of contours that ``settings.outputs`` names (``labels.nii.gz``, ``RS.dcm``,
    ``SEG.dcm``; the last not where nothing was found, since a SEG can't be empty), and ``preview.png``. A file that
    can't be written costs only itself: the folder has the others, and the manifest says what failed.

    What stands there already is kept where the same version made it from the same scan, weights and settings.

    Args:
        model: what contours.
        scan: a folder with a DICOM CT series, or an image file.
        out: apart from the scan.
        channels, series_uid: see :func:`~gynbtnet.inference.scans.scan_input.locate_scan`.
        settings, repairs, names, synthetic, force, check: see :class:`PredictionRequest`.

    Returns:
        ``out``.

    Raises:
        BadInput: where the scan can't be read as one CT in HU, a file is asked for that it can't have, or ``out`` holds
            the scan, anything but a prediction, or another one and not ``force``. Also, at the end, if a file could not
            be written.
    """
    settings = settings or PredictionSettings()
    _check_apart(out, scan)
    files = locate_scan(scan, model.channels, given=channels, series_uid=series_uid)
    return predict_request(model, PredictionRequest(files, out, settings, repairs, names, synthetic, force, check))


def predict_request(model: Segmenter, request: PredictionRequest) -> Path:
    """The three steps one after another; returns the folder."""
    return write_prediction(model, segment_request(model, load_request(model, request)))


def load_request(model: Segmenter, request: PredictionRequest) -> LoadedRequest:
    """The first step: read and check the scan, and see that its prediction may be written.

    Raises:
        BadInput: see :func:`predict_scan`.
    """
    began = time.perf_counter()
    _check_apart(request.out, request.files.place)
    if request.files.series is None and {"rtstruct", "seg"}.intersection(request.outputs):
        raise BadInput(
            f"{request.files.place} is no DICOM series, and an RTSTRUCT or SEG refers to the slices of one; ask for "
            "nifti alone, or give the DICOM folder of the scan."
        )
    scan = read_scan(request.files, model.channels, request.repairs, check=request.check)
    if scan.series is not None and {"rtstruct", "seg"}.issuperset(request.outputs):
        scan.series.check_referable()  # no other contours would be left
    for sentence in (*scan.notes, *scan.warnings):
        console.print(f"{request.files.place}: {sentence}")
    made_from = _made_from(model, scan, request)
    kept = is_up_to_date(request.out, made_from)
    if not kept:
        _check_out(request, scan.sha256)
    return LoadedRequest(request, scan, made_from, time.perf_counter() - began, kept)


def segment_request(model: Segmenter, read: LoadedRequest) -> PendingPrediction | Path:
    """The second step; the path of what stands already needs no third."""
    if read.kept:
        return read.request.out
    began = time.perf_counter()
    settings = read.request.settings
    contours = model.contour(read.scan.volumes, settings)
    reviewed = review_of(model, contours, settings)
    return PendingPrediction(read, reviewed, _told(reviewed, contours, read.scan), time.perf_counter() - began)


def write_prediction(model: Segmenter, contoured: PendingPrediction | Path) -> Path:
    """The third step: the files of a prediction, whole; returns their folder.

    Raises:
        BadInput: If files are missing in it, because they couldn't be written now or when the folder was made.
    """
    if isinstance(contoured, Path):
        _report_missing(contoured, failed_files(contoured))
        return contoured
    began = time.perf_counter()
    read, told = contoured.read, contoured.told
    with atomic_write(read.request.out) as partial:
        partial.mkdir()
        files, failed = _write_files(contoured, model, partial)
        seconds = (read.seconds, contoured.seconds, time.perf_counter() - began)
        content = make_manifest(
            read.made_from,
            told,
            files=files,
            failed=failed,
            geometry=read.scan.volumes[0].geometry.to_json(),
            device=str(model.device),
            seconds=Seconds(*(round(one, 3) for one in seconds)),
        )
        write_json(content, partial / MANIFEST)
    _report_missing(read.request.out, failed)
    return read.request.out


def _report_missing(out: Path, failed: Mapping[str, str]) -> None:
    if failed:
        reasons = " ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise BadInput(f"{out} was written without {' and '.join(failed)}. {reasons}")


def _told(reviewed: Review, contours: Prediction, scan: ScanInput) -> PredictionSummary:
    segmentation = reviewed.segmentation
    volumes = {structure: round(segmentation.volume_cm3(structure), 3) for structure in segmentation.structures}
    missing = tuple(structure for structure in segmentation.structures if not segmentation.mask(structure).any())
    return PredictionSummary(
        notes=scan.notes,
        warnings=(*scan.warnings, *([_NOTHING] if len(missing) == len(segmentation.structures) else [])),
        flags=reviewed.flags,
        volumes_cm3=volumes,
        missing=missing,
        agreement={name: None if math.isnan(dice) else round(dice, 4) for name, dice in contours.agreement.items()},
        predicted_dsc=reviewed.predicted,
        review={structure: reviewed.to_review(structure) for structure in segmentation.structures},
    )


def _write_files(
    contoured: PendingPrediction, model: Segmenter, folder: Path
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Write the files beside the manifest, each by itself; returns their names, and reasons of those that failed."""
    read, segmentation = contoured.read, contoured.review.segmentation
    request, series, synthetic = read.request, read.scan.series, read.made_from.synthetic
    names = request.names or StructureNames.load(None)
    words = f"Research use only, not reviewed. Model {model.sha256[:8]}"  # DICOM allows 64 characters
    description, software = f"SYNTHETIC. {words}" if synthetic else words, version("gynbtnet")

    def rtstruct(path: Path) -> None:
        assert series is not None
        write_rtstruct(
            segmentation,
            series,
            path,
            names=names,
            label=f"{model.title} {model.sha256}"[:16],  # what DICOM allows
            description=description,
            software_version=software,
            contour_style=request.settings.contour_style,
            hole_style=request.settings.hole_style,
            remarks=contoured.review.remarks,
            summary=contoured.review.summary,
        )

    def seg(path: Path) -> None:
        assert series is not None
        write_seg(segmentation, series, path, names=names, description=description, software_version=software)

    def preview(path: Path) -> None:
        title = f"{request.out.name}, contoured by {model.title} {model.sha256[:8]}"
        scan = read.scan.volumes[0]
        write_preview(scan, segmentation, contoured.told, path, names=names, title=title, synthetic=synthetic)

    wanted: dict[str, Callable[[Path], None]] = {}
    if "nifti" in request.outputs:
        wanted[LABELS] = lambda path: write_volume(segmentation.labels, path)
    if series is not None and "rtstruct" in request.outputs:
        wanted[RTSTRUCT] = rtstruct
    if series is not None and "seg" in request.outputs and segmentation.labels.array.any():
        wanted[SEG] = seg
    if request.settings.preview:
        wanted[PREVIEW] = preview
    failed = {name: reason for name, write in wanted.items() if (reason := _write_alone(write, folder / name))}
    if failed and not set(wanted) - set(failed) - {PREVIEW}:
        raise BadInput(f"No contours of {request.files.place} could be written. {' '.join(failed.values())}")
    return tuple(name for name in wanted if name not in failed), failed


def _write_alone(write: Callable[[Path], None], path: Path) -> str:
    """Write a file that may fail without the others; returns why it failed, or an empty text.

    Errors of the disk are not its own, and pass.
    """
    try:
        write(path)
    except BadInput as error:
        reason = str(error)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of a library, whose words may quote a header with the patient's name
        reason = f"{path.name} could not be made ({type(error).__name__})."
    else:
        return ""
    path.unlink(missing_ok=True)
    return reason


def _made_from(model: Segmenter, scan: ScanInput, request: PredictionRequest) -> Provenance:
    return Provenance(
        synthetic=request.synthetic or scan.synthetic,
        model=ModelRecord(model.folder.resolve().name, model.weights, model.sha256, model.digests, rules_sha256(model)),
        input=InputRecord(
            kind="image file" if scan.series is None else "DICOM",
            series_uid=scan.series.series_uid if scan.series else None,
            sha256=scan.sha256,
        ),
        settings=with_tta_axes(request.settings, model.mirror_axes, str(model.folder)).model_dump(mode="json"),
        versions={name: version(name) for name in ("gynbtnet", "torch", "SimpleITK", "pydicom", *model.libraries)},
        structures=model.structures,
    )


def _check_out(request: PredictionRequest, sha256: str) -> None:
    """BadInput where anything would be replaced but an earlier prediction of this scan, and that by the user's word."""
    out = request.out
    ensure_replaceable(out, (LABELS, RTSTRUCT, SEG, PREVIEW, MANIFEST), MANIFEST)
    standing = existing_input_sha256(out)
    if standing not in (None, sha256):
        raise BadInput(
            f"{out} holds the prediction of another scan than {request.files.place}, or of what that was before; give "
            "another output folder, or delete this one."
        )
    if (out / MANIFEST).is_file() and not request.force:
        raise BadInput(
            f"{out} holds another prediction of this scan, which somebody may have corrected; replace it with --force, "
            "or give another output folder."
        )


def _check_apart(out: Path, scan: Path) -> None:
    """BadInput where writing ``out`` would delete the scan or leave files in its folder."""
    place, source = out.resolve(), scan.resolve()
    if place == source or place in source.parents or source in place.parents:
        raise BadInput(
            f"The prediction would be written to {out}, where the scan {scan} lies; give an output folder apart."
        )
