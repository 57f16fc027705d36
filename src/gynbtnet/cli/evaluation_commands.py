"""Commands that score contours and their dose."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from gynbtnet.cli.application import command, console
from gynbtnet.cli.options import (
    Aliases,
    AllowAutomatic,
    CohortFolder,
    Doses,
    Jobs,
    Memory,
    Out,
)
from gynbtnet.runtime.errors import BadInput, ScansFailed
from gynbtnet.runtime.phrases import counted


class MissingStructurePolicy(StrEnum):
    """Scores of a structure that the truth or the prediction lacks."""

    worst = "worst"
    diagonal = "diagonal"
    drop = "drop"


class Surface(StrEnum):
    """Surface of a mask, between which distances are measured."""

    voxels = "voxels"
    mesh = "mesh"


class DoseIs(StrEnum):
    """Dose that is stored for a plan of several fractions."""

    total = "total"
    fraction = "fraction"


class Ends(StrEnum):
    """Ends of structures beyond their first and last slices."""

    none = "none"
    half = "half"


@command(
    "gynbtnet evaluate demo/experiment/predictions/test demo/experiment/cohorts/task "
    "--split demo/experiment/split.json --out demo/steps/evaluation"
)
def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="Folder of gynbtnet predict, of RTSTRUCTs, of label maps CASE.nii.gz with a dataset.json, or of one "
            "folder of masks per case."
        ),
    ],
    cohort: CohortFolder,
    out: Out,
    split: Annotated[
        Path | None, typer.Option(help="Score only the test patients of this split. Default: all patients.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Reference contours of a second reader, in any form of the predictions. Default: the cohort's."
        ),
    ] = None,
    reader: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="Contours of one of several readers, in any form of the predictions; repeatable. The folder of COHORT "
            "means its own contours. Readers are compared with each other, the model and their consensus.",
        ),
    ] = None,
    ratings: Annotated[
        Path | None,
        typer.Option(help="CSV file of ratings of the predicted contours: case, structure, rater, score from 1 to 5."),
    ] = None,
    doses: Doses = None,
    aliases: Aliases = None,
    allow_automatic: AllowAutomatic = False,
    missing_structure_policy: Annotated[
        MissingStructurePolicy,
        typer.Option(
            help="Score of a structure that only one side has: the largest distance that the case allows, the scan's "
            "diagonal, or none (drop). Means look better with drop; every table states the choice."
        ),
    ] = MissingStructurePolicy.worst,
    tolerance: Annotated[float, typer.Option(help="Tolerance of the surface DSC in mm.", min=0.001, max=100)] = 2.0,
    review_share: Annotated[
        float,
        typer.Option(
            help="Share of the cases to review, lowest predicted DSC first; the report counts the failures that "
            "this finds. For calibrated models.",
            min=0.01,
            max=1,
        ),
    ] = 0.2,
    tolerances: Annotated[
        Path | None,
        typer.Option(help="YAML file of tolerances by structure, with sources. Default: --tolerance for all."),
    ] = None,
    surface: Annotated[
        Surface,
        typer.Option(help="Surface of a mask: boundary voxels as in MONAI, or a mesh as in DeepMind's definition."),
    ] = Surface.voxels,
    jobs: Jobs = 1,
    memory: Memory = None,
) -> None:
    """Score predictions against manual contours: DSC, HD95, ASD, surface DSC, volumes, centroids, missed structures.

    Predictions belong to the case that their folder or file is called by, or whose scan they were made from.
    """
    from gynbtnet.cli.metric_tables import print_metrics
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.contours.evaluate_contours import evaluate_contours
    from gynbtnet.evaluation.contours.reader_contours import parse_readers
    from gynbtnet.evaluation.metrics.score_table import SHOWN_METRICS, scoring_note
    from gynbtnet.evaluation.metrics.settings import ScoringSettings
    from gynbtnet.evaluation.metrics.tolerances import Tolerances
    from gynbtnet.imaging.structure_names import StructureNames

    patients = Cohort.load(cohort)
    patients = patients.of_patients(Split.load(split).test) if split else patients
    names = StructureNames.load(aliases)
    by_structure = Tolerances.load(tolerances).tolerances_mm if tolerances else {}
    unknown = names.unknown_structures(by_structure, patients.structures)
    if unknown:
        raise BadInput(
            f"{tolerances} names {unknown[0]}, which is neither a structure of the cohort "
            f"({', '.join(patients.structures)}) nor a known one. Correct the name, or add it to the file of --aliases."
        )
    settings = ScoringSettings(
        missing_structure_policy=missing_structure_policy.value,
        tolerance_mm=tolerance,
        tolerances_mm={name: value for name, value in by_structure.items() if name in patients.structures},
        surface=surface.value,
    )
    evaluation, scored = evaluate_contours(
        patients,
        predictions,
        out,
        settings,
        truth=truth,
        readers=parse_readers(reader or ()),
        ratings=ratings,
        doses=doses,
        names=names,
        allow_automatic=allow_automatic,
        review_share=review_share,
        jobs=jobs,
        memory_gb=memory,
    )
    print_metrics(evaluation.summary, SHOWN_METRICS)
    for note in scored.notes[len(patients.notes) :]:
        console.print(note)
    console.print(scoring_note(evaluation.settings))
    console.print(f"All metrics are in {out / 'summary.md'}. The report is {out / 'report.html'}")


@command(
    "gynbtnet dose demo/experiment/cohorts/task --predictions demo/experiment/predictions/test "
    "--split demo/experiment/split.json --external-beam 45/25 --out demo/steps/dose"
)
def dose(
    cohort: Annotated[
        Path,
        typer.Argument(
            metavar="COHORT",
            help="Folder made by gynbtnet ingest, or a DICOM folder with CT, RTSTRUCT and RTDOSE of a patient.",
        ),
    ],
    out: Out,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Automatic contours, in any form that evaluate takes. Default: only the cohort's contours."),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="Only the test patients of this split.")] = None,
    patient: Annotated[str | None, typer.Option(help="Only this patient, by study ID or PatientID.")] = None,
    doses: Annotated[
        Path | None,
        typer.Option(help="Folder with RTDOSE files, or CASE.nii.gz in Gy. Default: the folders that were ingested."),
    ] = None,
    external_beam: Annotated[
        str | None,
        typer.Option(
            metavar="GY/FRACTIONS|CSV",
            help="For all patients, e.g. 45/25, or a CSV file with patient,dose_gy,fractions.",
        ),
    ] = None,
    aims: Annotated[Path | None, typer.Option(help="YAML file of aims and limits. Default: EMBRACE II.")] = None,
    alpha_beta_target: Annotated[float, typer.Option(help="α/β of targets in Gy.", min=0.1, max=100)] = 10.0,
    alpha_beta_organ: Annotated[float, typer.Option(help="α/β of organs in Gy.", min=0.1, max=100)] = 3.0,
    alpha_beta: Annotated[
        list[str] | None,
        typer.Option(metavar="STRUCTURE=GY", help="α/β of one structure, e.g. femoral_head_left=2; repeatable."),
    ] = None,
    fractions_per_plan: Annotated[
        int | None,
        typer.Option(
            help="Number of times that the dose of each case was delivered. Default: by the RTPLAN, otherwise 1.",
            min=1,
            max=20,
        ),
    ] = None,
    dose_is: Annotated[
        DoseIs | None,
        typer.Option(help="Dose that is stored for a plan of several fractions: of all (total) or of one (fraction)."),
    ] = None,
    course_fractions: Annotated[
        int | None,
        typer.Option(
            help="Fractions of a complete course; a patient with another number is not judged.", min=1, max=60
        ),
    ] = None,
    prescription: Annotated[
        float | None,
        typer.Option(help="Prescribed dose of one fraction in Gy, for V100, V150 and V200.", min=0.1, max=100),
    ] = None,
    ends: Annotated[
        Ends,
        typer.Option(
            help="End of a structure: on its first and last slice (none), or half a slice beyond them (half)."
        ),
    ] = Ends.none,
    aliases: Aliases = None,
    jobs: Jobs = 1,
) -> None:
    """Dose-volume metrics of manual and automatic contours, and each patient's total EQD2 against aims and limits."""
    from gynbtnet.cli.dose_tables import print_doses
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.datasets.patient_key import PatientKey
    from gynbtnet.datasets.split import Split
    from gynbtnet.evaluation.contours.matched_predictions import matched_predictions
    from gynbtnet.evaluation.dose.dicom_folder import DoseFolder, cohort_of_folder, is_cohort
    from gynbtnet.evaluation.dose.dose_evaluation import PAGE, evaluate_dose
    from gynbtnet.evaluation.dose.external_beam import parse_external_beam
    from gynbtnet.evaluation.dose.planning_aims import EMBRACE_II, PlanningAims
    from gynbtnet.evaluation.dose.tables import aims_sentence
    from gynbtnet.evaluation.metrics.settings import DoseSettings
    from gynbtnet.imaging.structure_names import StructureNames

    with TemporaryDirectory(prefix="gynbtnet-") as scratch:
        names = StructureNames.load(aliases)
        source = (
            DoseFolder(Cohort.load(cohort))
            if is_cohort(cohort)
            else cohort_of_folder(cohort, Path(scratch) / "dose", names)
        )
        whole = source.cohort
        key = PatientKey.of_cohort(whole.folder)
        patients = whole.of_patients(Split.load(split).test) if split else whole
        if patient in source.patients_left_out:
            raise BadInput(source.left_out[0][1])
        if patient:
            patients = patients.of_patient(key.find(patient))
        known = (*whole.patients, *key.study_ids.values(), *source.patients_left_out)
        external = (
            parse_external_beam(external_beam, patients.patients, key.study_ids, known) if external_beam else None
        )
        settings = DoseSettings(
            alpha_beta_target_gy=alpha_beta_target,
            alpha_beta_organ_gy=alpha_beta_organ,
            alpha_beta_gy=_alpha_beta(alpha_beta or (), patients.structures),
            fractions_per_plan=fractions_per_plan,
            dose_is=dose_is.value if dose_is else None,
            course_fractions=course_fractions,
            prescription_gy=prescription,
            ends=ends.value,
        )
        planning_aims = PlanningAims.load(aims or EMBRACE_II)
        with matched_predictions(patients, predictions) if predictions else nullcontext((patients, None)) as matched:
            evaluation = evaluate_dose(
                replace(patients, notes=matched[0].notes),  # its own contours, also of structures that nobody predicted
                out,
                predictions=matched[1],
                doses=doses,
                external=external,
                aims=planning_aims,
                settings=settings,
                names=names,
                jobs=jobs,
                left_out=source.left_out,
            )
    automatic = sum(case.source.automatic for case in patients.cases)
    if patients.synthetic:
        console.print("Synthetic data: no patient was treated with these doses.")
    print_doses(evaluation, predicted=predictions is not None or automatic > 0)
    console.print(aims_sentence(planning_aims))
    if automatic:
        console.print(
            f"The contours of {automatic} of {counted(len(patients.cases), 'case')} are predictions of GynBTNet that "
            "nobody has approved; their doses are in the automatic columns."
        )
    console.print(f"All metrics and their assumptions are in {out / 'dose.md'}. The report is {out / PAGE}")
    if evaluation.failed:
        raise ScansFailed(evaluation.failed, len(patients.cases) + len(source.left_out))


def _alpha_beta(arguments: Sequence[str], structures: Sequence[str]) -> dict[str, float]:
    """Parse several STRUCTURE=GY arguments.

    Raises:
        BadInput: If an argument isn't one, names a structure that the cohort doesn't have, or has no such value.
    """
    values: dict[str, float] = {}
    for argument in arguments:
        structure, _, text = argument.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value <= 100 or structure in values:
            raise BadInput(
                f"--alpha-beta {argument} is not STRUCTURE=GY, or names a structure twice; expected such as "
                "femoral_head_left=2, from more than 0 to 100 Gy."
            )
        if structure not in structures:
            raise BadInput(
                f"--alpha-beta names {structure}, which is not among the cohort's structures {', '.join(structures)}; "
                "correct the name."
            )
        values[structure] = value
    return values
