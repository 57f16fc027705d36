"""Which of a run's processes this is: a run on several devices starts itself again, once for each further device."""

import os


def is_first_process() -> bool:
    """Whether this is the process that the user started, or the first of those that torchrun or SLURM started here."""
    return os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0"
