"""Processes, devices and number format of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import nn
from torch.distributed import DistError
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.runtime.cudnn import bfloat16_problem
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.training.budget import Budget
from gynbtnet.training.cpu_bfloat16 import cpu_bfloat16_problem
from gynbtnet.training.settings import TrainingSettings

_NO_GPU_SECONDS = "budget.gpu_seconds needs a GPU; set budget.cpu_seconds or budget.steps."
_TENSOR_CORES = (7, 0)  # from this compute capability on, a GPU multiplies float16 faster than float32


def start_devices(settings: TrainingSettings) -> Fabric:
    """Start the processes on the devices and in the number format that the settings require.

    With ``auto``, the best ones of this machine are taken.

    Args:
        settings: settings of the run.

    Raises:
        BadInput: If CUDA is required but absent, there are too few devices, or they don't support the number format.
            Also if the number of processes differs from the one that torchrun or Slurm started, or cuDNN is too old
            for bfloat16.
    """
    cuda = torch.cuda.is_available() and settings.accelerator != "cpu"
    if settings.accelerator == "cuda" and not cuda:
        raise BadInput(
            "accelerator is cuda, but PyTorch sees no CUDA device; set accelerator to auto, or install a CUDA build of "
            "PyTorch."
        )
    processes, machines = _processes(settings.devices)
    if cuda and processes > torch.cuda.device_count():
        raise BadInput(
            f"devices is {processes}, but PyTorch sees only {torch.cuda.device_count()}; set devices to this number or "
            "fewer."
        )
    world_size = processes * machines
    strategy: str | Strategy = "ddp" if world_size > 1 else "auto"
    if world_size > 1 and settings.strategy == "fsdp":
        strategy = ModelParallelStrategy(shard, data_parallel_size=world_size, tensor_parallel_size=1)
    if cuda:
        _sum_in_single_precision()
        torch.backends.cudnn.benchmark = True  # patches have one size, so that the fastest algorithms are found once
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=processes,
        num_nodes=machines,
        strategy=strategy,
        precision=_precision(settings, cuda),
    )
    fabric.launch()
    return fabric


def check_budget(budget: Budget | None, accelerator: str, refusal: str = _NO_GPU_SECONDS) -> None:
    """Refuse a budget in seconds of a GPU if there is none.

    Args:
        budget: budget of a run; None for none.
        accelerator: its accelerator, as in :class:`TrainingSettings`.
        refusal: sentence of the error, with the setting of the unit.

    Raises:
        BadInput: If no GPU would be used.
    """
    uses_gpu = accelerator != "cpu" and torch.cuda.is_available()
    if budget is not None and budget.unit == "gpu_seconds" and not uses_gpu:
        raise BadInput(refusal)


@contextmanager
def explain_ended_process(fabric: Fabric) -> Iterator[None]:
    """Replace the error that the end of another process causes in this one by one sentence.

    Args:
        fabric: the processes.

    Raises:
        BadInput: If this process could not reach another one inside the block.
    """
    try:
        yield
    except RuntimeError as error:  # gloo has no class for its errors, but names its source file
        if fabric.world_size == 1 or not (isinstance(error, DistError) or "gloo" in str(error)):
            raise
        raise BadInput("Another process of this run has ended; its message is above or below.") from error


def _processes(devices: int) -> tuple[int, int]:
    """Return the number of processes per machine, and the number of machines."""
    started = launcher_world_size()
    if started is None:
        return devices, 1
    processes, machines = started
    if devices not in (1, processes * machines):
        raise BadInput(
            f"devices is {devices}, but torchrun or Slurm started {processes} processes on each of {machines} "
            "machines. Set devices to 1 to use these, or start as many as devices."
        )
    return started


def _sum_in_single_precision() -> None:
    """Forbid matrix products that add parts of a sum in 16 bits; PyTorch allows them by default."""
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def _precision(settings: TrainingSettings, cuda: bool) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    precision = _chosen_precision(settings, cuda)
    if precision != "bf16-mixed":
        return precision
    if cuda and (problem := bfloat16_problem()):
        raise BadInput(f"precision {settings.precision} means bfloat16 on this GPU. {problem}")
    if not cuda and (problem := cpu_bfloat16_problem()):
        raise BadInput(f"precision bf16-mixed can't be used on this CPU. {problem} Set precision to auto.")
    return precision


def _chosen_precision(settings: TrainingSettings, cuda: bool) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    bfloat16 = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    if settings.precision == "auto":
        if bfloat16:
            return "bf16-mixed"
        float16 = cuda and settings.strategy != "fsdp" and torch.cuda.get_device_capability() >= _TENSOR_CORES
        return "16-mixed" if float16 else "32-true"
    if settings.precision == "16-mixed" and not cuda:
        raise BadInput("precision 16-mixed needs a GPU; set precision to auto.")
    if settings.precision == "16-mixed" and settings.strategy == "fsdp":
        raise BadInput(
            "precision 16-mixed adapts the loss scale to all gradients, but with strategy fsdp each device holds only "
            "a share of them. Set precision to bf16-mixed or 32-true."
        )
    return settings.precision


def shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Give each device of ``mesh`` a share of every parameter; a residual block's are gathered while it computes.

    The parameters of the masked autoencoder are gathered for a whole step: its sparse convolutions read a block's
    weights without calling the block. Its gradients and optimiser state are still sharded.

    Args:
        network: network to shard, in place.
        mesh: devices, with a dimension ``data_parallel``.

    Returns:
        The same network.
    """
    devices = mesh["data_parallel"]
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()  # fully_shard accepts no other layout
    if not isinstance(network, MaskedAutoencoder):
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                fully_shard(module, mesh=devices)
    # sharded again after every forward pass, also without a backward pass: then the saved weights are the learned ones
    fully_shard(network, mesh=devices, reshard_after_forward=True)
    return network
