"""Reporting checklist of an experiment: what the software knows for each topic of CLAIM, and what authors must add.

The topics are those of the Checklist for Artificial Intelligence in Medical Imaging (CLAIM), 2024 update, in our own
words and without its numbers. Source: Tejani et al., Radiology: Artificial Intelligence 2024;6:e240300, doi
10.1148/ryai.240300.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gynbtnet.datasets.cohort import Cohort
from gynbtnet.datasets.ingestion.integrity import REPORT
from gynbtnet.datasets.split import Split
from gynbtnet.evaluation.metrics.evaluation import Evaluation
from gynbtnet.evaluation.metrics.score_table import METRICS
from gynbtnet.experiment.folders import STAGES, Experiment
from gynbtnet.imaging.structure_names import StructureNames
from gynbtnet.preparation.planning.plan_files import load_plan
from gynbtnet.recipes.loading import load_recipe
from gynbtnet.recipes.recipe import Recipe
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.json_files import read_json, sha256_of
from gynbtnet.runtime.phrases import counted
from gynbtnet.training.flat_settings import read_flat_settings
from gynbtnet.training.run_folder import RunFolder, last_environment

CHECKLIST = "claim.md"
"""Name of the checklist in the folder of an experiment."""
AUTHORS = "*to be stated by the authors*"
_TRAINING_SETTINGS = ("epochs", "steps_per_epoch", "learning_rate", "optimiser", "augmentation", "mirror_axes", "seed")
_NOT_SHOWN = ("epochs_done", "processes")
_HEAD = """# Reporting checklist

