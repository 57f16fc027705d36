"""Backends that compute a network: PyTorch, compiled PyTorch, or OpenVINO."""

import warnings
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gynbtnet.inference.engine.cpu_optimisation.optimise import optimise_for_cpu
from gynbtnet.inference.engine.settings import Backend
from gynbtnet.inference.engine.test_time_augmentation import Network
from gynbtnet.runtime.array_types import Triple
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.measured_choice import MeasuredChoice
from gynbtnet.runtime.optional_dependencies import require
from gynbtnet.sparse.channels_last import as_channels_last
from gynbtnet.training.allocator import keep_freed_memory
from gynbtnet.training.network_form import device_clock

_KEPT = 2**28  # bytes


def prepare_network(
    network: nn.Module, backend: Backend, device: torch.device, *, channels: int, outputs: int, window: Triple
) -> Network:
    """Return a network as the backend computes it, for images (batch, channels, z, y, x) of the window's size.

    Convolutions compute in the format of :func:`number_format`. A GPU computes the first windows in PyTorch's memory
    format and channels last in turn, and all others in the faster one.

    On a CPU, freed memory is kept for the next layer, which saves more time with glibc's allocator than any compiler.
    It is not kept if the logits of a window are large: such blocks were not reused, and memory grew with every window.

    Args:
        network: network in evaluation mode.
        backend: backend that computes.
        device: device of the network.
        channels: number of channels of the image.
        outputs: number of outputs of the network.
        window: voxels (z, y, x).

    Returns:
        A function from images to their logits (batch, outputs, z, y, x). OpenVINO computes one image at a time.

    Raises:
        BadInput: If OpenVINO is asked for and isn't installed, or the network isn't on a CPU.
    """
    if device.type == "cpu" and 4 * outputs * prod(window) <= _KEPT:
        keep_freed_memory()
    if backend == "openvino":
        return _openvino(network, device, (1, channels, *window))
    run: Network
    if backend == "compiled":
        run = torch.compile(network)
    else:
        run = optimise_for_cpu(network) if device.type == "cpu" else network
    dtype = number_format(device.type)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # windows have one size, so that the fastest algorithms are found once
    choice = MeasuredChoice("Time of a window", memory_formats(backend, device), clock=device_clock(device))

    def logits(image: Tensor) -> Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype, enabled=dtype != torch.float32),
            choice.timed() as format,
        ):
            result = run(as_channels_last(image) if format == "channels_last" else image)
        choice.end_step()
        return result

    return logits


def memory_formats(backend: Backend, device: torch.device) -> tuple[str, ...]:
    """Return the memory formats whose times are compared; compilers choose their own."""
    return ("plain", "channels_last") if device.type == "cuda" and backend == "eager" else ("plain",)


def number_format(device_type: str) -> torch.dtype:
    """Return the number format of a prediction's convolutions: float16 on a GPU, float32 otherwise.

    float16 has three bits more than bfloat16, and changes a sixth as many labels. Its range ends at 65,504, which
    suffices for features between norms; nnU-Net predicts in it, too.
    """
    return torch.float16 if device_type == "cuda" else torch.float32


def _openvino(network: nn.Module, device: torch.device, shape: tuple[int, ...]) -> Network:
    require("openvino", "openvino")
    if device.type != "cpu":
        raise BadInput("backend openvino computes on the CPU; set device to cpu, or backend to eager or compiled.")
    import openvino

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # internal warnings of PyTorch
        graph = torch.export.export(network, (torch.zeros(shape),), strict=False)
        converted = openvino.convert_model(graph)
    options: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.compile_model(converted, "CPU", options).create_infer_request()

    def logits(image: Tensor) -> Tensor:
        outputs = request.infer({0: image.contiguous().numpy()}, share_inputs=True)
        return torch.from_numpy(outputs[0])

    return logits
