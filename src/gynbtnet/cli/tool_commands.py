"""Tools: synthetic cohorts to try every command on, and a check of the machine."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import Jobs
from gynbtnet.runtime.errors import BadInput


class PhantomKind(StrEnum):
    """Kind of synthetic cohort, one per training stage."""

    brachytherapy = "brachytherapy"
    unlabelled = "unlabelled"
    organs = "organs"


class PhantomRealism(StrEnum):
    """Population of synthetic patients."""

    simple = "simple"
    clinical = "clinical"


class PhantomForm(StrEnum):
    """File format of synthetic fractions."""

    dicom = "dicom"
    nifti = "nifti"


@command("gynbtnet phantom demo/phantom")
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder for the cohorts brachytherapy, unlabelled and organs.")],
    kind: Annotated[list[PhantomKind] | None, typer.Option(help="Only this kind; repeatable.")] = None,
    patients: Annotated[int, typer.Option(help="Brachytherapy patients.", min=1, max=100_000)] = 15,
    fractions: Annotated[
        str, typer.Option(help="Fractions per patient, or 4-5: 145 fractions for thirty patients.")
    ] = "3",
    unlabelled: Annotated[int, typer.Option(help="Scans without contours.", min=1, max=100_000)] = 16,
    organs: Annotated[int, typer.Option(help="Scans with many organs.", min=1, max=100_000)] = 12,
    spacing: Annotated[tuple[float, float, float], typer.Option(help="Voxel spacing along z, y, x in mm.")] = (
        3.0,
        3.0,
        3.0,
    ),
    matrix: Annotated[tuple[int, int, int], typer.Option(help="Voxels along z, y, x.")] = (64, 96, 128),
    seed: Annotated[int, typer.Option(help="The same seed gives the same voxels.", min=0)] = 0,
    realism: Annotated[
        PhantomRealism,
        typer.Option(
            help="simple: clear contrasts and moderate variety; clinical: contrast, variety and noise of a clinic."
        ),
    ] = PhantomRealism.simple,
    form: Annotated[PhantomForm, typer.Option(help="DICOM as a clinic exports it, or NIfTI.")] = PhantomForm.dicom,
    nested: Annotated[
        bool, typer.Option("--nested", help="Contour also GTV-res and IR-CTV, and the uterus with the cervix in it.")
    ] = False,
    jobs: Jobs = 1,
) -> None:
    """Make synthetic cohorts: female pelves with an applicator, and scans for stages 1 and 2.

    The size of the paper's cohort: --patients 30 --fractions 4-5 --spacing 1 0.464 0.464 --matrix 120 512 512.
    """
    from gynbtnet.phantom import cohorts

    try:
        number: int | Literal["4-5"] = "4-5" if fractions == "4-5" else int(fractions)
    except ValueError as error:
        raise BadInput(f"--fractions is {fractions!r}; expected a number of at least 1, or 4-5.") from error
    kinds = kind or list(PhantomKind)
    if PhantomKind.brachytherapy in kinds:
        cohorts.write_brachytherapy(
            out / "brachytherapy",
            patients=patients,
            fractions=number,
            spacing=spacing,
            matrix=matrix,
            seed=seed,
            realism=realism.value,
            file_format=form.value,
            nested=nested,
            jobs=jobs,
        )
    if PhantomKind.unlabelled in kinds:
        cohorts.write_unlabelled(
            out / "unlabelled",
            scans=unlabelled,
            spacing=spacing,
            matrix=matrix,
            seed=seed,
            realism=realism.value,
            jobs=jobs,
        )
    if PhantomKind.organs in kinds:
        cohorts.write_organs(
            out / "organs",
            scans=organs,
            spacing=spacing,
            matrix=matrix,
            seed=seed,
            realism=realism.value,
            jobs=jobs,
        )
    console.print(f"Synthetic scans of {', '.join(kind.value for kind in kinds)} in {out}")


@command("gynbtnet doctor")
def doctor(
    folder: Annotated[Path, typer.Argument(help="Folder for results; its free disk space is reported.")] = Path(),
) -> None:
    """Print versions, cores, memory, devices, free disk space and missing libraries; exit code 1 if any is missing."""
    from gynbtnet.runtime.system_report import system_report

    table = Table(show_header=False, box=None)
    rows = system_report(folder)
    for item, value in rows:
        table.add_row(item, value)
    print_table(table)
    raise typer.Exit(int(any(value.startswith("missing") for _, value in rows)))
