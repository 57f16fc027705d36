"""Report page of an experiment, made from the files in its folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.cohorts.cohort_overview import cohort_pictures, cohort_table
from gynbtnet.evaluation.cohorts.metal_artefacts import cases_with_metal
from gynbtnet.evaluation.dose.isodoses import isodoses_of_cases
from gynbtnet.evaluation.metrics.evaluation import Evaluation, read_prediction
from gynbtnet.evaluation.reports.case_overlay import CaseOverlay, prediction_overlay
from gynbtnet.evaluation.reports.example_cases import example_cases, other_viewers
from gynbtnet.evaluation.reports.model_results import model_results
from gynbtnet.evaluation.reports.report import ReportContent, write_report
from gynbtnet.evaluation.reports.sections.review_paragraph import review_command
from gynbtnet.evaluation.reports.stage_report import stage_report
from gynbtnet.experiment.folders import STAGES, Experiment, StageName
from gynbtnet.experiment.reporting_checklist import write_checklist
from gynbtnet.imaging.files.volume_files import read_volume
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.recipes.loading import load_recipe
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.json_files import sha256_of
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.run_folder import RunFolder, last_environment

_MACHINE = ("epochs_done", "device", "processes", "parameters", "platform")
"""Entries of a run's environment that are no versions."""
OTHER_GROUPS = {
    "pretraining": "unlabelled (stage 1)",
    "supervised": "many organs (stage 2)",
    "further": "further scans",
}


def report_experiment(experiment: Experiment) -> Path:
    """Write the report page of an experiment, and its reporting checklist ``claim.md``.

    The viewers show isodoses of the test cases whose RTDOSE is in the folder that they were ingested from.

    Args:
        experiment: folder of the experiment.

    Returns:
        The path of the page.

    Raises:
        BadInput: If the experiment has no evaluated predictions.
    """
    if not experiment.recipe.is_file():
        raise BadInput(
            f"There is no {experiment.recipe}; expected the folder of an experiment, as `gynbtnet run` writes it."
        )
    recipe = load_recipe(experiment.recipe)
    names = StructureNames.load(recipe.aliases)
    groups = _groups(experiment)
    test = groups["test patients"]
    if not test.cases:
        raise BadInput(
            f"{experiment.split} holds out no patient for the test, so there is nothing to report; expected the split "
            "that `gynbtnet run` wrote there."
        )
    evaluation = Evaluation.load(experiment.evaluation)
    results = model_results("", test, evaluation, experiment.test_predictions, cases_with_metal(test))
    results.save(experiment.evaluation)
    shown = {"prediction": evaluation}, {"prediction": experiment.test_predictions}, names
    isodoses = isodoses_of_cases(test.cases)
    examples = example_cases(test, *shown, isodoses)
    content = ReportContent(
        title=f"Experiment {recipe.name}",
        synthetic=any(group.synthetic for group in groups.values()),
        names=names,
        description=recipe.description,
        cohort=cohort_table(groups, names),
        cohort_pictures=cohort_pictures(groups, names),
        notes=_notes(groups),
        stages=tuple(
            stage_report(run, _heading(stage, run), names)
            for stage in experiment.trained_stages()
            for run in experiment.training_runs(stage)
        ),
        results=(results,),
        examples=examples,
        viewers=other_viewers(test, *shown, experiment.report.parent, examples.case_ids, isodoses),
        review_command=review_command(experiment.test_predictions, test),
        unlabelled=tuple(_further_overlays(experiment, recipe.structures, names)),
        provenance=tuple(_provenance(experiment)),
        citations=recipe.citations,
    )
    write_report(content, experiment.report)
    write_checklist(experiment)
    return experiment.report


def _heading(stage: StageName, run: Path) -> str:
    return f"{STAGES[stage]}, {run.name.replace('_', ' ')}" if run.name.startswith("fold_") else STAGES[stage]


def _groups(experiment: Experiment) -> dict[str, Cohort]:
    """Return the cases by use: training patients, test patients, then the scans of earlier stages."""
    cohort, split = Cohort.load(experiment.cohort("task")), Split.load(experiment.split)
    training = set(cohort.patients).difference(split.test)
    groups = {"training patients": cohort.of_patients(training), "test patients": cohort.of_patients(split.test)}
    return groups | {
        group: Cohort.load(experiment.folder / "cohorts" / stage)
        for stage, group in OTHER_GROUPS.items()
        if (experiment.folder / "cohorts" / stage).is_dir()
    }


def _notes(groups: dict[str, Cohort]) -> tuple[str, ...]:
    """Return the notes of all groups, each once: training and test patients are from one cohort."""
    return tuple(dict.fromkeys(note for cohort in groups.values() for note in cohort.notes))


def _further_overlays(
    experiment: Experiment, structures: tuple[str, ...], names: StructureNames
) -> Iterator[CaseOverlay]:
    """Yield the predictions on scans that have no truth."""
    folder = experiment.cohort("further")
    for case in Cohort.load(folder).cases if folder.is_dir() else ():
        prediction = read_prediction(case, experiment.further_predictions, structures)
        yield prediction_overlay(f"Scan {case.id}", read_volume(case.image), prediction, names)


def _provenance(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the digests of all inputs, and the environment in which each stage was trained."""
    yield "recipe (SHA-256)", sha256_of(experiment.recipe)
    yield "split (SHA-256)", sha256_of(experiment.split)
    for manifest in sorted(experiment.folder.glob("cohorts/*/cohort.json")):
        yield f"cohort {manifest.parent.name} (SHA-256)", sha256_of(manifest)
    for stage in experiment.trained_stages():
        for run in experiment.training_runs(stage):
            yield from _provenance_of_run(run, stage if run == experiment.run(stage) else f"{stage}, {run.name}")


def _provenance_of_run(run: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield the digest of a run's weights, and the environment in which it was trained."""
    if (run / "weights_last.safetensors").is_file():
        yield f"weights of {name} (SHA-256)", sha256_of(run / "weights_last.safetensors")
    start = last_environment(RunFolder(run))
    if start:
        yield f"{name}, machine", ", ".join(_machine(start))
        versions = (f"{entry} {value}" for entry, value in start.items() if entry not in _MACHINE)
        yield f"{name}, software", ", ".join(versions)


def _machine(start: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is known about the last start of a run, in words."""
    if "device" in start:
        yield f"{start['device']}, {counted(int(start.get('processes', 1)), 'process', 'processes')}"
    if "platform" in start:
        yield str(start["platform"])
    if "parameters" in start:
        yield f"{int(start['parameters']):,} parameters"
    if start.get("epochs_done"):
        yield f"resumed after {counted(int(start['epochs_done']), 'epoch')}"
