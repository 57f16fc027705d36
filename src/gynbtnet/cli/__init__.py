"""The command line: parse, call, print. What a command needs is imported when it runs."""

from gynbtnet.cli import cohort_commands, experiment_commands, learning_commands, scan_commands
from gynbtnet.cli.app import app, main

__all__ = ["app", "cohort_commands", "experiment_commands", "learning_commands", "main", "scan_commands"]
