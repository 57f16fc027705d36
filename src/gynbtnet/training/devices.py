"""The processes, the devices and the number format that a run computes with."""

from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from gynbtnet.networks.blocks import ResidualBlock
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.processes import launcher_world_size
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.training.settings import TrainingSettings

_TENSOR_CORES = (7, 0)  # the compute capability from which a GPU multiplies float16 faster than float32


def start_devices(settings: TrainingSettings) -> Fabric:
    """The processes, devices and number format that a run asks for, or the best this machine has.

    Raises:
        BadInput: where CUDA is asked for and absent, or too few devices are there, a format that they don't compute in,
            or another number of processes than torchrun or Slurm started.
    """
    cuda = torch.cuda.is_available() and settings.accelerator != "cpu"
    if settings.accelerator == "cuda" and not cuda:
        raise BadInput(
            "accelerator is cuda, but PyTorch sees no CUDA device here; set it to auto, or install a CUDA build."
        )
    processes, machines = _processes(settings.devices)
    if cuda and processes > torch.cuda.device_count():
        raise BadInput(
            f"{processes} devices are asked for, and PyTorch sees {torch.cuda.device_count()} here; set devices to "
            "that, or fewer."
        )
    everywhere = processes * machines
    strategy: str | Strategy = "ddp" if everywhere > 1 else "auto"
    if everywhere > 1 and settings.strategy == "fsdp":
        strategy = ModelParallelStrategy(shard, data_parallel_size=everywhere, tensor_parallel_size=1)
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=processes,
        num_nodes=machines,
        strategy=strategy,
        precision=_precision(settings, cuda),
    )
    fabric.launch()
    return fabric


def _processes(asked: int) -> tuple[int, int]:
    """Processes on each machine, and machines."""
    started = launcher_world_size()
    if started is None:
        return asked, 1
    processes, machines = started
    if asked not in (1, processes * machines):
        raise BadInput(
            f"devices is {asked}, and {processes} processes on {machines} machines were started by torchrun or Slurm; "
            "set devices to 1, which takes their number, or start as many as it says."
        )
    return started


def _precision(settings: TrainingSettings, cuda: bool) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    bfloat16 = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    if settings.precision == "auto":
        if bfloat16:
            return "bf16-mixed"
        float16 = cuda and settings.strategy != "fsdp" and torch.cuda.get_device_capability() >= _TENSOR_CORES
        return "16-mixed" if float16 else "32-true"
    if settings.precision in ("bf16-mixed", "16-mixed") and not cuda:
        # torch 2.13 with oneDNN: the weight's gradient of a 3×3×3 convolution on a grid of 2×4×4 is wrong or NaN
        raise BadInput(
            f"precision {settings.precision} needs a GPU: on a CPU, PyTorch's convolutions get gradients wrong in 16 "
            "bits on small grids, and are slow in them; set precision to auto."
        )
    if settings.precision == "16-mixed" and settings.strategy == "fsdp":
        raise BadInput(
            "precision 16-mixed scales the loss by what it sees of all gradients, and strategy fsdp shows each device "
            "its share; set precision to bf16-mixed or 32-true."
        )
    return settings.precision


def shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Give each device of ``mesh`` its share of every parameter; a residual block's are whole while it computes.

    The masked autoencoder's are whole for a whole step: its sparse convolutions read a block's weights without calling
    the block. Its gradients and optimiser state are shared out all the same.
    """
    devices = mesh["data_parallel"]
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()  # fully_shard takes no other layout
    if not isinstance(network, MaskedAutoencoder):
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                fully_shard(module, mesh=devices)
    # whole again after every forward pass, one without a backward pass too: what is saved is then what was learned
    fully_shard(network, mesh=devices, reshard_after_forward=True)
    return network
