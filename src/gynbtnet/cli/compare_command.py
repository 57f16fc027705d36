"""Command that compares evaluations of several models."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gynbtnet.cli.application import command, console
from gynbtnet.cli.options import Doses, Out
from gynbtnet.runtime.errors import BadInput


class MarkedBy(StrEnum):
    """Tests of pairs of models."""

    patient = "patient"
    patient_permutation = "patient_permutation"
    patient_t = "patient_t"
    permutation = "permutation"
    wilcoxon = "wilcoxon"
    tukey = "tukey"


@command(
    "gynbtnet compare gynbtnet=demo/experiment/evaluation "
    "gynbtnet-from-scratch=demo/benchmark/evaluations/gynbtnet-from-scratch "
    "--cohort demo/experiment/cohorts/task --out demo/comparison"
)
def compare(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="NAME=FOLDER with an output folder of gynbtnet evaluate, or one of gynbtnet benchmark.",
        ),
    ],
    out: Out,
    cohort: Annotated[
        Path | None,
        typer.Option(help="The cohort that was scored. Not needed with a folder of gynbtnet benchmark."),
    ] = None,
    ours: Annotated[
        str | None, typer.Option(help="The model that the others are compared with. Default: gynbtnet, or the first.")
    ] = None,
    from_scratch: Annotated[
        str | None,
        typer.Option(help="The same model without pretraining, for the second table. Default: gynbtnet-from-scratch."),
    ] = None,
    predictions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="Predictions of a model, if they aren't next to its scores; repeatable."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="dsc, hd95_mm, asd_mm, surface_dsc, hausdorff_mm, centroid_shift_mm, added_path_length_mm, "
            "added_path_length_share, added_path_length_1_voxel_mm, added_path_length_1_voxel_share; repeatable. "
            "Default: first three."
        ),
    ] = None,
    significance_test: Annotated[
        MarkedBy,
        typer.Option(
            help="Test whose adjusted p-values give * and †. Default: by patient, the permutation if it can give a †, "
            "otherwise the t test. The paper's Table 1 has tukey, its Table 2 permutation (by case): neither is valid "
            "for several fractions per patient."
        ),
    ] = MarkedBy.patient,
    margin: Annotated[
        float | None,
        typer.Option(help="Test whether our DSC is worse by less than this, such as 0.02.", min=0.0001, max=0.9999),
    ] = None,
    doses: Doses = None,
    seed: Annotated[int, typer.Option(help="Seed of random swaps.", min=0)] = 0,
) -> None:
    """Compare evaluations of several models: the paper's tables, statistical tests, effect sizes, figures."""
    from gynbtnet.cli.metric_tables import print_metrics
    from gynbtnet.datasets.cohort import Cohort
    from gynbtnet.evaluation.comparison.compare import compare
    from gynbtnet.evaluation.comparison.folder import check_comparison_folder
    from gynbtnet.evaluation.comparison.report import report_comparison
    from gynbtnet.evaluation.comparison.settings import ComparisonSettings, checked_metrics
    from gynbtnet.evaluation.comparison.tables.model_summary import summarise_models
    from gynbtnet.evaluation.comparison.tables.model_tables import model_table, pretraining_table
    from gynbtnet.evaluation.dose.isodoses import isodoses_of_cases
    from gynbtnet.runtime.atomic_files import atomic_write

    models = _model_folders(model)
    folder = cohort or models.cohort
    if folder is None:
        raise BadInput("--cohort is missing; name the cohort that the models were scored on.")
    settings = ComparisonSettings(significance_test=significance_test.value, margin=margin, seed=seed)
    if metric:
        settings = settings.model_copy(update={"metrics": checked_metrics(metric)})
    patients = Cohort.load(folder)
    isodoses = isodoses_of_cases(patients.cases, doses)
    check_comparison_folder(out)
    with atomic_write(out) as partial:  # tables and page together
        compared = compare(
            patients,
            models.evaluations,
            partial,
            ours=ours,
            from_scratch=from_scratch,
            predictions=models.predictions | _named(predictions or [], "--predictions"),
            settings=settings,
            unmarked=models.unmarked,
        )
        page = out / report_comparison(compared, partial, isodoses=isodoses).name
    scratch = (compared.from_scratch,) if compared.from_scratch else ()
    for table, others in ((model_table(compared), compared.rivals), (pretraining_table(compared), scratch)):
        if table:
            print_metrics(summarise_models(compared, (*others, compared.ours)), settings.metrics)
            console.print(table.caption)
    if margin:
        console.print((out / "non_inferiority.md").read_text(encoding="utf-8"))
    for note in compared.notes:
        console.print(note)
    console.print(f"Tables, tests and figures are in {out} and in the report {page}")


@dataclass(frozen=True)
class _ModelFolders:
    """Folders of the given models; of a benchmark folder also the cohort, and why a model carries no mark."""

    evaluations: dict[str, Path]
    predictions: dict[str, Path]
    unmarked: dict[str, str]
    cohort: Path | None


def _model_folders(arguments: Sequence[str]) -> _ModelFolders:
    """Find the folders of each argument: one model, or all models of a benchmark folder."""
    from gynbtnet.experiment.folders import compared_models
    from gynbtnet.experiment.results_page import final_gains, unmarked_models

    evaluations: dict[str, Path] = {}
    predictions: dict[str, Path] = {}
    unmarked: dict[str, str] = {}
    cohort = None
    for argument in arguments:
        if "=" in argument and not Path(argument).is_dir():
            folders = _named([argument], "MODEL")
        else:
            models = compared_models(Path(argument))
            if not models:
                raise BadInput(
                    f"{argument} is not a folder with scored models; expected one that `gynbtnet benchmark` wrote, "
                    "or NAME=FOLDER with an output folder of `gynbtnet evaluate`."
                )
            folders = {model.name: model.evaluation for model in models}
            predictions |= {model.name: model.test_predictions for model in models}
            unmarked |= unmarked_models(final_gains({model.name: model for model in models}))
            cohort = models[0].cohort("task")
        twice = folders.keys() & evaluations.keys()
        if twice:
            raise BadInput(f"Two models are called {min(twice)}; give them different names.")
        evaluations |= folders
    return _ModelFolders(evaluations, predictions, unmarked, cohort)


def _named(arguments: Sequence[str], option: str) -> dict[str, Path]:
    """Parse several NAME=FOLDER arguments."""
    folders: dict[str, Path] = {}
    for argument in arguments:
        name, equals, folder = argument.partition("=")
        if not (name and equals and folder) or name in folders:
            raise BadInput(f"{option} {argument} is not NAME=FOLDER, or the name occurs twice; name each model once.")
        folders[name] = Path(folder)
    return folders
