"""Commands that ingest, describe and split cohorts."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import (
    Aliases,
    AllowOverlap,
    GantryTilt,
    Jobs,
    MissingSlices,
    Out,
    PatientIdOption,
    RtStruct,
    UnequalSpacing,
    listed,
)
from gynbtnet.imaging.printed_names import as_one_line
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.phrases import counted

if TYPE_CHECKING:
    import pandas as pd

    from gynbtnet.datasets.ingestion.dry_run import DryRun
    from gynbtnet.datasets.ingestion.integrity import IntegrityReport

MOST_ROWS = 20
"""Largest number of scans, problems and outliers listed; the others are counted."""


class Layout(StrEnum):
    """Dataset layout on disk."""

    dicom_rt = "dicom-rt"
    scans = "scans"
    totalsegmentator = "totalsegmentator"
    flare22 = "flare22"
    hnscc = "hnscc"
    ribfrac = "ribfrac"
    ct_colonography = "ct-colonography"
    tcia_covid = "tcia-covid"
    nnunet = "nnunet"
    decathlon = "decathlon"
    btcv_cervix = "btcv-cervix"
    amos = "amos"
    word = "word"
    pediatric_ct_seg = "pediatric-ct-seg"
    c3ro = "c3ro"


@command(
    "gynbtnet ingest demo/phantom/brachytherapy --out demo/steps/cohorts/task "
    "--structures hr_ctv,bladder,rectum,sigmoid,uterus"
)
def ingest(
    source: Annotated[list[Path], typer.Argument(help="Folders with scans.")],
    out: Out,
    layout: Annotated[Layout, typer.Option(help="Layout of the source.")] = Layout.dicom_rt,
    structures: Annotated[
        str | None,
        typer.Option(
            help="Structures to ingest by any of their names, comma-separated, in label order. If two overlap, targets "
            "win, else the later. Default for dicom-rt: hr_ctv,bladder,rectum,sigmoid,uterus."
        ),
    ] = None,
    priority: Annotated[
        str | None,
        typer.Option(
            help="Structures that get shared voxels in the label map instead, comma-separated, the first one first."
        ),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Channels NAME_0000, NAME_0001, …, comma-separated; for the layout scans.")
    ] = None,
    aliases: Aliases = None,
    rtstruct: RtStruct = None,
    patient_id_from: PatientIdOption = "dicom",
    pseudonymise: Annotated[
        Path | None,
        typer.Option(
            help="Write the key to the patients to this file, and nothing that identifies them to the cohort."
        ),
    ] = None,
    resample_labels: Annotated[
        bool, typer.Option("--resample-labels", help="Resample masks to the grid of their scan.")
    ] = False,
    resample_channels: Annotated[
        bool, typer.Option("--resample-channels", help="Resample registered channels to the grid of the first.")
    ] = False,
    missing_slices: MissingSlices = False,
    unequal_spacing: UnequalSpacing = False,
    gantry_tilt: GantryTilt = False,
    allow_overlap: AllowOverlap = False,
    jobs: Jobs = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would be ingested and all problems; write nothing.")
    ] = False,
) -> None:
    """Ingest scans and contours into a cohort: an nnU-Net raw dataset with a manifest.

    Patients get study IDs. The key to them is patients.csv in the cohort, or the file given by --pseudonymise. Scans
    that can't be used are listed at the end, with exit code 1; the cohort contains the others.
    """
    from gynbtnet.datasets import ingest_scans
    from gynbtnet.datasets.patient_key import PatientKey
    from gynbtnet.imaging.dicom.slice_repairs import Repairs
    from gynbtnet.imaging.structure_names import DEFAULT_STRUCTURES, StructureNames

    requested = listed(structures)
    if layout == Layout.dicom_rt:
        table = StructureNames.load(aliases)
        requested = tuple(table.requested(name) for name in requested or DEFAULT_STRUCTURES)
        if len(set(requested)) < len(requested):
            raise BadInput(f"--structures {structures} names a structure twice; give each structure once.")
    repairs = Repairs(missing_slices, unequal_spacing, gantry_tilt)
    arguments: dict[str, Any] = {
        "structures": requested,
        "names": StructureNames.load(aliases) if aliases else None,
        "repairs": repairs if repairs != Repairs() else None,
        "resample_labels": resample_labels,
        "channels": listed(channels, "--channels"),
        "rtstruct": listed(rtstruct, "--rtstruct") or (),
        "patient_id_from": patient_id_from,
        "key": PatientKey.load(pseudonymise, separate=True) if pseudonymise else None,
        "jobs": jobs,
        "resample_channels": resample_channels,
        "allow_overlap": allow_overlap,
        "priority": listed(priority, "--priority") or (),
    }
    if dry_run:
        expected = ingest_scans.dry_run(source, out, layout.value, **arguments)
        _print_dry_run(expected)
        report = expected.report
    else:
        ingestion = ingest_scans.ingest(source, out, layout.value, leave_out_failing=True, **arguments)
        cohort, report = ingestion.cohort, ingestion.report
        for note in cohort.notes:
            console.print(note)
        console.print(
            f"{counted(len(cohort.cases), 'case')} of {counted(len(cohort.patients), 'patient')} in {cohort.folder}"
        )
    _print_problems(report, None if dry_run else MOST_ROWS)  # a dry run writes no integrity.json
    if report.problems:
        raise typer.Exit(1)


@command("gynbtnet describe demo/steps/cohorts/task --out demo/steps/cohort.png")
def describe(
    folder: Annotated[list[Path], typer.Argument(metavar="COHORT...", help="Folders made by gynbtnet ingest.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Figure to write, a PNG file.")] = Path("cohort.png"),
) -> None:
    """Describe cohorts: counts, applicators, spacing, volumes and overlaps of structures, outliers, and a figure.

    A value is an outlier if it is more than 3.5 robust standard deviations from the median, on the logarithmic scale.
    """
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.evaluation.cohorts.cohort_overview import (
        applicator_table,
        cohort_figure,
        cohort_table,
        structure_table,
    )
    from gynbtnet.evaluation.cohorts.outliers import find_outliers
    from gynbtnet.evaluation.cohorts.overlap_table import overlap_table
    from gynbtnet.pictures.picture import render_picture
    from gynbtnet.runtime.atomic_files import atomic_write

    if out.suffix != ".png":
        raise BadInput(f"--out {out} is not a PNG file name; end the name in .png.")
    cohorts = [Cohort.load(path) for path in folder]
    names = [cohort.name for cohort in cohorts]
    groups = {
        cohort.name if names.count(cohort.name) == 1 else str(path): cohort
        for path, cohort in zip(folder, cohorts, strict=True)
    }
    print_table(_table(cohort_table(groups)))
    for name, group in groups.items():
        console.rule(name, align="left")
        positions = Counter(case.position or "unknown" for case in group.cases)
        if set(positions) != {"unknown"}:
            counted = ", ".join(f"{position} {count}" for position, count in positions.most_common())
            console.print(f"Patient positions: {counted}")
        if len(group.channels) > 1:
            console.print(f"Channels: {', '.join(group.channels)}")
        if any(case.applicator for case in group.cases):
            print_table(_table(applicator_table(group)))
        if group.structures:
            print_table(_table(structure_table(group)))
        overlaps = overlap_table(group)
        if len(overlaps):
            print_table(_table(overlaps))
        apart = find_outliers(group)
        for one in apart[:MOST_ROWS]:
            console.print(
                f"{one.case_id}: {one.label()} {one.value:.4g} is an outlier; the median is {one.median:.4g} "
                f"({one.score:+.1f} robust standard deviations)"
            )
        if len(apart) > MOST_ROWS:
            console.print(f"… and {len(apart) - MOST_ROWS} more")
        for note in group.notes:
            console.print(note)
    with atomic_write(out) as partial:
        partial.write_bytes(render_picture(cohort_figure(groups), "Overview of the cohorts").png)
    console.print(f"The figure is {out}")


@command("gynbtnet split demo/steps/cohorts/task --out demo/steps/split.json")
def split(
    cohort: Annotated[
        Path,
        typer.Argument(metavar="COHORT", help="Folder made by gynbtnet ingest, prepare or import-nnunet."),
    ],
    out: Out,
    test: Annotated[str, typer.Option(help="Share (0.2) or number (5) of patients held out for the test.")] = "0.2",
    folds: Annotated[int, typer.Option(help="Number of cross-validation folds of the other patients.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the random choice.", min=0)] = 0,
    take: Annotated[
        Path | None,
        typer.Option("--from", help="Use the folds of this splits_final.json; patients in none of them are held out."),
    ] = None,
) -> None:
    """Hold out test patients and divide the others into folds; all scans of a patient stay together.

    Known applicators are balanced over the parts. nnU-Net's splits_final.json is written to the same folder as --out.
    """
    from gynbtnet.datasets.cohort import MANIFEST as COHORT
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.nnunet_folds import FOLDS, read_folds, write_folds
    from gynbtnet.datasets.split import split_patients
    from gynbtnet.preparation.store import MANIFEST as PREPARED
    from gynbtnet.preparation.store import PreparedCohort

    try:
        held_out = float(test) if "." in test else int(test)
    except ValueError as error:
        raise BadInput(f"--test is {test}; expected a share such as 0.2 or a number of patients such as 5.") from error
    folds_file = out.with_name(FOLDS)
    if out.name == FOLDS:
        raise BadInput(f"{out} has the name of nnU-Net's file, which is written next to --out; expected split.json.")
    if take and take.resolve() in (out.resolve(), folds_file.resolve()):
        raise BadInput(f"{take} would be replaced, since {FOLDS} is written next to --out; write to another folder.")
    is_prepared = (cohort / PREPARED).is_file() and not (cohort / COHORT).is_file()
    loaded = PreparedCohort.open(cohort).as_cohort() if is_prepared else Cohort.load(cohort)
    made = read_folds(take, loaded) if take else split_patients(loaded, held_out, folds, seed)
    made.save(out)
    write_folds(made, loaded, folds_file)
    sizes = ", ".join(str(len(fold)) for fold in made.folds)
    console.print(f"{counted(len(made.test), 'test patient')}, folds of {sizes}: {out}")
    for applicator in sorted(set(loaded.applicators.values())):
        patients = {patient for patient, kind in loaded.applicators.items() if kind == applicator}
        shares = ", ".join(str(len(patients.intersection(fold))) for fold in made.folds)
        console.print(f"{applicator}: {len(patients.intersection(made.test))} in the test set, {shares} in the folds")


def _table(frame: "pd.DataFrame") -> Table:
    table = Table(box=None, header_style="bold")
    for name in frame.columns:
        table.add_column(name, overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(str(cell) for cell in row))
    return table


def _print_dry_run(seen: "DryRun") -> None:
    table = Table(box=None, header_style="bold")
    for name in ("case", "path", "files", "contours", "applicator"):
        table.add_column(name, overflow="fold")
    for one in seen.scans[:MOST_ROWS]:
        scan = one.scan
        files, contours = str(len(scan.files) + len(scan.channels)), str(len(scan.contours))
        table.add_row(one.id, as_one_line(str(scan.path)), files, contours, scan.applicator or "")
    print_table(table)
    if len(seen.scans) > MOST_ROWS:
        console.print(f"… and {len(seen.scans) - MOST_ROWS} more")
    for note in seen.notes:
        console.print(note)
    patients = len({one.scan.patient for one in seen.scans})
    found = f"{counted(len(seen.scans), 'scan')} of {counted(patients, 'patient')}"
    console.print(f"{found} would be ingested; nothing was written")


def _print_problems(report: "IntegrityReport", most: int | None) -> None:
    for problem in report.problems[:most]:
        typer.echo(f"{problem.kind}: {problem.reason}", err=True)
    if most is not None and len(report.problems) > most:
        typer.echo(f"… and {len(report.problems) - most} more; integrity.json lists all", err=True)
