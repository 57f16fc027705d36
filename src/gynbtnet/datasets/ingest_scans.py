"""Ingestion of scans in any registered layout: the public functions ``ingest`` and ``dry_run``."""

from collections.abc import Sequence
from pathlib import Path

from gynbtnet.datasets.adapters.adapter import Adapter, AdapterOptions
from gynbtnet.datasets.adapters.registry import find_adapter
from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.dry_run import DryRun, dry_run_found
from gynbtnet.datasets.ingestion.found_scans import FoundScans, source_folders
from gynbtnet.datasets.ingestion.ingest_found import Ingestion, ingest_found
from gynbtnet.datasets.ingestion.scan_identity import DICOM, assign_patients
from gynbtnet.datasets.patient_key import KEY, PatientKey
from gynbtnet.imaging.dicom.slice_repairs import Repairs
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.runtime.errors import BadInput


def ingest(
    source: Path | Sequence[Path],
    out: Path,
    layout: str | Adapter = "dicom-rt",
    *,
    structures: Sequence[str] | None = None,
    names: StructureNames | None = None,
    repairs: Repairs | None = None,
    resample_labels: bool = False,
    channels: Sequence[str] | None = None,
    rtstruct: Sequence[str] = (),
    include_cohort: Cohort | None = None,
    patient_id_from: str = DICOM,
    key: PatientKey | None = None,
    name: str | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    leave_out_failing: bool = False,
    allow_overlap: bool = False,
    priority: Sequence[str] = (),
) -> Ingestion:
    """Ingest scans and contours as a cohort with a manifest.

    An interrupted ingestion resumes when it is called again. Not every layout uses the options from ``structures`` to
    ``include_cohort``; an option that the layout doesn't use is refused.

    Args:
        source: one folder or several; each is searched with its subfolders.
        out: folder for the cohort: absent, empty, or written by an earlier call. It must be outside the sources.
        layout: name of the layout, see :data:`~gynbtnet.datasets.adapters.registry.ADAPTERS`, or an adapter.
        structures: structures to take, in label order: 1, 2, …. If two overlap,
            :func:`~gynbtnet.imaging.label_map.painting_order` decides which one has the shared voxels.
        names: table of ROI names; None is the built-in table.
        repairs: flaws of CT series to repair instead of refusing them; None repairs nothing.
        resample_labels: resample labels that are not on the grid of their scan, by nearest neighbour.
        channels: names of the channels of a scan.
        rtstruct: rules that select one of several structure sets on one CT, see
            :mod:`~gynbtnet.datasets.ingestion.structure_set_choice`. Without a rule such a CT is refused.
        include_cohort: cohort whose scans are added, for instance the training patients of the task. Scans that the
            sources contain are not added twice.
        patient_id_from: source of the patient identifiers: "dicom", "folder", a pattern or the path of a table, see
            :func:`~gynbtnet.datasets.ingestion.scan_identity.assign_patients`.
        key: key that assigns study IDs to patients. None is ``patients.csv`` in ``out``, or in the folder of
            ``include_cohort``.
        name: name of the cohort; None is the name of ``out``.
        jobs: number of scans that are read at the same time, each in its own process.
        resample_channels: resample further channels that are not on the grid of the first, by linear interpolation.
            They must be registered to it.
        leave_out_failing: ingest the scans that can be read and list the others in the report.
        allow_overlap: take a scan even if a structure loses more than
            :data:`~gynbtnet.imaging.overlap_losses.LARGEST_LOSS` of its volume to others in the label map.
        priority: structures that get the voxels that they share with others in the label map; the first one wins over
            the next ones as well. The others follow the rule above.

    Returns:
        The cohort and the integrity report of its source.

    Raises:
        BadInput: If the layout is unknown, doesn't use a given option or lacks one; if there is no scan to ingest;
            if ``out`` contains something else. Also if no case has one of the structures, or a scan can't be read and
            is not to be left out.

    Example:
        >>> cohort = ingest(export, folder / "cohort", structures=("hr_ctv", "bladder")).cohort
        >>> len(cohort.cases), cohort.structures
        (4, ('hr_ctv', 'bladder'))
    """
    options = AdapterOptions(
        structures=None if structures is None else tuple(structures),
        names=names,
        repairs=repairs,
        resample_labels=resample_labels,
        channels=None if channels is None else tuple(channels),
        rtstruct=tuple(rtstruct),
        include_cohort=include_cohort,
    )
    scans = _find_scans(source, out, layout, options, patient_id_from, leave_out_failing=leave_out_failing)
    return ingest_found(
        scans,
        out,
        key=key or _key_of(include_cohort),
        name=name,
        jobs=jobs,
        resample_channels=resample_channels,
        leave_out_failing=leave_out_failing,
        allow_overlap=allow_overlap,
        priority=priority,
    )


