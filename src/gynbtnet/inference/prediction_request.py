"""Request for the prediction of one scan: its files, the output folder and the settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.inference.engine.segmenter import Segmenter
from gynbtnet.inference.engine.settings import Output, PredictionSettings
from gynbtnet.inference.scans.scan_input import ScanFiles, locate_scan
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class PredictionRequest:
    """One scan to predict; :meth:`from_path` makes a request from the path of a scan.

    Attributes:
        files: files of the scan.
        out: folder of the prediction, outside the scan's folder.
        settings: sliding window, review and output files.
        repairs: flaws of a DICOM series that are repaired instead of refused; each repair is noted in the manifest.
        names: names and colours of structures in DICOM; None: the default table.
        synthetic: mark every file as synthetic (no real patient). A scan that is marked as synthetic needs no mark.
        force: replace another prediction of the same scan in ``out``.
        check: check that the scan is a CT of the pelvis in HU. Scans of a cohort need no check: the model was trained
            on such scans.
    """

    files: ScanFiles
    out: Path
    settings: PredictionSettings
    repairs: Repairs | None = None
    names: StructureNames | None = None
    synthetic: bool = False
    force: bool = False
    check: bool = True

    @classmethod
    def from_path(
        cls,
        model: Segmenter,
        scan: Path,
        out: Path,
        *,
        channels: Sequence[Path] = (),
        series_uid: str | None = None,
        settings: PredictionSettings | None = None,
        repairs: Repairs | None = None,
        names: StructureNames | None = None,
        synthetic: bool = False,
        force: bool = False,
        check: bool = True,
    ) -> "PredictionRequest":
        """Return the request for the one scan at a path.

        Args:
            model: model that will read the scan.
            scan: image file, or folder of a DICOM CT series.
            out: folder of the prediction, outside the scan's folder.
            channels: image files of the channels after the first.
            series_uid: SeriesInstanceUID if the folder contains several series.
            settings: None: the defaults.
            repairs: flaws of a CT series to repair; None repairs nothing.
            names: names and colours of the structures; None is the built-in table.
            synthetic: state in all files that no real patient was scanned.
            force: replace another prediction of the same scan.
            check: check that the scan is a CT of a pelvis.

        Raises:
            BadInput: If there is no such scan, there isn't one file per channel, or ``out`` overlaps the scan.
        """
        check_separate(out, scan)
        files = locate_scan(scan, model.channels, given=channels, series_uid=series_uid)
        return cls(files, out, settings or PredictionSettings(), repairs, names, synthetic, force, check)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Contour files to write: those of the settings, or the usual ones for the type of scan."""
        usual: tuple[Output, ...] = ("nifti",) if self.files.series is None else ("rtstruct", "nifti")
        return self.settings.outputs or usual


def check_separate(out: Path, scan: Path) -> None:
    """Check that writing ``out`` neither deletes the scan nor leaves files in its folder.

    Raises:
        BadInput: If one of the two paths contains the other.
    """
    target, source = out.resolve(), scan.resolve()
    if target == source or target in source.parents or source in target.parents:
        raise BadInput(
            f"The prediction would be written to {out}, which overlaps the scan {scan}; give a separate output folder."
        )