Topics of CLAIM, the Checklist for Artificial Intelligence in Medical Imaging, 2024 update (Tejani et al., Radiology:
Artificial Intelligence 2024;6:e240300, doi 10.1148/ryai.240300), in our own words. Filled in is what the files of this
experiment show; everything else is for the authors. Check each entry before you use it.
"""


@dataclass(frozen=True)
class _Facts:
    """Files of an experiment that the checklist reads."""

    experiment: Experiment
    recipe: Recipe
    cohort: Cohort
    split: Split
    names: StructureNames

    @property
    def test(self) -> Cohort:
        return self.cohort.of_patients(self.split.test)


def write_checklist(experiment: Experiment) -> Path:
    """Write ``claim.md`` into the folder of an experiment, and return its path.

    Args:
        experiment: folder of an experiment with an evaluated model.

    Raises:
        BadInput: If a file of the experiment is absent or damaged.
    """
    recipe = load_recipe(experiment.recipe)
    cohort, split = Cohort.load(experiment.cohort("task")), Split.load(experiment.split)
    facts = _Facts(experiment, recipe, cohort, split, StructureNames.load(recipe.aliases))
    path = experiment.folder / CHECKLIST
    sections = {
        "Title, abstract, introduction": _introduction(),
        "Data": _data(facts),
        "Reference standard": _reference(facts),
        "Partitions": _partitions(facts),
        "Model": _model(facts),
        "Training": _training(facts),
        "Evaluation": _evaluation(facts),
        "Results": _results(facts),
        "Discussion and other information": _discussion(facts),
    }
    parts = [_HEAD]
    for title, rows in sections.items():
        parts.append(f"\n## {title}\n\n| topic | this experiment |\n|---|---|\n")
        parts += [f"| {topic} | {' '.join(text.split()).replace('|', '/')} |\n" for topic, text in rows]
    with atomic_write(path) as partial:
        partial.write_text("".join(parts), encoding="utf-8")
    return path


Rows = Iterator[tuple[str, str]]


def _introduction() -> Rows:
    yield "study of artificial intelligence, named in title and abstract", "segmentation by a deep neural network"
    yield "clinical background, intended use, aims", AUTHORS
    yield "prospective or retrospective; goal of the study", AUTHORS


def _data(facts: _Facts) -> Rows:
    cohort = facts.cohort
    dicom = sum(case.source.series_uid is not None for case in cohort.cases)
    kinds = {"DICOM series": dicom, "image files": len(cohort.cases) - dicom}
    origin = ", ".join(f"{count} as {kind}" for kind, count in kinds.items() if count)
    synthetic = " SYNTHETIC: no patient was scanned." if cohort.synthetic else ""
    yield (
        "data sources",
        (
            f"{counted(len(cohort.cases), 'CT')} of {counted(len(cohort.patients), 'patient')} ({origin}).{synthetic} "
            f"Institutions and dates: {AUTHORS}"
        ),
    )
    yield "inclusion and exclusion", f"{_integrity(facts)} Clinical criteria: {AUTHORS}"
    plan = load_plan(facts.experiment.plan("task"))
    spacing = " × ".join(f"{value:.3g}" for value in plan.spacing)
    yield (
        "preprocessing",
        (
            f"resampled to {spacing} mm (z, y, x), intensities {plan.normalisation}, patches of "
            f"{' × '.join(map(str, plan.patch_size))} voxels (plans/task)"
        ),
    )
    hidden = all(case.source.ct_folder is None and not case.source.sha256 for case in cohort.cases)
    yield (
        "de-identification",
        "study IDs; the cohort records "
        + ("nothing that leads to patients" if hidden else "paths and UIDs of the sources, which lead to patients"),
    )
    missing = Counter(name for case in cohort.cases for name in case.missing)
    listed = ", ".join(f"{facts.names.display_name(name)} in {count}" for name, count in missing.items())
    yield "missing data", f"structures without contours are not scored: {listed or 'none'} of {len(cohort.cases)} scans"
    yield "scanners and acquisition", AUTHORS


def _reference(facts: _Facts) -> Rows:
    cohort = facts.cohort
    structures = ", ".join(facts.names.display_name(name) for name in cohort.structures)
    sets = sum(case.source.rtstruct is not None for case in cohort.cases)
    automatic = sum(case.source.automatic for case in cohort.cases)
    yield "definition", f"contours of {structures}; guidelines for contouring: {AUTHORS}"
    yield (
        "source and annotators",
        (
            f"{sets} RTSTRUCTs, {len(cohort.cases) - sets} label maps or sets of masks; {automatic} of them "
            f"predictions that nobody has approved. Who contoured, with which tools and experience: {AUTHORS}"
        ),
    )
    yield (
        "variability within and between readers",
        f"not in this experiment; `gynbtnet evaluate --truth` scores against a second reader. {AUTHORS}",
    )


def _partitions(facts: _Facts) -> Rows:
    split, recipe = facts.split, facts.recipe
    validation = split.validation_patients(recipe.split.fold)
    training = len(facts.cohort.patients) - len(split.test) - len(validation)
    yield (
        "assignment",
        (
            f"{counted(training, 'patient')} for training, {len(validation)} for validation (fold {recipe.split.fold} "
            f"of {len(split.folds)}), {len(split.test)} for the test; seed {split.seed} (split.json)"
        ),
    )
    yield "level at which parts are disjoint", "the patient: all scans of a patient are in one part"
    yield "sample size", f"{AUTHORS}; `gynbtnet compare --margin` reports the patients that a next study needs"


def _model(facts: _Facts) -> Rows:
    plan = load_plan(facts.experiment.plan("task"))
    yield (
        "architecture, inputs, outputs",
        f"{plan.network}, size {plan.preset}; channels {', '.join(plan.channels)}; {len(plan.structures)} structures, "
        + ("which may overlap" if plan.regions else "each voxel in at most one"),
    )
    versions = _environment(_task_runs(facts)[0])
    yield "software and hardware", versions or AUTHORS
    stages = [STAGES[stage] for stage in facts.experiment.trained_stages()]
    start = "the weights of the stage before it" if len(stages) > 1 else "random weights"
    yield "initial weights", f"stages trained: {'; '.join(stages)}. The last one starts from {start} (transfer.json)"


def _training(facts: _Facts) -> Rows:
    runs = _task_runs(facts)
    settings = read_flat_settings(runs[0] / "recipe.yaml")
    own = {name.removeprefix("settings."): value for name, value in settings.items()}
    listed = ", ".join(f"{name} {own[name]}" for name in _TRAINING_SETTINGS if name in own)
    yield (
        "procedure and hyperparameters",
        f"{listed}; all settings: {runs[0].relative_to(facts.experiment.folder)}/recipe.yaml",
    )
    weights = (
        "at the end of training" if facts.recipe.prediction.weights == "last" else "with the best validation score"
    )
    yield "selection of the final model", f"weights {weights}; post-processing chosen on validation patients"
    yield "ensembles", "none: one network" if len(runs) == 1 else f"mean of {len(runs)} networks, one per fold"


def _evaluation(facts: _Facts) -> Rows:
    settings = Evaluation.load(facts.experiment.evaluation).settings
    yield (
        "metrics",
        (
            f"{', '.join(METRICS)}; surface DSC at {settings.tolerance_mm:g} mm; missing structures: "
            f"{settings.missing_structure_policy}"
        ),
    )
    yield (
        "significance and uncertainty",
        (
            "mean ± SD and median [IQR] over cases, counts of missed and false structures; intervals and tests by "
            "patient with `gynbtnet compare`"
        ),
    )
    yield "robustness", f"subgroups.csv and consistency.csv show groups of cases and fractions of a patient; {AUTHORS}"
    yield "explainability", "failure flags and, if calibrated, a predicted DSC for each structure; no saliency maps"
    yield "internal data", f"{counted(len(facts.split.test), 'patient')} of the same source, held out from every choice"
    yield "external data", f"none in this experiment; {AUTHORS}"
    yield "registration of a trial", AUTHORS


def _results(facts: _Facts) -> Rows:
    yield "flow of participants", _integrity(facts)
    yield "demographic and clinical characteristics of each part", f"{_applicators(facts)} {AUTHORS}"
    summary = Evaluation.load(facts.experiment.evaluation).summary
    scores = ", ".join(
        f"{facts.names.display_name(str(row['structure']))} {row['dsc_mean']:.3f} ({row['missed']} missed)"
        for row in summary.to_dict("records")
        if row["structure"] in facts.cohort.structures
    )
    yield "performance", f"mean DSC of {counted(len(facts.test.cases), 'test scan')}: {scores}; evaluation/summary.md"
    yield "failure analysis", "report.html: worst cases, flags next to failures, groups of cases"


def _discussion(facts: _Facts) -> Rows:
    yield "limitations, implications for practice", AUTHORS
    weights = [run / "weights_last.safetensors" for run in _task_runs(facts)]
    digests = ", ".join(sha256_of(path) for path in weights if path.is_file())
    digest = f"SHA-256 of the weights {digests}" if digests else "weights absent"
    yield "protocol, software, model, data", f"recipe.yaml, split.json; {digest}. Availability: {AUTHORS}"
    yield "funding and conflicts", AUTHORS


def _task_runs(facts: _Facts) -> tuple[Path, ...]:
    """Return the run folders of the task: one, or one per fold."""
    return facts.experiment.training_runs("task") or (facts.experiment.run("task"),)


def _integrity(facts: _Facts) -> str:
    """Return the number of scans that were found, taken and left out, and why."""
    path = facts.experiment.cohort("task") / REPORT
    if not path.is_file():
        return "The ingestion left no report."
    report = read_json(dict[str, Any], path, "run the experiment again")
    kinds = Counter(str(problem.get("kind")) for problem in report.get("problems", ()))
    reasons = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{report.get('found')} scans found, {report.get('taken')} taken; left out: {reasons or 'none'}."


def _applicators(facts: _Facts) -> str:
    known = Counter(facts.cohort.applicators.values())
    listed = ", ".join(f"{name} in {counted(count, 'patient')}" for name, count in known.most_common())
    return f"Applicators: {listed or 'unknown'}."


def _environment(run: Path) -> str:
    """Return software and machine of the last start of a run; empty if they are unknown."""
    start = last_environment(RunFolder(run))
    return ", ".join(f"{name} {value}" for name, value in start.items() if name not in _NOT_SHOWN)
