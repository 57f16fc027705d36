"""The command line: parse, call, print. What a command needs is imported when it runs."""

from gynbtnet.cli import experiment_commands, learning_commands, scan_commands
from gynbtnet.cli.app import app, main

__all__ = ["app", "experiment_commands", "learning_commands", "main", "scan_commands"]