def dry_run(
    source: Path | Sequence[Path],
    out: Path,
    layout: str | Adapter = "dicom-rt",
    *,
    structures: Sequence[str] | None = None,
    names: StructureNames | None = None,
    repairs: Repairs | None = None,
    resample_labels: bool = False,
    channels: Sequence[str] | None = None,
    rtstruct: Sequence[str] = (),
    include_cohort: Cohort | None = None,
    patient_id_from: str = DICOM,
    key: PatientKey | None = None,
    jobs: int = 1,
    resample_channels: bool = False,
    allow_overlap: bool = False,
    priority: Sequence[str] = (),
) -> DryRun:
    """Return the cases and problems that :func:`ingest` would report, without writing anything.

    Failing scans are left out. :mod:`gynbtnet.datasets.ingestion.dry_run` lists what a dry run can't detect. See
    :func:`ingest` for the rules behind each argument.

    Args:
        source: one folder or several.
        out: folder that the cohort would be written to.
        layout: name of the layout, or an adapter.
        structures: structures to take, in label order.
        names: table of ROI names; None is the built-in table.
        repairs: flaws of CT series to repair.
        resample_labels: resample labels to the grid of their scan.
        channels: names of the channels of a scan.
        rtstruct: rules that select one of several structure sets on one CT.
        include_cohort: cohort whose scans are added.
        patient_id_from: source of the patient identifiers.
        key: key that assigns study IDs to patients.
        jobs: number of scans that are read at the same time.
        resample_channels: resample further channels to the grid of the first.
        allow_overlap: take a scan even if a structure loses much of its volume to others.
        priority: structures that get shared voxels in the label map, the first one first.

    Returns:
        The cases that would be ingested and the report of their problems.

    Raises:
        BadInput: As :func:`ingest`.
    """
    options = AdapterOptions(
        structures=None if structures is None else tuple(structures),
        names=names,
        repairs=repairs,
        resample_labels=resample_labels,
        channels=None if channels is None else tuple(channels),
        rtstruct=tuple(rtstruct),
        include_cohort=include_cohort,
    )
    scans = _find_scans(source, out, layout, options, patient_id_from, leave_out_failing=True)
    return dry_run_found(
        scans,
        out,
        key=key or _key_of(include_cohort),
        jobs=jobs,
        resample_channels=resample_channels,
        allow_overlap=allow_overlap,
        priority=priority,
    )


def _find_scans(
    source: Path | Sequence[Path],
    out: Path,
    layout: str | Adapter,
    options: AdapterOptions,
    patient_id_from: str,
    *,
    leave_out_failing: bool,
) -> FoundScans:
    """Return the scans below the sources with their patients."""
    adapter = find_adapter(layout) if isinstance(layout, str) else layout
    adapter.check_options(options)
    if options.include_cohort is not None and patient_id_from != DICOM:
        raise BadInput(
            "The scans of another cohort can't be included if patients are identified by folders or a table; identify "
            f"them by {DICOM}."
        )
    sources = source_folders(source, out)
    scans = adapter.find(sources, options)
    return assign_patients(scans, sources, patient_id_from, leave_out_failing=leave_out_failing)


def _key_of(cohort: Cohort | None) -> PatientKey | None:
    return PatientKey.load(cohort.folder / KEY) if cohort else None
