"""Evaluation of contours and doses: metrics, dose-volume metrics, statistics, model comparison and reports.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.evaluation.calibration.auroc import auroc_with_interval
    from gynbtnet.evaluation.calibration.postprocessing_selection import select_postprocessing
    from gynbtnet.evaluation.calibration.quality_calibration import calibrate_quality
    from gynbtnet.evaluation.calibration.triage import Triage, triage
    from gynbtnet.evaluation.cohorts.fraction_consistency import centroids
    from gynbtnet.evaluation.cohorts.outliers import find_outliers
    from gynbtnet.evaluation.cohorts.overlap_table import overlap_table
    from gynbtnet.evaluation.comparison.compare import compare
    from gynbtnet.evaluation.comparison.comparison import Comparison
    from gynbtnet.evaluation.comparison.report import report_comparison
    from gynbtnet.evaluation.comparison.settings import ComparisonSettings
    from gynbtnet.evaluation.contours.evaluate_contours import evaluate_contours
    from gynbtnet.evaluation.contours.matched_predictions import matched_predictions
    from gynbtnet.evaluation.contours.second_reader import with_second_reader
    from gynbtnet.evaluation.dose.course import CourseDose, course_doses
    from gynbtnet.evaluation.dose.dose_evaluation import DoseEvaluation, evaluate_dose
    from gynbtnet.evaluation.dose.dvh import DoseVolumeHistogram, dose_volume_histogram
    from gynbtnet.evaluation.dose.eqd2 import to_eqd2, total_eqd2
    from gynbtnet.evaluation.dose.external_beam import ExternalBeam, parse_external_beam
    from gynbtnet.evaluation.dose.files import find_doses, read_dose
    from gynbtnet.evaluation.dose.metrics import dose_metric
    from gynbtnet.evaluation.dose.planning_aims import EMBRACE_II, PlanningAims
    from gynbtnet.evaluation.dose.score import DoseScore
    from gynbtnet.evaluation.metrics.evaluation import Evaluation, evaluate, read_prediction, read_truth
    from gynbtnet.evaluation.metrics.metrics import Score, dice, score_case
    from gynbtnet.evaluation.metrics.score_table import summarise_scores
    from gynbtnet.evaluation.metrics.settings import DoseSettings, ScoringSettings
    from gynbtnet.evaluation.metrics.surface_distance import surface_distances
    from gynbtnet.evaluation.reports.case_selection import best_median_worst
    from gynbtnet.evaluation.reports.compared_case import read_compared_case
    from gynbtnet.evaluation.reports.evaluation_report import report_evaluation
    from gynbtnet.evaluation.reports.sections.review_paragraph import review_command, review_paragraph
    from gynbtnet.evaluation.statistics.adjustment import benjamini_hochberg, holm
    from gynbtnet.evaluation.statistics.agreement import limits_of_agreement
    from gynbtnet.evaluation.statistics.analysis_of_variance import one_way_anova, tukey_hsd
    from gynbtnet.evaluation.statistics.effect_size import effect_sizes
    from gynbtnet.evaluation.statistics.hierarchical_bootstrap import hierarchical_interval
    from gynbtnet.evaluation.statistics.model_tests import select_patient_test
    from gynbtnet.evaluation.statistics.non_inferiority import NonInferiority, non_inferiority, required_patients
    from gynbtnet.evaluation.statistics.patient_bootstrap import patient_bootstrap
    from gynbtnet.evaluation.statistics.patient_jackknife import patient_mean
    from gynbtnet.evaluation.statistics.permutation import paired_permutation_test
    from gynbtnet.evaluation.statistics.rank_tests import friedman_test, wilcoxon_signed_rank
    from gynbtnet.evaluation.statistics.sample_size import sample_size_notes

__all__ = [
    "EMBRACE_II",
    "Comparison",
    "ComparisonSettings",
    "CourseDose",
    "DoseEvaluation",
    "DoseScore",
    "DoseSettings",
    "DoseVolumeHistogram",
    "Evaluation",
    "ExternalBeam",
    "NonInferiority",
    "PlanningAims",
    "Score",
    "ScoringSettings",
    "Triage",
    "auroc_with_interval",
    "benjamini_hochberg",
    "best_median_worst",
    "calibrate_quality",
    "centroids",
    "compare",
    "course_doses",
    "dice",
    "dose_metric",
    "dose_volume_histogram",
    "effect_sizes",
    "evaluate",
    "evaluate_contours",
    "evaluate_dose",
    "find_doses",
    "find_outliers",
    "friedman_test",
    "hierarchical_interval",
    "holm",
    "limits_of_agreement",
    "matched_predictions",
    "non_inferiority",
    "one_way_anova",
    "overlap_table",
    "paired_permutation_test",
    "parse_external_beam",
    "patient_bootstrap",
    "patient_mean",
    "read_compared_case",
    "read_dose",
    "read_prediction",
    "read_truth",
    "report_comparison",
    "report_evaluation",
    "required_patients",
    "review_command",
    "review_paragraph",
    "sample_size_notes",
    "score_case",
    "select_patient_test",
    "select_postprocessing",
    "summarise_scores",
    "surface_distances",
    "to_eqd2",
    "total_eqd2",
    "triage",
    "tukey_hsd",
    "wilcoxon_signed_rank",
    "with_second_reader",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "calibration.auroc": ["auroc_with_interval"],
        "calibration.postprocessing_selection": ["select_postprocessing"],
        "calibration.quality_calibration": ["calibrate_quality"],
        "cohorts.fraction_consistency": ["centroids"],
        "cohorts.outliers": ["find_outliers"],
        "cohorts.overlap_table": ["overlap_table"],
        "comparison.compare": ["compare"],
        "comparison.comparison": ["Comparison"],
        "comparison.report": ["report_comparison"],
        "comparison.settings": ["ComparisonSettings"],
        "dose.course": ["CourseDose", "course_doses"],
        "dose.dose_evaluation": ["DoseEvaluation", "evaluate_dose"],
        "dose.dvh": ["DoseVolumeHistogram", "dose_volume_histogram"],
        "dose.eqd2": ["to_eqd2", "total_eqd2"],
        "dose.external_beam": ["ExternalBeam", "parse_external_beam"],
        "dose.files": ["find_doses", "read_dose"],
        "dose.metrics": ["dose_metric"],
        "dose.planning_aims": ["EMBRACE_II", "PlanningAims"],
        "dose.score": ["DoseScore"],
        "metrics.evaluation": ["Evaluation", "evaluate", "read_prediction", "read_truth"],
        "metrics.metrics": ["Score", "dice", "score_case"],
        "metrics.score_table": ["summarise_scores"],
        "metrics.settings": ["DoseSettings", "ScoringSettings"],
        "metrics.surface_distance": ["surface_distances"],
        "reports.case_selection": ["best_median_worst"],
        "reports.compared_case": ["read_compared_case"],
        "reports.evaluation_report": ["report_evaluation"],
        "reports.sections.review_paragraph": ["review_command", "review_paragraph"],
        "statistics.adjustment": ["benjamini_hochberg", "holm"],
        "statistics.agreement": ["limits_of_agreement"],
        "statistics.analysis_of_variance": ["one_way_anova", "tukey_hsd"],
        "statistics.effect_size": ["effect_sizes"],
        "statistics.hierarchical_bootstrap": ["hierarchical_interval"],
        "statistics.model_tests": ["select_patient_test"],
        "statistics.patient_bootstrap": ["patient_bootstrap"],
        "statistics.patient_jackknife": ["patient_mean"],
        "statistics.permutation": ["paired_permutation_test"],
        "statistics.rank_tests": ["friedman_test", "wilcoxon_signed_rank"],
        "contours.evaluate_contours": ["evaluate_contours"],
        "contours.matched_predictions": ["matched_predictions"],
        "contours.second_reader": ["with_second_reader"],
        "statistics.non_inferiority": ["NonInferiority", "non_inferiority", "required_patients"],
        "statistics.sample_size": ["sample_size_notes"],
        "calibration.triage": ["Triage", "triage"],
    },
)
