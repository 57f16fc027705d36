"""The command line: parse, call, print. Each command imports its packages when it runs."""

from gynbtnet.cli import (  # noqa: F401 - importing a module registers its commands
    cohort_commands,
    commissioning_commands,
    compare_command,
    evaluation_commands,
    experiment_commands,
    learn_command,
    monitor_commands,
    node_commands,
    prediction_commands,
    recipe_commands,
    review_commands,
    scan_commands,
    tool_commands,
    training_commands,
)
from gynbtnet.cli.application import PANELS, app, main
from gynbtnet.cli.cohort_commands import Layout

__all__ = ["PANELS", "Layout", "app", "main"]


def __dir__() -> list[str]:
    return __all__
