"""Monitoring of a model in use: control charts of its reviews, and a constancy check with a synthetic scan.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.monitoring.charts import Chart, ModelCharts, chart_models
    from gynbtnet.monitoring.ewma import Ewma, limit_multiple, moving_average
    from gynbtnet.monitoring.monitoring_page import find_alarms, write_monitoring
    from gynbtnet.monitoring.reviewed_predictions import FoundReviews, ReviewedPrediction, find_reviews
    from gynbtnet.monitoring.scores import patient_scores
    from gynbtnet.monitoring.self_test import compare_self_tests, read_self_test, record_self_test, run_self_test
    from gynbtnet.monitoring.settings import COURSE_GAP_DAYS, MonitorSettings

__all__ = [
    "COURSE_GAP_DAYS",
    "Chart",
    "Ewma",
    "FoundReviews",
    "ModelCharts",
    "MonitorSettings",
    "ReviewedPrediction",
    "chart_models",
    "compare_self_tests",
    "find_alarms",
    "find_reviews",
    "limit_multiple",
    "moving_average",
    "patient_scores",
    "read_self_test",
    "record_self_test",
    "run_self_test",
    "write_monitoring",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "charts": ["Chart", "ModelCharts", "chart_models"],
        "ewma": ["Ewma", "limit_multiple", "moving_average"],
        "monitoring_page": ["find_alarms", "write_monitoring"],
        "reviewed_predictions": ["FoundReviews", "ReviewedPrediction", "find_reviews"],
        "scores": ["patient_scores"],
        "self_test": ["compare_self_tests", "read_self_test", "record_self_test", "run_self_test"],
        "settings": ["COURSE_GAP_DAYS", "MonitorSettings"],
    },
)
