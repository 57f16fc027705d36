"""Whole experiments: ingestion, training stages, cross-validation, comparison of models, report pages.

``run_experiment`` trains and tests one recipe; ``compare_models`` and ``run_comparison`` do so for several models.
Single stages and cross-validations run on prepared scans, outside an experiment.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.experiment.cross_validation import CrossValidation, calibrate_from_folds, crossvalidate
    from gynbtnet.experiment.curves.curves_page import report_curves
    from gynbtnet.experiment.curves.trace_curves import trace_curves
    from gynbtnet.experiment.folders import ComparedModel, Experiment, compared_models
    from gynbtnet.experiment.model_comparison import compare_models
    from gynbtnet.experiment.paper_experiment import run_comparison
    from gynbtnet.experiment.pipeline import run_experiment
    from gynbtnet.experiment.report import report_experiment
    from gynbtnet.experiment.scans import Scans
    from gynbtnet.experiment.single_stages import finetune_alone, pretrain_alone
    from gynbtnet.experiment.trial import Trial, TrialResult, run_trial
    from gynbtnet.experiment.tuning.default_search import default_space
    from gynbtnet.experiment.tuning.tuned_patients import TunedPatients
    from gynbtnet.experiment.tuning.tuning_run import Tuning, tune
    from gynbtnet.experiment.tuning.tuning_table import TuningResult

__all__ = [
    "ComparedModel",
    "CrossValidation",
    "Experiment",
    "Scans",
    "Trial",
    "TrialResult",
    "TunedPatients",
    "Tuning",
    "TuningResult",
    "calibrate_from_folds",
    "compare_models",
    "compared_models",
    "crossvalidate",
    "default_space",
    "finetune_alone",
    "pretrain_alone",
    "report_curves",
    "report_experiment",
    "run_comparison",
    "run_experiment",
    "run_trial",
    "trace_curves",
    "tune",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "curves.curves_page": ["report_curves"],
        "curves.trace_curves": ["trace_curves"],
        "folders": ["ComparedModel", "Experiment", "compared_models"],
        "scans": ["Scans"],
        "pipeline": ["run_experiment"],
        "single_stages": ["finetune_alone", "pretrain_alone"],
        "cross_validation": ["CrossValidation", "calibrate_from_folds", "crossvalidate"],
        "model_comparison": ["compare_models"],
        "paper_experiment": ["run_comparison"],
        "report": ["report_experiment"],
        "tuning.default_search": ["default_space"],
        "tuning.tuned_patients": ["TunedPatients"],
        "tuning.tuning_run": ["Tuning", "tune"],
        "tuning.tuning_table": ["TuningResult"],
        "trial": ["Trial", "TrialResult", "run_trial"],
    },
)
