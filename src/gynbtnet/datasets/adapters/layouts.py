"""The layouts that are ingested, by name: each an adapter in a file of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from gynbtnet.datasets.adapters import (
    ct_colonography,
    decathlon,
    dicom_rt_export,
    flare22,
    hnscc,
    nnunet_raw,
    ribfrac,
    scan_folders,
    tcia_covid,
    totalsegmentator,
)
from gynbtnet.datasets.ingestion.dry_run import DryRun, dry_run
from gynbtnet.datasets.ingestion.found_scans import FoundScans, source_folders
from gynbtnet.datasets.ingestion.ingest import Ingestion, ingest_found
from gynbtnet.datasets.ingestion.scan_identity import DICOM, assign_patients
from gynbtnet.datasets.patient_key import PatientKey
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput


@dataclass(frozen=True)
class Choices:
    """What a user chooses about a source; left out, an adapter's own default.

    Attributes:
        structures: what to take, in label order.
        aliases: a clinic's own table of ROI names.
        repairs: which flaws of CT series to mend.
        resample_labels: bring labels on another grid than their scan's onto that.
        channels: what the images of a scan are.
        rtstruct: which of several structure sets on one CT to take.
    """

    structures: tuple[str, ...] | None = None
    aliases: Path | None = None
    repairs: Repairs | None = None
    resample_labels: bool | None = None
    channels: tuple[str, ...] | None = None
    rtstruct: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Layout:
    """How a source lies on disk.

    Attributes:
        find: the adapter's.
        takes: the choices that it understands.
        needs: of these, what it can't do without.
    """

    find: Callable[..., FoundScans]
    takes: tuple[str, ...]
    needs: tuple[str, ...] = ()


_LABELLED = ("structures", "resample_labels")

LAYOUTS = {
    "dicom-rt": Layout(dicom_rt_export.find, ("structures", "aliases", "repairs", "rtstruct"), needs=("structures",)),
    "scans": Layout(scan_folders.find, ("repairs", "channels")),
    "totalsegmentator": Layout(totalsegmentator.find, _LABELLED),
    "flare22": Layout(flare22.find, _LABELLED),
    "hnscc": Layout(hnscc.find, ("repairs",)),
    "ribfrac": Layout(ribfrac.find, _LABELLED),
    "ct-colonography": Layout(ct_colonography.find, ("repairs",)),
    "tcia-covid": Layout(tcia_covid.find, ()),
    "nnunet": Layout(nnunet_raw.find, _LABELLED),
    "decathlon": Layout(decathlon.find, _LABELLED),
}

_OPTIONS = {
    "structures": "--structures",
    "aliases": "--aliases",
    "repairs": "the --allow-… options",
    "resample_labels": "--resample-labels",
    "channels": "--channels",
    "rtstruct": "--rtstruct",
}


def ingest_layout(
    layout: str,
    source: Path | Sequence[Path],
    out: Path,
    choices: Choices | None = None,
    *,
    patients_from: str = DICOM,
    key: PatientKey | None = None,
    name: str | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    leave_out_failing: bool = False,
    allow_overlap: bool = False,
) -> Ingestion:
    """Ingest a source of any layout; see :func:`~gynbtnet.datasets.ingestion.ingest.ingest_found` for the arguments.

    Raises:
        BadInput: where the layout doesn't take a choice or lacks one, and as ``ingest_found``.
    """
    found = _found(layout, source, out, choices or Choices(), patients_from, leave_out_failing=leave_out_failing)
    return ingest_found(
        found,
        out,
        key=key,
        name=name,
        jobs=jobs,
        resample_channels=resample_channels,
        leave_out_failing=leave_out_failing,
        allow_overlap=allow_overlap,
    )


def dry_run_layout(
    layout: str,
    source: Path | Sequence[Path],
    out: Path,
    choices: Choices | None = None,
    *,
    patients_from: str = DICOM,
    key: PatientKey | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    allow_overlap: bool = False,
) -> DryRun:
    """What :func:`ingest_layout` would take; nothing is written.

    Raises:
        BadInput: as :func:`ingest_layout`, for what a dry run can know, see :mod:`gynbtnet.datasets.ingestion.dry_run`.
    """
    found = _found(layout, source, out, choices or Choices(), patients_from, leave_out_failing=True)
    return dry_run(found, out, key=key, jobs=jobs, resample_channels=resample_channels, allow_overlap=allow_overlap)


def _found(
    name: str,
    source: Path | Sequence[Path],
    out: Path,
    choices: Choices,
    patients_from: str,
    *,
    leave_out_failing: bool,
) -> FoundScans:
    layout = LAYOUTS[name]
    made = {field.name: getattr(choices, field.name) for field in fields(choices)}
    made = {choice: value for choice, value in made.items() if value is not None}
    for choice in made:
        if choice not in layout.takes:
            raise BadInput(
                f"The layout {name} has no use for {_OPTIONS[choice]}; leave it out, or choose another --layout."
            )
    for choice in layout.needs:
        if choice not in made:
            raise BadInput(
                f"The layout {name} needs {_OPTIONS[choice]}; name what to take, e.g. --structures hr_ctv,bladder."
            )
    sources = source_folders(source, out)
    if "aliases" in made:
        made["names"] = StructureNames.load(made.pop("aliases"))
    return assign_patients(layout.find(sources, **made), sources, patients_from, leave_out_failing=leave_out_failing)
