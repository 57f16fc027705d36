"""The command line: parse, call, print. What a command needs is imported when it runs."""

from gynbtnet.cli import (
    cohort_commands,
    evaluation_commands,
    experiment_commands,
    learning_commands,
    prediction_commands,
    scan_commands,
)
from gynbtnet.cli.app import app, main

__all__ = [
    "app",
    "cohort_commands",
    "evaluation_commands",
    "experiment_commands",
    "learning_commands",
    "main",
    "prediction_commands",
    "scan_commands",
]
