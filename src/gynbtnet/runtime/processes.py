"""Which of a run's processes this is, and how many were started together."""

import os


def is_main_process() -> bool:
    """Whether this is the process that the user started, or the first of all that torchrun or Slurm started.

    A run on several devices starts itself again, once for each further device.
    """
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


def launcher_world_size() -> tuple[int, int] | None:
    """How many processes torchrun or Slurm's srun started on each machine, and on how many machines.

    None for a process that the user started by itself, in a Slurm job for interactive work too.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return each, int(os.environ["WORLD_SIZE"]) // each
    if "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        machines = int(os.environ.get("SLURM_NNODES", "1"))
        return int(os.environ["SLURM_NTASKS"]) // machines, machines
    return None
