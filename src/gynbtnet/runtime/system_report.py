"""Versions, hardware and missing libraries of this machine, in one table."""

import importlib.metadata
import os
import platform
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import psutil

from gynbtnet.runtime.cudnn import bfloat16_problem, cudnn_version, printed_version
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.optional_dependencies import EXTRAS, installed
from gynbtnet.runtime.phrases import counted


def system_report(folder: Path) -> list[tuple[str, str]]:
    """Return rows of (item, value) that describe this machine.

    A value that starts with "missing" or "low" needs attention.

    Args:
        folder: the folder that results would be written to; its free disk space is reported.

    Raises:
        BadInput: If there is no such folder.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; expected the folder that results would be written to.")
    memory = psutil.virtual_memory()
    free_gb = shutil.disk_usage(folder).free / 1e9
    rows = [
        ("gynbtnet", version("gynbtnet")),
        ("Python", platform.python_version()),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", processor()),
        ("cores", f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}"),
        ("memory", f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB available"),
        (f"disk at {folder}", f"{'low: ' if free_gb < 10 else ''}{free_gb:.1f} GB free"),
        ("devices", devices()),
        ("cuDNN", cudnn()),
    ]
    rows += [(name, version(name)) for name in needed_libraries()]
    return rows + [(f"extra {extra}", _extra(extra)) for extra in EXTRAS]


def needed_libraries() -> list[str]:
    """Return the names of the distributions that gynbtnet requires."""
    requirements = importlib.metadata.requires("gynbtnet") or []
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in requirements if "extra ==" not in line)
    return [name[0] for name in names if name]


def _extra(extra: str) -> str:
    """Return whether an extra is installed, what needs it, and how to install it."""
    libraries, purpose = EXTRAS[extra]
    if installed(*libraries):
        return f"installed, for {purpose}"
    return f"not installed; for {purpose}: pip install gynbtnet[{extra}]"


def version(distribution: str) -> str:
    """Return the installed version of a distribution, or how to install it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return f"missing: pip install {distribution}"


def cudnn() -> str:
    """Return the version of cuDNN, and the remedy if it is too old for bfloat16."""
    number, problem = cudnn_version(), bfloat16_problem()
    if number is None:
        return "none: there is no NVIDIA GPU that PyTorch uses"
    return printed_version(number) if problem is None else f"low: {printed_version(number)}. {problem}"


def processor() -> str:
    """Return the name of the processor, with family and model if the system reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in fields:
        return platform.machine()
    return f"{fields['model name']}, family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"


def devices() -> str:
    """Return the accelerators that torch sees, with their memory, or "CPU only"."""
    if find_spec("torch") is None:
        return "missing: torch is not installed"
    import torch

    if torch.cuda.is_available():
        gpus = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
        return ", ".join(f"{device.name} ({device.total_memory / 1e9:.0f} GB)" for device in gpus)
    threads = counted(torch.get_num_threads(), "thread")
    return "Apple GPU (MPS)" if torch.backends.mps.is_available() else f"CPU only, {threads}"
