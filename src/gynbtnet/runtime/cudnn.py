"""Version of cuDNN, the library of NVIDIA GPUs for convolutions, and the oldest one for bfloat16."""

from importlib.util import find_spec

MIN_CUDNN = (9, 15, 0)
"""Oldest cuDNN for 3D convolutions in bfloat16.

PyTorch 2.9 doesn't use an older one and is then many times slower (issues 166122 and 166643). With cuDNN 9.8 to 9.10
results were wrong (issue 163539)."""

Version = tuple[int, int, int]


def cudnn_version() -> Version | None:
    """Return the version of cuDNN that PyTorch uses; None without PyTorch, without NVIDIA GPU or without cuDNN."""
    if find_spec("torch") is None:
        return None
    import torch

    if not torch.cuda.is_available() or torch.version.hip is not None:  # MIOpen of AMD GPUs has the same interface
        return None
    number: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if number is None:
        return None
    major = 10_000 if number >= 90_000 else 1_000  # 9.15.1 is 91501, 8.9.2 is 8902
    return number // major, number % major // 100, number % 100


def printed_version(version: Version) -> str:
    """Return a version as "9.15.0"."""
    return ".".join(map(str, version))


def bfloat16_problem() -> str | None:
    """Return why 3D convolutions in bfloat16 can't be used on this machine's GPU, and the remedy; None if they can."""
    version = cudnn_version()
    if version is None or version >= MIN_CUDNN:
        return None
    return (
        f"3D convolutions in bfloat16 are slow or wrong with cuDNN {printed_version(version)}. Install version "
        f"{printed_version(MIN_CUDNN)} or later, for example by pip install --upgrade nvidia-cudnn-cu12, or set "
        "precision to 16-mixed."
    )
