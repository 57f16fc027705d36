"""Rank of this process and number of processes that torchrun or Slurm started."""

import os


def is_main_process() -> bool:
    """Return whether the user started this process, or it is the first one that torchrun or Slurm started.

    A run on several devices starts itself again, once for each further device.
    """
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


def launcher_world_size() -> tuple[int, int] | None:
    """Return the number of processes per machine and of machines that torchrun or Slurm's srun started.

    None for a process that the user started directly, also in an interactive Slurm job.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return each, int(os.environ["WORLD_SIZE"]) // each
    if "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        machines = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // machines, machines
    return None
